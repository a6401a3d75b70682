//! The example microservice, run as a process: what it refuses, how soon, and what it does without the feed.
#![expect(clippy::print_stderr, reason = "what was measured is told")]

use std::{path::PathBuf, process::Stdio, time::Duration};

use ephemint::clock::{Clock as _, SystemClock};
use reqwest::{Client, StatusCode};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};

use super::replica_of;
use crate::support::{
    app::{Started, TestApp},
    database::eventually,
    program::program,
};

/// Well under a second; on a machine that does nothing else it is a few milliseconds.
const SOON: Duration = Duration::from_millis(300);

/// The example as it is in the source, built where the tests were.
async fn example() -> PathBuf {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let directory = program().parent().unwrap().to_owned();
    let built = async {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--quiet",
            "--locked",
            "--example",
            "microservice",
        ]);
        cargo.arg("--target-dir").arg(directory.parent().unwrap());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().await.unwrap().success(), "the example cannot be built");
    };
    BUILT.get_or_init(|| built).await;
    directory.join("examples/microservice")
}

struct Microservice {
    url: String,
    http: Client,
    _process: Child,
}

impl Microservice {
    /// Follows the feed of this service, and has heard from it.
    async fn following(app: &TestApp, without_feed: &str) -> Self {
        let mut command = Command::new(example().await);
        command.args(["--listen", "127.0.0.1:0", "--issuer", "https://app.example.com", "--audience", "orders"]);
        command.arg("--gateway").arg(format!("http://{}", app.addresses.gateway));
        command.args(["--without-feed", without_feed, "--patience-ms", "1500"]);
        let mut process = command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap().expect("it says where it listens");
            if let Some((_, url)) = line.split_once("listens on ") {
                break url.to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let this = Self { url, http: app.http.clone(), _process: process };
        eventually("it has heard from the feed", async || this.is_ready().await.then_some(())).await;
        this
    }

    async fn is_ready(&self) -> bool {
        self.http.get(format!("{}/ready", self.url)).send().await.unwrap().status() == StatusCode::OK
    }

    async fn call(&self, token: &str) -> StatusCode {
        self.http.get(format!("{}/orders/7", self.url)).bearer_auth(token).send().await.unwrap().status()
    }
}

/// How long after the answer to the revocation a token of the session was still taken.
async fn refused_after(app: &TestApp, service: &Microservice, session: &Started, token: &str) -> Duration {
    assert_eq!(service.call(token).await, StatusCode::OK);
    let delete = app.admin(reqwest::Method::DELETE, &format!("/admin/sessions/{}", session.id));
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::OK);
    let clock = SystemClock::new();
    let mut last = Duration::ZERO;
    while clock.monotonic() < Duration::from_secs(5) {
        match service.call(token).await {
            StatusCode::UNAUTHORIZED => break,
            status => assert_eq!(status, StatusCode::OK),
        }
        last = clock.monotonic();
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_sessions_valid_token_is_refused_within_milliseconds() {
    let app = TestApp::spawn().await;
    let second = replica_of(&app, "").await;
    for (place, followed) in [("the same replica", &app), ("another replica", &second)] {
        let service = Microservice::following(followed, "closed").await;
        let mut took = Vec::new();
        for _ in 0..10 {
            let (session, other) = (app.given_session("alice").await, app.given_session("alice").await);
            let tokens = [app.access_token("orders", &session).await, app.access_token("orders", &other).await];
            took.push(refused_after(&app, &service, &session, &tokens[0]).await);
            assert_eq!(service.call(&tokens[0]).await, StatusCode::UNAUTHORIZED, "and it stays so");
            assert_eq!(service.call(&tokens[1]).await, StatusCode::OK);
        }
        took.sort_unstable();
        eprintln!(
            "revoked on one replica, followed on {place}: taken for {:?} (median), {:?} (most)",
            took[5], took[9]
        );
        assert!(took[9] < SOON, "{place}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_feed_tokens_are_taken_as_they_are_or_not_at_all_as_it_was_told() {
    let mut app = TestApp::spawn().await;
    let (open, closed) = (Microservice::following(&app, "open").await, Microservice::following(&app, "closed").await);
    let (alive, ended) = (app.given_session("alice").await, app.given_session("bob").await);
    let (token, dead) = (app.access_token("orders", &alive).await, app.access_token("orders", &ended).await);
    for service in [&open, &closed] {
        assert_eq!(service.call(&token).await, StatusCode::OK);
    }
    refused_after(&app, &open, &ended, &dead).await;
    refused_after_too(&closed, &dead).await;
    app.stop().await;
    for service in [&open, &closed] {
        eventually("it has lost the feed", async || (!service.is_ready().await).then_some(())).await;
        assert_eq!(service.call(&dead).await, StatusCode::UNAUTHORIZED, "what is known stays known");
    }
    assert_eq!(open.call(&token).await, StatusCode::OK);
    assert_eq!(closed.call(&token).await, StatusCode::SERVICE_UNAVAILABLE);
}

async fn refused_after_too(service: &Microservice, token: &str) {
    let refused = async || (service.call(token).await == StatusCode::UNAUTHORIZED).then_some(());
    eventually("the other one refuses it too", refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_event_stream_is_to_be_had_it_polls() {
    let app = TestApp::spawn_with("revocations.max_listeners = 1").await;
    // Takes the one place.
    let stream = app.gateway(reqwest::Method::GET, "/revocations").header("accept", "text/event-stream");
    let stream = stream.timeout(Duration::from_secs(60)).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let service = Microservice::following(&app, "closed").await;
    let session = app.given_session("alice").await;
    let token = app.access_token("orders", &session).await;
    let took = refused_after(&app, &service, &session, &token).await;
    eprintln!("revoked, and polled: taken for {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
