//! What becomes of an event when its receiver, the database or a replica fails: tried again, once, in time, within bounds.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ephemint::clock::{Clock as _, ManualClock, SystemClock};
use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::{
    account_disabled, hooks, outcomes, pending,
    receiver::{Conduct, HookReceiver, status, with_header},
    step, wait_for_outcomes,
};
use crate::support::{
    app::{TestApp, sample},
    database::{TestDatabase, eventually},
    proxy::DatabaseProxy,
};

/// How long from now the one event that waits is left alone.
async fn left_alone(app: &TestApp) -> Duration {
    let client = app.database.client().await;
    let row = client.query_one("SELECT next_attempt_at FROM hook_delivery", &[]).await.unwrap();
    let left: time::Duration = row.get::<_, OffsetDateTime>(0) - app.clock.now();
    left.try_into().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_tried_again_after_refused_connections_and_errors() {
    let mut receiver = HookReceiver::refusing();
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    app.events.record(&account_disabled(&app, "alice")).await;
    wait_for_outcomes(&app, "retried", 1).await;
    let left = left_alone(&app).await;
    assert!(left > seconds(3) && left <= seconds(5), "{left:?}");

    receiver.listen();
    receiver.conduct(status(500));
    step(&app).await;
    assert_eq!(receiver.arrived(), [], "its time has not come");
    app.advance(left).await;
    step(&app).await;
    wait_for_outcomes(&app, "retried", 2).await;
    let left = left_alone(&app).await;
    assert!(left >= seconds(15) && left <= seconds(20), "{left:?}");

    receiver.conduct(status(200));
    app.advance(left).await;
    step(&app).await;
    wait_for_outcomes(&app, "delivered", 1).await;
    let [first, second] = receiver.arrived().try_into().unwrap();
    assert_eq!((first.id(), &first.body), (second.id(), &second.body), "the same message");
    let timestamp = |message: &super::receiver::Arrived| message.headers["webhook-timestamp"].parse::<i64>().unwrap();
    assert!(timestamp(&second) - timestamp(&first) >= 15, "each attempt is signed anew");
    assert_ne!(first.headers["webhook-signature"], second.headers["webhook-signature"]);
    assert_eq!(pending(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_given_up_after_its_last_attempt() {
    let receiver = HookReceiver::listening();
    receiver.conduct(status(500));
    let app = TestApp::spawn_with(&hooks(&receiver, "max_attempts = 3")).await;
    app.events.record(&account_disabled(&app, "alice")).await;
    for attempt in 1..=2 {
        wait_for_outcomes(&app, "retried", attempt).await;
        assert_eq!(pending(&app).await, 1);
        app.advance(left_alone(&app).await).await;
        step(&app).await;
    }
    wait_for_outcomes(&app, "given_up", 1).await;
    assert_eq!((receiver.arrived().len(), pending(&app).await), (3, 0));

    receiver.conduct(status(410));
    app.events.record(&account_disabled(&app, "bob")).await;
    wait_for_outcomes(&app, "given_up", 2).await;
    assert_eq!((receiver.arrived().len(), pending(&app).await), (4, 0), "gone for good is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_may_ask_for_a_longer_pause_within_bounds() {
    for (answer, from, to) in [
        (with_header(429, "retry-after: 600"), seconds(600), seconds(600)),
        (with_header(503, "Retry-After: 1"), seconds(3), seconds(5)),
        (with_header(503, "retry-after: 99999999"), seconds(6 * 3_600), seconds(6 * 3_600)),
        (with_header(503, "retry-after: Fri, 31 Dec 9999 23:59:59 GMT"), seconds(6 * 3_600), seconds(6 * 3_600)),
        (with_header(500, "retry-after: 600"), seconds(3), seconds(5)),
    ] {
        let receiver = HookReceiver::listening();
        receiver.conduct(answer.clone());
        let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
        app.events.record(&account_disabled(&app, "alice")).await;
        wait_for_outcomes(&app, "retried", 1).await;
        let left = left_alone(&app).await;
        assert!(left >= from && left <= to, "{answer:?}: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let (receiver, elsewhere) = (HookReceiver::listening(), HookReceiver::listening());
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    for (times, code) in (1..).zip([301, 302, 303, 307, 308]) {
        receiver.conduct(with_header(code, &format!("location: http://{}/", elsewhere.address)));
        app.events.record(&account_disabled(&app, "alice")).await;
        wait_for_outcomes(&app, "retried", times).await;
    }
    assert_eq!((receiver.arrived().len(), elsewhere.arrived().len()), (5, 0));
    assert_eq!(pending(&app).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_talkative_receiver_is_cut_off() {
    let receiver = HookReceiver::listening();
    let app = TestApp::spawn_with(&hooks(&receiver, "timeout = '300ms'")).await;
    for (times, conduct) in (1..).zip([
        Conduct::Silent,
        Conduct::Endless("HTTP/1.1 200 OK\r\nx: ", "y"),
        Conduct::Endless("HTTP/1.1 200 OK\r\n", "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
        Conduct::Endless("", "HTTP/1.1 100 Continue\r\n\r\n"),
        Conduct::Head("I speak no HTTP\r\n\r\n".to_owned()),
    ]) {
        receiver.conduct(conduct.clone());
        let clock = SystemClock::new();
        app.events.record(&account_disabled(&app, "alice")).await;
        wait_for_outcomes(&app, "retried", times).await;
        assert!(clock.monotonic() < seconds(3), "{conduct:?}: {:?}", clock.monotonic());
    }

    // A body without end takes nothing from the status before it.
    receiver.conduct(Conduct::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"));
    app.events.record(&account_disabled(&app, "bob")).await;
    wait_for_outcomes(&app, "delivered", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_is_bounded_and_what_is_too_much_is_counted() {
    let receiver = HookReceiver::refusing();
    let app = TestApp::spawn_with(&hooks(&receiver, "max_pending = 3")).await;
    for _ in 0..5 {
        app.events.record(&account_disabled(&app, "alice")).await;
    }
    assert_eq!(pending(&app).await, 3);
    assert!((outcomes(&app, "dropped").await - 2.0).abs() < 0.5);
    wait_for_outcomes(&app, "retried", 3).await;
    step(&app).await;
    assert!((sample(&app.metrics().await, "ephemint_hook_deliveries_pending", &[]) - 3.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_fails_nobody_while_the_database_is_away() {
    let (receiver, proxy) = (HookReceiver::listening(), DatabaseProxy::open().await);
    let database = TestDatabase::migrated().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, &hooks(&receiver, "")).await;
    proxy.close();
    let clock = SystemClock::new();
    app.events.record(&account_disabled(&app, "alice")).await;
    assert!(clock.monotonic() < seconds(5), "{:?}", clock.monotonic());
    wait_for_outcomes(&app, "lost", 1).await;

    proxy.reopen();
    eventually("events arrive again", async || {
        app.events.record(&account_disabled(&app, "bob")).await;
        (!receiver.arrived().is_empty()).then_some(())
    })
    .await;
    assert_eq!(receiver.arrived()[0].json()["data"]["subject"], "bob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_post_each_event_once() {
    const EVENTS: u32 = 60;
    let receiver = HookReceiver::listening();
    let database = TestDatabase::migrated().await;
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    // Many at once, so each may have to wait for a connection.
    let settings = format!("database.wait_timeout = '10s'\n{}", hooks(&receiver, ""));
    let replica = async || TestApp::spawn_at(clock.clone(), database.clone(), &database.url, &settings).await;
    let replicas = [replica().await, replica().await];
    join_all((0..EVENTS).map(async |number| {
        let app = &replicas[usize::from(number % 2 == 0)];
        app.events.record(&account_disabled(app, &format!("subject-{number}"))).await;
        step(app).await;
    }))
    .await;
    eventually("all are delivered", async || (pending(&replicas[0]).await == 0).then_some(())).await;

    let messages = receiver.arrived();
    let ids: HashSet<_> = messages.iter().map(|message| message.id().to_owned()).collect();
    let subjects: HashSet<_> = messages.iter().map(|message| message.json()["data"]["subject"].to_string()).collect();
    let events = usize::try_from(EVENTS).unwrap();
    assert_eq!((messages.len(), ids.len(), subjects.len()), (events, events, events));
    let delivered = [outcomes(&replicas[0], "delivered").await, outcomes(&replicas[1], "delivered").await];
    assert!((delivered[0] + delivered[1] - f64::from(EVENTS)).abs() < 0.5, "{delivered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_overtaken_settles_nothing() {
    let (slow, fast) = (HookReceiver::listening(), HookReceiver::listening());
    let answer = Arc::new(Notify::new());
    slow.conduct(Conduct::Later(Arc::clone(&answer), "HTTP/1.1 500 Later\r\ncontent-length: 0\r\n\r\n".to_owned()));
    let database = TestDatabase::migrated().await;
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let first = hooks(&slow, "timeout = '30s'");
    let first = TestApp::spawn_at(clock.clone(), database.clone(), &database.url, &first).await;
    first.events.record(&account_disabled(&first, "alice")).await;
    slow.wait_for(1).await;

    // While the first still waits for an answer, time leaps and another replica takes over; its receiver says: later.
    fast.conduct(with_header(429, "retry-after: 3600"));
    clock.advance(seconds(41));
    let second = TestApp::spawn_at(clock.clone(), database.clone(), &database.url, &hooks(&fast, "")).await;
    step(&second).await;
    wait_for_outcomes(&second, "retried", 1).await;
    answer.notify_one();
    wait_for_outcomes(&first, "retried", 1).await;
    assert_eq!(left_alone(&second).await, seconds(3_600), "the one that was overtaken changes nothing");
}
