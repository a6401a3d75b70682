//! Connections, the way out, and what operators read: health, version, metrics.

mod exposition;
mod shutdown;

use std::time::Duration;

use ephemint::{
    clock::{Clock as _, SystemClock},
    telemetry::metrics::TABLE,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    answer::{problem, says_nothing_internal, single},
    app::{COOKIE, TestApp},
    database::TestDatabase,
    proxy::DatabaseProxy,
    wire::Connection,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_one_request_after_another_until_asked_to_close() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    for (address, path, status) in [
        (app.addresses.gateway, "/exchange/orders", 200),
        (app.addresses.public, "/session", 200),
        (app.addresses.admin, "/none", 404),
        (app.addresses.gateway, "/exchange/unknown", 403),
    ] {
        let mut connection = Connection::open(address).await;
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\ncookie: {}\r\n", session.cookie());
        for _ in 0..5 {
            connection.send(format!("{head}\r\n").as_bytes()).await;
            let answer = connection.answer(false).await.expect("the connection stays open");
            assert_eq!(answer.status, status, "{path}");
            assert!(!answer.headers.contains_key("connection"), "{path}: {answer:?}");
        }
        connection.send(format!("{head}connection: close\r\n\r\n").as_bytes()).await;
        let answer = connection.answer(false).await.unwrap();
        assert_eq!((answer.status, &answer.headers["connection"]), (status, &"close".parse().unwrap()), "{path}");
        assert!(connection.is_closed().await, "{path}");
    }
    let mut old = Connection::open(app.addresses.gateway).await;
    old.send(b"GET /exchange/orders HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer(false).await.unwrap().status, 401);
    assert!(old.is_closed().await, "HTTP/1.0 keeps no connection that it did not ask for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_read_health_and_version_without_a_credential() {
    let app = TestApp::spawn().await;
    let get = async |path: &str| {
        let response = app.anonymous_admin(Method::GET, path).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(get("/livez").await, (200, json!({ "status": "live" })));
    let checks = json!({ "database": "ok", "schema": "ok", "signing_key": "ok", "not_draining": "ok" });
    assert_eq!(get("/readyz").await, (200, json!({ "status": "ready", "checks": checks })));
    let version = json!({ "version": ephemint::version::VERSION, "commit": ephemint::version::COMMIT });
    assert_eq!(get("/version").await, (200, version));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_database_and_liveness_does_not() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    let session = app.given_session("alice").await;
    for _ in 0..2 {
        proxy.close();
        let response = app.anonymous_admin(Method::GET, "/readyz").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body: Value = response.json().await.unwrap();
        let checks = json!({ "database": "failing", "schema": "failing", "signing_key": "ok", "not_draining": "ok" });
        assert_eq!(body, json!({ "status": "not ready", "checks": checks }));
        for path in ["/livez", "/version", "/metrics"] {
            let response = app.anonymous_admin(Method::GET, path).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
        }
        assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::SERVICE_UNAVAILABLE);

        let clock = SystemClock::new();
        proxy.reopen();
        for path in ["/readyz", "exchange"] {
            loop {
                let answer = match path {
                    "exchange" => app.exchange_for("strict", &session.cookie()).await,
                    path => app.anonymous_admin(Method::GET, path).send().await.unwrap(),
                };
                let waited = clock.monotonic();
                assert!(waited < Duration::from_secs(2), "{path} not back after {waited:?}");
                if answer.status() == StatusCode::OK {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_no_where_the_schema_is_behind() {
    let app = TestApp::spawn().await;
    app.database
        .execute(
            "DELETE FROM refinery_schema_history WHERE version = (SELECT max(version) FROM refinery_schema_history)",
        )
        .await;
    let response = app.anonymous_admin(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["checks"]["database"], &body["checks"]["schema"]), (&json!("ok"), &json!("failing")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_well_formed_and_each_is_in_the_table() {
    let app = TestApp::spawn().await;
    let session = app.given_session("stowaway-subject").await;
    app.access_token("orders", &session).await;
    app.access_token("legacy", &session).await;
    for cookie in ["", "__Host-session=x", &format!("{COOKIE}=ems_{}A", "x".repeat(42))] {
        app.exchange(cookie).await;
    }
    app.exchange_for("stowaway-audience", &session.cookie()).await;
    for (path, method) in
        [("/session", "GET"), ("/stowaway-path", "GET"), ("/logout", "STOWAWAY"), ("/problems/stowaway", "GET")]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        app.public(method, path).header("cookie", session.cookie()).send().await.unwrap();
    }
    problem(app.anonymous_admin(Method::GET, "/admin/keys").send().await.unwrap(), 401, "no-credential").await;
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", session.id)).send().await.unwrap();

    let response = app.anonymous_admin(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(single(response.headers(), "content-type"), "text/plain; version=0.0.4");
    let text = response.text().await.unwrap();
    let families = exposition::parse(&text).unwrap_or_else(|fault| panic!("{fault}"));
    for family in &families {
        if family.name.starts_with("process_") {
            continue;
        }
        let row = TABLE.iter().find(|row| row.name == family.name).unwrap_or_else(|| panic!("unknown {}", family.name));
        assert_eq!((family.kind.as_str(), family.help.as_str()), (row.kind, row.help.trim()), "{}", row.name);
        for sample in &family.samples {
            let mut labels: Vec<&str> =
                sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
            let mut wanted = row.labels.to_vec();
            labels.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(labels, wanted, "{}", row.name);
        }
    }
    for seen in
        ["exchanges_total", "tokens_signed_total", "database_queries_total", "sessions_started_total", "build_info"]
    {
        assert!(families.iter().any(|family| family.name == format!("ephemint_{seen}")), "{seen}");
    }
    assert!(families.iter().any(|family| family.name == "process_resident_memory_bytes"));
    // Labels are closed sets: nothing that a client chose is among them.
    for chosen in ["stowaway", "STOWAWAY", &session.id, "ems_", "emc_"] {
        assert!(!text.contains(chosen), "{chosen}");
    }
    assert!(text.contains("route=\"unmatched\"") && text.contains("method=\"other\""));
    says_nothing_internal(&response_free_of_names(&text));
}

/// A metrics text without the names and help texts that may speak of the database.
fn response_free_of_names(text: &str) -> String {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let values: Vec<&str> = samples.filter_map(|line| line.split_once('{').map(|(_, labels)| labels)).collect();
    values.join("\n")
}
