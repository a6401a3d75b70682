//! The commands that deployments use: `healthcheck`, and `gateway-config` for several replicas.

use crate::support::{
    database::{TestDatabase, eventually},
    program::{Serving, complaint, config_file, run},
    proxy::DatabaseProxy,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_healthy_while_it_is_ready_and_no_longer() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let file = config_file(&proxy.url(&database.name), "");
    let mut serving = Serving::start(file.path()).await;
    // Its ports are the system's choice, so it is asked where it really is, by settings and by address.
    let settings = config_file(&database.url, &format!("admin.listen = '{}'", serving.admin));
    let asked = run(settings.path(), &["healthcheck"]).await;
    assert_eq!((asked.status.code(), asked.stdout.as_slice()), (Some(0), &b"healthy\n"[..]), "{}", complaint(&asked));
    let live = format!("http://{}/livez", serving.admin);
    assert_eq!(run(settings.path(), &["healthcheck", &live]).await.status.code(), Some(0));

    proxy.close();
    let said = eventually("it says what fails", async || {
        let asked = run(settings.path(), &["healthcheck"]).await;
        (asked.status.code() == Some(1)).then(|| complaint(&asked))
    })
    .await;
    assert!(said.contains("503") && said.contains("\"database\":\"failing\""), "{said}");
    assert_eq!(run(settings.path(), &["healthcheck", &live]).await.status.code(), Some(0), "it lives on");

    serving.child.kill().await.unwrap();
    let asked = run(settings.path(), &["healthcheck"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert!(complaint(&asked).contains("Connection refused"), "{}", complaint(&asked));
    let misspelt = run(settings.path(), &["healthcheck", "127.0.0.1:9090"]).await;
    assert_eq!(misspelt.status.code(), Some(2), "{}", complaint(&misspelt));
}

#[tokio::test]
async fn a_gateway_of_its_own_machine_is_told_where_the_replicas_are() {
    let everywhere = "public.listen = '0.0.0.0:8080'\ngateway.listen = '[::]:8081'";
    let file = config_file("postgresql://e@127.0.0.1:1/e", everywhere);
    let print = async |arguments: &[&str]| {
        let output =
            run(file.path(), &[&["gateway-config", "nginx", "--audience", "orders"], arguments].concat()).await;
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), complaint(&output))
    };
    let servers = |text: &str| -> Vec<String> {
        text.lines()
            .map(str::trim)
            .filter(|line| line.starts_with("server ") && line.ends_with(';'))
            .map(str::to_owned)
            .collect()
    };
    let (code, text, said) = print(&[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(servers(&text), ["server 127.0.0.1:8080;", "server [::1]:8081;", "server 127.0.0.1:8090;"]);

    let named =
        ["--replica", "10.0.0.5", "--replica", "eph-2.internal", "--application", "orders:80", "--standard-streams"];
    let (_, text, _) = print(&named).await;
    let expected = ["10.0.0.5:8080", "eph-2.internal:8080", "10.0.0.5:8081", "eph-2.internal:8081", "orders:80"];
    assert_eq!(servers(&text), expected.map(|server| format!("server {server};")));
    assert!(text.contains("access_log /dev/stdout"));

    for wrong in [["--replica", "10.0.0.5:8081"], ["--replica", "a b"], ["--application", "orders"]] {
        assert_eq!(print(&wrong).await.0, Some(2), "{wrong:?}");
    }
}
