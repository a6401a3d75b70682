//! The feed as a stream of events.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{refuses, replica_of, revoke};
use crate::support::{
    app::{TestApp, payload, sample},
    database::eventually,
};

/// An event that carries a statement.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    claims: Value,
}

/// A listener.
struct Events {
    response: Response,
    buffer: String,
}

impl Events {
    async fn open(app: &TestApp, last: Option<&str>) -> Self {
        let response = listen(app, last).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next statement; nothing where the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                let event = (field("id"), field("event"), field("data"));
                self.buffer = String::from(rest);
                if let (Some(id), Some(name), Some(data)) = event {
                    return Some(Event { id, name, claims: payload(&data) });
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await.unwrap().unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next statement that names somebody.
    async fn change(&mut self) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if event.claims["sessions"] != json!([]) || event.claims.get("up_to").is_some() {
                return event;
            }
        }
    }
}

async fn listen(app: &TestApp, last: Option<&str>) -> Response {
    let request = app.gateway(Method::GET, "/revocations").header("accept", "text/event-stream");
    let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_gets_a_snapshot_then_each_change_and_heartbeats_between() {
    let app = TestApp::spawn_with("revocations.heartbeat = '100ms'").await;
    let (early, late) = (app.given_session("alice").await, app.given_session("alice").await);
    revoke(&app, &early).await;
    let mut events = Events::open(&app, None).await;
    let snapshot = events.next().await.unwrap();
    assert_eq!((snapshot.name.as_str(), &snapshot.claims["sessions"]), ("snapshot", &json!([early.id])));
    assert!(snapshot.claims.get("after").is_none());
    let heartbeat = events.next().await.unwrap();
    assert_eq!((heartbeat.name.as_str(), &heartbeat.claims["sessions"]), ("changes", &json!([])));
    assert_eq!((&heartbeat.claims["id"], &heartbeat.claims["after"]), (&json!(snapshot.id), &json!(snapshot.id)));

    revoke(&app, &late).await;
    let change = events.change().await;
    assert_eq!((change.name.as_str(), &change.claims["sessions"]), ("changes", &json!([late.id])));
    assert_eq!((&change.claims["id"], &change.claims["after"]), (&json!(change.id), &json!(snapshot.id)));
    assert!(change.claims["as_of"].as_f64() >= snapshot.claims["as_of"].as_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_who_comes_back_is_told_what_came_since_and_elsewhere_everything() {
    let app = TestApp::spawn().await;
    let ended = [app.given_session("alice").await, app.given_session("bob").await, app.given_session("carol").await];
    let mut events = Events::open(&app, None).await;
    revoke(&app, &ended[0]).await;
    let seen = events.change().await;
    drop(events);
    revoke(&app, &ended[1]).await;
    revoke(&app, &ended[2]).await;
    let mut events = Events::open(&app, Some(&seen.id)).await;
    for session in &ended[1..] {
        assert_eq!(events.change().await.claims["sessions"], json!([session.id]));
    }
    let other = replica_of(&app, "").await;
    for (app, id) in [(&other, seen.id.as_str()), (&app, "x"), (&app, "")] {
        let event = Events::open(app, Some(id)).await.next().await.unwrap();
        assert_eq!(event.name, "snapshot");
        assert!(ended.iter().all(|session| refuses(&event.claims, &session.id)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_on_listeners_is_503_and_a_place_that_is_left_is_free() {
    let app = TestApp::spawn_with("revocations.max_listeners = 2\nrevocations.heartbeat = '100ms'").await;
    let (_one, two) = (Events::open(&app, None).await, Events::open(&app, None).await);
    let refused = listen(&app, None).await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    assert_eq!(app.gateway(Method::GET, "/revocations").send().await.unwrap().status(), StatusCode::OK);
    let metrics = app.metrics().await;
    assert!((sample(&metrics, "ephemint_revocations_feed_listeners", &[]) - 2.0).abs() < 0.5);
    assert!((sample(&metrics, "ephemint_revocations_feed_complete", &[]) - 1.0).abs() < 0.5);
    drop(two);
    let freed = async || (listen(&app, None).await.status() == StatusCode::OK).then_some(());
    eventually("a place is free", freed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_the_process_leaves() {
    let mut app = TestApp::spawn_with("shutdown.timeout = '20s'").await;
    let mut events = Events::open(&app, None).await;
    assert_eq!(events.next().await.unwrap().name, "snapshot");
    let ((), end) = tokio::time::timeout(Duration::from_secs(8), async {
        tokio::join!(app.stop(), async { while events.next().await.is_some() {} })
    })
    .await
    .expect("neither waits for the other");
    assert_eq!(end, ());
}
