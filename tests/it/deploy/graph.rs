//! The service graph of `docker-compose.yml`, run: Postgres with its two roles, two replicas, the microservice, nginx and Prometheus.

use std::{fs, process::Stdio, time::Duration};

use ephemint::dev::{
    postgres::{Durability, EmbeddedPostgres, Options},
    supervisor::Supervised,
};
use nix::sys::signal::Signal;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_postgres::error::SqlState;

use super::{compose::make_secrets, root, services::Services};
use crate::support::{
    app::COOKIE,
    database::eventually,
    program::{Serving, complaint},
};

const PASSWORD: &str = "nine quiet lanterns";

/// Everything that runs. Fields drop in this order: whoever asks goes before whoever answers.
struct Graph {
    http: Client,
    front: String,
    prometheus: Supervised,
    gateway: Supervised,
    demo: Supervised,
    one: Serving,
    other: Serving,
    postgres: EmbeddedPostgres,
    services: Services,
}

impl Graph {
    async fn start() -> Self {
        let services = Services::new();
        make_secrets(&services.path("secrets"));
        let postgres = postgres(&services).await;
        // Both at once, on a database without a schema.
        let (one, other) = tokio::join!(services.replica("ephemint-1"), services.replica("ephemint-2"));
        let (demo, gateway, prometheus) = (services.demo(), services.gateway(), services.prometheus());
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let front = format!("http://{}", services.address("gateway", 8000));
        Self { http, front, prometheus, gateway, demo, one, other, postgres, services }
    }

    /// Asks like the healthcheck of a service until it says yes.
    async fn healthy(&self, service: &'static str) {
        let words = self.services.words(service, "/healthcheck/test");
        eventually(&format!("{service} is healthy, {words:?}"), async || match words[1].as_str() {
            "/usr/local/bin/ephemint" => {
                let arguments: Vec<&str> = words[2..].iter().map(String::as_str).collect();
                let output = self.services.ephemint(service, &arguments).output().await.unwrap();
                output.status.success().then_some(())
            }
            "wget" => {
                let answer = self.http.get(words.last().unwrap()).send().await.ok()?;
                answer.status().is_success().then_some(())
            }
            other => panic!("a healthcheck by {other} cannot be run here"),
        })
        .await;
    }

    /// Signs in at the front door; returns the cookie.
    async fn sign_in(&self) -> String {
        let login = json!({ "username": "alice", "password": PASSWORD });
        let answer = self.http.post(format!("{}/login", self.front)).json(&login).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        assert!(cookie.starts_with(&format!("{COOKIE}=")), "{cookie}");
        cookie
    }

    async fn call(&self, path: &str, cookie: &str) -> Response {
        self.http.get(format!("{}{path}", self.front)).header("cookie", cookie).send().await.unwrap()
    }

    async fn exchange(&self, replica: &'static str, cookie: &str) -> StatusCode {
        let url = format!("http://{}/exchange/demo", self.services.address(replica, 8081));
        self.http.get(url).header("cookie", cookie).send().await.unwrap().status()
    }

    /// The values of a query to Prometheus, by the instance that they belong to.
    async fn query(&self, query: &str) -> Vec<(String, String)> {
        let url = format!("http://{}/api/v1/query", self.services.address("prometheus", 9090));
        let url = reqwest::Url::parse_with_params(&url, [("query", query)]).unwrap();
        let Ok(answer) = self.http.get(url).send().await else { return Vec::new() };
        let document: Value = answer.json().await.unwrap();
        let series = document["data"]["result"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut values: Vec<_> =
            series.iter().map(|one| (text(&one["metric"]["instance"]), text(&one["value"][1]))).collect();
        values.sort();
        values
    }
}

/// A server that asks the two roles for their passwords, as it does over a network, and the roles that `sql/roles.sh` makes.
async fn postgres(services: &Services) -> EmbeddedPostgres {
    let directory = services.path("postgres");
    let options = Options { directory, durability: Durability::ThrowAway, binaries: None };
    let postgres = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options)).await.unwrap();
    let postgres = postgres.unwrap_or_else(|error| panic!("the tests need Postgres: {error}"));
    let (client, connection) = tokio_postgres::connect(&postgres.url("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE DATABASE ephemint").await.unwrap();
    let access: String = client.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
    fs::write(access, "local all ephemint trust\nlocal all all scram-sha-256\n").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();

    let environment = services.environment("postgres");
    let mut roles = Command::new(root("sql/roles.sh"));
    roles.envs(environment.iter().map(|(name, value)| (name, value))).env("ROLES", root("sql/roles.sql"));
    roles.env("PGHOST", postgres.socket_directory()).env("PGUSER", "ephemint");
    let output = roles.output().await.unwrap();
    assert!(output.status.success(), "{}", complaint(&output));

    // The rules are read anew some time after they were asked for.
    let guessed = postgres.url("ephemint").replace("//ephemint@", "//ephemint_runtime:guessed@");
    eventually("nobody gets in without the password", async || {
        let refused = tokio_postgres::connect(&guessed, tokio_postgres::NoTls).await.err()?;
        (refused.code() == Some(&SqlState::INVALID_PASSWORD)).then_some(())
    })
    .await;

    // The server's name in the URLs, by what stands for it here.
    let socket = format!("@/ephemint?host={}&", postgres.socket_directory().display());
    for name in ["database_url", "migration_url"] {
        let file = services.path("secrets").join(name);
        let url = fs::read_to_string(&file).unwrap();
        fs::write(&file, url.replace("@postgres/ephemint?", &socket)).unwrap();
    }
    postgres
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_of_the_compose_file_work_together() {
    let mut graph = Graph::start().await;
    for service in ["ephemint-1", "ephemint-2", "demo", "gateway", "prometheus"] {
        graph.healthy(service).await;
    }

    // What docs/deploying.md has one type: an account, and a credential for the admin listener.
    let mut add = graph.services.ephemint("ephemint-1", &["users", "add", "alice"]);
    let mut child = add.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, PASSWORD.as_bytes()).await.unwrap();
    drop(stdin);
    assert!(child.wait().await.unwrap().success());
    let arguments = ["clients", "add", "ops", "--scope", "sessions:revoke", "--json"];
    let added = graph.services.ephemint("ephemint-2", &arguments).output().await.unwrap();
    let added: Value = serde_json::from_slice(&added.stdout).unwrap_or_else(|_| panic!("{}", complaint(&added)));

    let cookie = graph.sign_in().await;
    // By turns at both replicas, which know the session by heart then.
    for _ in 0..4 {
        let answer = graph.call("/api/hello", &cookie).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["subject"], &answer["session_cookie_received"]), (&json!("alice"), &json!(false)));
        assert_eq!(answer["claims"]["iss"], graph.front);
    }
    for replica in ["ephemint-1", "ephemint-2"] {
        assert_eq!(graph.exchange(replica, &cookie).await, StatusCode::OK);
    }
    let page = graph.call("/demo/", "").await;
    assert_eq!(page.status(), StatusCode::OK);

    // Revoked at one replica, refused at the other, and at the front door.
    let session: Value = graph.call("/session", &cookie).await.json().await.unwrap();
    let url = format!(
        "http://{}/admin/sessions/{}",
        graph.services.address("ephemint-2", 9090),
        session["session_id"].as_str().unwrap()
    );
    let revoke = graph.http.request(Method::DELETE, url).bearer_auth(added["client_secret"].as_str().unwrap());
    assert_eq!(revoke.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(graph.exchange("ephemint-2", &cookie).await, StatusCode::UNAUTHORIZED);
    eventually("the other replica refuses it", async || {
        (graph.exchange("ephemint-1", &cookie).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    for _ in 0..4 {
        assert_eq!(graph.call("/api/hello", &cookie).await.status(), StatusCode::UNAUTHORIZED);
    }

    let targets = ["ephemint-1", "ephemint-2"].map(|replica| graph.services.address(replica, 9090).to_string());
    let mut expected = targets.map(|target| (target, "1".to_owned())).to_vec();
    expected.sort();
    eventually("Prometheus has both replicas", async || {
        (graph.query("up{job=\"ephemint\"}").await == expected).then_some(())
    })
    .await;
    eventually("Prometheus has counted the exchanges", async || {
        let counted = graph.query("sum by (instance) (ephemint_exchanges_total{outcome=\"issued\"}) > 0").await;
        (counted.len() == 2).then_some(())
    })
    .await;

    a_replica_may_die(&mut graph).await;
    for process in [&mut graph.demo, &mut graph.gateway, &mut graph.prometheus] {
        assert!(process.try_wait().unwrap().is_none(), "it still runs");
    }
    assert!(graph.postgres.try_wait().unwrap().is_none());
    let log = fs::read_to_string(graph.services.log("gateway")).unwrap();
    assert!(log.contains("\"path\":\"/api/hello\""), "nginx logs to its standard output: {log}");
    assert!(!log.contains(COOKIE), "{log}");
}

/// The front door goes on with the replica that is left, and Prometheus sees which one is missing.
async fn a_replica_may_die(graph: &mut Graph) {
    graph.other.signal(Signal::SIGKILL);
    graph.other.child.wait().await.unwrap();
    let cookie = graph.sign_in().await;
    for _ in 0..6 {
        assert_eq!(graph.call("/api/hello", &cookie).await.status(), StatusCode::OK);
    }
    let dead = graph.services.address("ephemint-2", 9090).to_string();
    eventually("Prometheus misses the dead replica", async || {
        graph.query("up{job=\"ephemint\"} == 0").await.iter().any(|(instance, _)| *instance == dead).then_some(())
    })
    .await;
    graph.one.terminate();
    assert_eq!(graph.one.exit_code(Duration::from_secs(30)).await, 0);
}
