//! The real process on its way out: nothing that was sent is lost, and a second signal waits for nobody.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    database::TestDatabase,
    program::{Serving, add_client, config_file},
    wire::Connection,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running service, a credential of it, and a live session's cookie.
struct Scene {
    serving: Serving,
    secret: String,
    cookie: String,
    _config: tempfile::NamedTempFile,
}

impl Scene {
    async fn set(more: &str) -> Self {
        let database = TestDatabase::migrated().await;
        // Waiting for the one database of all tests is no loss.
        let patient = "database.wait_timeout = '10s'\ndatabase.query_timeout = '10s'\nexchange.timeout = '10s'\n";
        let config = config_file(&database.url, &format!("{patient}{more}"));
        let serving = Serving::start(config.path()).await;
        let secret = add_client(config.path()).await;
        let start = client().post(format!("http://{}/admin/sessions", serving.admin)).bearer_auth(&secret);
        let response = start.json(&json!({ "subject": "alice" })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let started: Value = response.json().await.unwrap();
        let cookie = format!("__Host-session={}", started["session_token"].as_str().unwrap());
        Self { serving, secret, cookie, _config: config }
    }

    fn gateway(&self) -> SocketAddr {
        self.serving.gateway.parse().unwrap()
    }

    fn exchange_head(&self) -> Vec<u8> {
        format!("GET /exchange/orders HTTP/1.1\r\nhost: x\r\ncookie: {}\r\n\r\n", self.cookie).into_bytes()
    }
}

/// A client that keeps its connection and repeats nothing.
fn client() -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).retry(reqwest::retry::never()).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_no_request() {
    let mut scene = Scene::set("shutdown.drain = '1s'").await;
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let (answered, http) = (Arc::clone(&answered), client());
            let (gateway, admin) = (scene.serving.gateway.clone(), scene.serving.admin.clone());
            let (cookie, secret) = (scene.cookie.clone(), scene.secret.clone());
            tokio::spawn(async move {
                loop {
                    let (request, wanted) = if number % 2 == 0 {
                        let exchange = http.get(format!("http://{gateway}/exchange/orders")).header("cookie", &cookie);
                        (exchange, StatusCode::OK)
                    } else {
                        let start = http.post(format!("http://{admin}/admin/sessions")).bearer_auth(&secret);
                        (start.json(&json!({ "subject": format!("load-{number}") })), StatusCode::CREATED)
                    };
                    match request.send().await {
                        Ok(response) => {
                            assert_eq!(response.status(), wanted);
                            response.bytes().await.unwrap();
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        // Nothing was sent: a gateway takes another replica.
                        Err(error) if error.is_connect() => return,
                        Err(error) => panic!("lost: {error:?}"),
                    }
                }
            })
        })
        .collect();
    while answered.load(Ordering::SeqCst) < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    scene.serving.terminate();
    // A gateway that looks at readiness leaves when it says no.
    let readyz = format!("http://{}/readyz", scene.serving.admin);
    while client().get(&readyz).send().await.unwrap().status() == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = answered.load(Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered.load(Ordering::SeqCst) > before, "requests are served while readiness says no");
    assert_eq!(scene.serving.exit_code(PATIENCE).await, 0);
    scene.serving.logged("stopped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_draining_readiness_says_no_and_everything_else_is_served_and_asked_to_close() {
    let mut scene = Scene::set("shutdown.drain = '3s'").await;
    let mut used = Connection::open(scene.gateway()).await;
    let mut idle = Connection::open(scene.gateway()).await;
    for connection in [&mut used, &mut idle] {
        connection.send(&scene.exchange_head()).await;
        assert!(!connection.answer(false).await.unwrap().headers.contains_key("connection"));
    }
    scene.serving.terminate();
    scene.serving.logged("stopping: draining connections").await;

    let get = |path: &str| client().get(format!("http://{}{path}", scene.serving.admin)).send();
    let response = get("/readyz").await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["connection"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"close".parse().unwrap())
    );
    let body: Value = response.json().await.unwrap();
    let checks = json!({ "database": "ok", "schema": "ok", "signing_key": "ok", "not_draining": "failing" });
    assert_eq!(body, json!({ "status": "not ready", "checks": checks }));
    assert_eq!(get("/livez").await.unwrap().status(), StatusCode::OK);

    let mut fresh = Connection::open(scene.gateway()).await;
    for connection in [&mut used, &mut fresh] {
        connection.send(&scene.exchange_head()).await;
        let answer = connection.answer(false).await.expect("an open connection is served");
        assert_eq!((answer.status, &answer.headers["connection"]), (200, &"close".parse().unwrap()));
        assert!(connection.is_closed().await);
    }
    // Nothing was asked on this one, so it stays open for as long as something might be.
    assert!(scene.serving.child.try_wait().unwrap().is_none());
    assert!(idle.is_closed().await);
    assert_eq!(scene.serving.exit_code(PATIENCE).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_answered_before_the_process_ends() {
    let mut scene = Scene::set("shutdown.drain = '0s'").await;
    let body = r#"{"subject":"late"}"#;
    let head = format!(
        "POST /admin/sessions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        scene.secret,
        body.len()
    );
    let mut connection = Connection::open(scene.serving.admin.parse().unwrap()).await;
    connection.send(head.as_bytes()).await;
    assert_eq!(connection.answer(true).await.unwrap().status, 100, "the request is in flight");
    scene.serving.terminate();
    let gateway = scene.gateway();
    while TcpStream::connect(gateway).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    connection.send(body.as_bytes()).await;
    let answer = connection.answer(false).await.expect("an answer");
    assert_eq!((answer.status, &answer.headers["connection"]), (201, &"close".parse().unwrap()));
    assert_eq!(scene.serving.exit_code(PATIENCE).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_process_at_once() {
    for (first, second) in [(Signal::SIGTERM, Signal::SIGTERM), (Signal::SIGINT, Signal::SIGTERM)] {
        let mut scene = Scene::set("shutdown.drain = '10min'").await;
        scene.serving.signal(first);
        scene.serving.logged("stopping: draining connections").await;
        assert!(scene.serving.child.try_wait().unwrap().is_none(), "the first signal only asks");
        scene.serving.signal(second);
        assert_eq!(scene.serving.exit_code(Duration::from_secs(5)).await, 1);
    }
}
