//! Waiting until every replica knows of a revocation: who is waited for, and for how long.

use std::{sync::Arc, time::Duration};

use ephemint::{
    clock::{Clock as _, ManualClock, SystemClock},
    service::{freshness::Freshness, registry::Registry},
    storage::replicas::{ReplicaId, ReplicaStore},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    app::{Started, TestApp, rfc3339, sample},
    database::eventually,
};

/// How long the bound is in these tests: longer than anything else takes.
const BOUND: Duration = Duration::from_secs(2);
const OTHERS: &str = "SELECT count(*) FROM replica WHERE passed = 0 OR passed = -1";

async fn revoke(app: &TestApp, session: &Started) -> (Value, Duration) {
    let clock = SystemClock::new();
    let path = format!("/admin/sessions/{}?wait=all", session.id);
    let answer = app.admin(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    (answer.json().await.unwrap(), clock.monotonic())
}

/// Another replica that is in the registry and does nothing else.
async fn given_replica(app: &TestApp) -> (ReplicaStore, ReplicaId) {
    let (store, id) = (ReplicaStore::new(app.state.database.clone()), ReplicaId::generate().unwrap());
    store.beat(id, 60).await.unwrap();
    (store, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_nobody_is_waited_for_and_the_answer_says_so() {
    let app = TestApp::spawn_with("exchange.max_staleness = '60s'\nexchange.poll_interval = '10s'").await;
    let session = app.given_session("alice").await;
    let (answer, took) = revoke(&app, &session).await;
    assert_eq!(answer["effective_by"], rfc3339(app.clock.now()), "it is so already");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let passed = sample(&app.metrics().await, "ephemint_revocation_barrier_seconds_count", &["outcome=\"passed\""]);
    assert!((passed - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_waited_for_until_it_has_passed_the_very_barrier() {
    let app = TestApp::spawn_with("exchange.max_staleness = '60s'\nexchange.poll_interval = '10s'").await;
    let (store, id) = given_replica(&app).await;
    // What it has passed before does not count.
    store.pass(id, store.raise().await.unwrap()).await.unwrap();
    let number = async || app.database.count("SELECT number FROM revocation_barrier").await;
    let before = number().await;
    let session = app.given_session("alice").await;
    let passing = async {
        eventually("a barrier", async || (number().await > before).then_some(())).await;
        // Another one starts while the answer is waited for.
        let (_, late) = given_replica(&app).await;
        store.pass(id, before).await.unwrap();
        store.pass(id, before + 1).await.unwrap();
        eventually("a look at the late one", async || {
            (app.database.count("SELECT count(*) FROM replica").await == 3).then_some(())
        })
        .await;
        let clock = SystemClock::new();
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.pass(late, before + 1).await.unwrap();
        clock.monotonic()
    };
    let clock = SystemClock::new();
    let ((answer, took), held) = tokio::join!(revoke(&app, &session), passing);
    assert!(took >= held, "answered after {took:?}, when the late one had held out for {held:?}");
    assert!(clock.monotonic() < Duration::from_secs(20));
    assert_eq!(answer["revoked"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_answer_is_waited_for_until_the_bound_and_not_longer() {
    let app = TestApp::spawn().await;
    let _silent = given_replica(&app).await;
    let session = app.given_session("alice").await;
    let (answer, took) = revoke(&app, &session).await;
    assert!(took >= BOUND && took < 3 * BOUND, "{took:?}");
    assert_eq!(answer["effective_by"], rfc3339(app.clock.now()));
    let waited = sample(&app.metrics().await, "ephemint_revocation_barrier_seconds_count", &["outcome=\"bound\""]);
    assert!((waited - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_can_wait_too() {
    let app = TestApp::spawn().await;
    let _silent = given_replica(&app).await;
    for (query, least) in [("?wait=all", BOUND), ("", Duration::ZERO)] {
        let session = app.given_session("alice").await;
        let clock = SystemClock::new();
        let logout = app.public(Method::POST, &format!("/logout{query}")).header("cookie", session.cookie());
        assert_eq!(logout.send().await.unwrap().status(), StatusCode::NO_CONTENT);
        assert!(clock.monotonic() >= least && clock.monotonic() < least + BOUND, "{query}: {:?}", clock.monotonic());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_before_has_no_row_and_is_waited_for_all_the_same() {
    let app = TestApp::spawn().await;
    app.state.accounts.sweep().await.unwrap();
    assert_eq!(app.database.count(OTHERS).await, 1, "this replica's own");
    // What that version does at its start and every minute.
    app.database
        .execute("DELETE FROM login_throttle WHERE key_digest IN (SELECT key_digest FROM login_throttle)")
        .await;
    assert_eq!(app.database.count(OTHERS).await, 2);
    let session = app.given_session("alice").await;
    let (_, took) = revoke(&app, &session).await;
    assert!(took >= BOUND, "{took:?}");
    // Another such minute is another beat of the same heart.
    app.database.execute("DELETE FROM login_throttle").await;
    assert_eq!(app.database.count("SELECT beat FROM replica WHERE passed = -1").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_registry_cannot_be_read_the_bound_is_waited_out() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    app.database.execute("ALTER TABLE replica RENAME TO elsewhere").await;
    let (answer, took) = revoke(&app, &session).await;
    assert!(took >= BOUND, "{took:?}");
    assert_eq!(answer["revoked"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_not_in_the_registry_reads_every_row() {
    let app = TestApp::spawn_with("exchange.poll_interval = '1s'").await;
    let session = app.given_session("alice").await;
    app.follower.poll().await.unwrap();
    let from_memory = async || {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
        let before = sample(&app.metrics().await, "ephemint_exchanges_total", &["source=\"token_cache\""]);
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
        sample(&app.metrics().await, "ephemint_exchanges_total", &["source=\"token_cache\""]) > before + 0.5
    };
    assert!(from_memory().await);
    app.database.execute("DELETE FROM replica").await;
    app.clock.advance(Duration::from_secs(3));
    app.follower.poll().await.unwrap();
    assert!(!from_memory().await);
    // The next heartbeat makes the row anew.
    app.clock.advance(Duration::from_secs(3));
    eventually("memory again", async || {
        app.follower.poll().await.unwrap();
        from_memory().await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_have_been_given_up_answers_nobody_before_it_is_counted_in_again() {
    let app = TestApp::spawn_with("exchange.poll_interval = '1s'").await;
    let session = app.given_session("alice").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    app.database.execute("DELETE FROM replica; ALTER TABLE replica RENAME TO elsewhere").await;
    // Longer than its heart may stand still. It can read every row, and nobody would wait for what it does with it.
    app.clock.advance(Duration::from_secs(50));
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    app.database.execute("ALTER TABLE elsewhere RENAME TO replica").await;
    eventually("an answer", async || (app.exchange(&session.cookie()).await.status() == StatusCode::OK).then_some(()))
        .await;
    assert_eq!(app.database.count("SELECT count(*) FROM replica").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_when_replicas_stop_and_when_their_hearts_do() {
    let mut app = TestApp::spawn().await;
    let store = ReplicaStore::new(app.state.database.clone());
    let registry = |clock: &Arc<ManualClock>| {
        let id = ReplicaId::generate().unwrap();
        let freshness = Arc::new(Freshness::new(BOUND, Duration::from_mins(15)));
        (Registry::new(id, BOUND, store.clone(), Arc::clone(&freshness), Arc::clone(clock) as _), freshness)
    };
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let [(watching, counted), (living, _), (dead, dead_counted)] = [(); 3].map(|()| registry(&clock));
    dead.beat().await.unwrap();
    for _ in 0..16 {
        // The app's own heart stands still as well: it has a clock of its own.
        living.beat().await.unwrap();
        watching.beat().await.unwrap();
        assert!(counted.counted_in(clock.monotonic()));
        assert_eq!(store.list().await.unwrap().iter().filter(|heart| heart.replica == dead.id()).count(), 1);
        clock.advance(Duration::from_secs(4));
    }
    assert!(!dead_counted.counted_in(clock.monotonic()), "it has stopped to answer by now");
    clock.advance(Duration::from_secs(4));
    living.beat().await.unwrap();
    watching.beat().await.unwrap();
    let left: Vec<_> = store.list().await.unwrap().into_iter().map(|heart| heart.replica).collect();
    assert!(left.contains(&living.id()) && left.contains(&watching.id()) && !left.contains(&dead.id()), "{left:?}");
    watching.leave().await.unwrap();
    app.stop().await;
    let database = app.database.clone();
    assert_eq!(database.count("SELECT count(*) FROM replica").await, 1, "the living one");
}
