//! The canary: revoked by one replica, noticed by all, and nobody's session.

use std::{sync::Arc, time::Duration};

use ephemint::{clock::Clock as _, domain::instant::rfc3339, service::canary::Canary};
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    app::{TestApp, sample},
    audit::Audit,
    database::{TestDatabase, eventually},
};

const INTERVAL: Duration = Duration::from_mins(1);
const WATCHED: &str = "exchange.canary_interval = '60s'";
const STORED: &str = "SELECT count(*) FROM session WHERE start_method = 'canary'";
const LIVE: &str = "SELECT count(*) FROM session WHERE start_method = 'canary' AND revoked_at IS NULL";

/// Two replicas under one clock, each with a canary that has stepped once or twice.
async fn pair() -> (TestApp, TestApp) {
    let database = TestDatabase::migrated().await;
    let url = database.url.clone();
    let one = TestApp::spawn_on(database.clone(), &url, WATCHED).await;
    let other = TestApp::spawn_at(Arc::clone(&one.clock), database, &url, WATCHED).await;
    for app in [&one, &other] {
        app.follower.poll().await.unwrap();
        canary(app).step().await.unwrap();
    }
    (one, other)
}

fn canary(app: &TestApp) -> &Canary {
    app.canary.as_deref().expect("a canary")
}

/// How many revocations a replica has timed.
async fn timed(app: &TestApp) -> f64 {
    sample(&app.metrics().await, "ephemint_revocation_propagation_seconds_count", &[])
}

/// Whether a replica was overdue so many times.
async fn overdue(app: &TestApp, times: u8) -> bool {
    app.metrics().await.contains(&format!("\nephemint_canary_overdue_total {times}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_revokes_and_every_replica_times_it() {
    let (one, other) = pair().await;
    let before = (timed(&one).await, timed(&other).await);
    one.clock.advance(INTERVAL);
    let (first, second) = tokio::join!(canary(&one).step(), canary(&other).step());
    first.and(second).unwrap();
    assert_eq!(one.database.count(LIVE).await, 1, "one turn, not two");
    for (app, before) in [(&one, before.0), (&other, before.1)] {
        eventually("the revocation is timed", async || (timed(app).await > before).then_some(())).await;
        // It has noticed, so nothing is overdue however late one looks.
        app.clock.advance(Duration::from_secs(10));
        app.follower.poll().await.unwrap();
        canary(app).step().await.unwrap();
        assert!(overdue(app, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_does_not_notice_says_so() {
    let app = TestApp::spawn_with(WATCHED).await;
    app.follower.poll().await.unwrap();
    canary(&app).step().await.unwrap();
    // Somebody breaks the log: the revocation is stored, and nobody is told.
    app.database.execute("ALTER TABLE session DISABLE TRIGGER session_changed").await;
    app.clock.advance(INTERVAL);
    app.follower.poll().await.unwrap();
    canary(&app).step().await.unwrap();
    app.clock.advance(Duration::from_secs(3));
    app.follower.poll().await.unwrap();
    let error = canary(&app).step().await.unwrap_err().to_string();
    assert!(error.starts_with("a canary session is still believed 3s after"), "{error}");
    assert!(overdue(&app, 1).await);
    let within = "ephemint_revocation_propagation_seconds_bucket{le=\"2\"} 0\n";
    assert!(app.metrics().await.contains(within), "none was known in time");
    // Mended, with everyone marked, it is well again.
    app.database.execute("ALTER TABLE session ENABLE TRIGGER session_changed").await;
    app.database.execute("UPDATE global_state SET revoked_at = revoked_at").await;
    app.follower.poll().await.unwrap();
    canary(&app).step().await.unwrap();
    assert!(overdue(&app, 1).await, "told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_nobodys_session_and_leaves_no_heap_behind() {
    let audit = Audit::listen();
    let app = TestApp::spawn_with(WATCHED).await;
    for _ in 0..20 {
        canary(&app).step().await.unwrap();
        app.clock.advance(INTERVAL);
    }
    assert!((2..=8).contains(&app.database.count(STORED).await));
    let list = app.admin(Method::GET, "/admin/sessions").send().await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap()["sessions"], serde_json::json!([]));
    let metrics = app.metrics().await;
    for name in ["ephemint_sessions_started_total", "ephemint_sessions_ended_total", "ephemint_security_events_total"] {
        assert!(sample(&metrics, name, &[]).abs() < 0.5, "{name}");
    }
    // By the condition of `session/count_live`; the task that counts rests for as long as a count seemed to take by this clock.
    let now = rfc3339(app.clock.now());
    let live = format!("SELECT count(*) FROM session WHERE revoked_at IS NULL AND expires_at > '{now}'");
    assert_eq!(app.database.count(&live).await, 0);
    let told = audit.names();
    assert!(!told.iter().any(|name| name.starts_with("session")), "{told:?}");
}
