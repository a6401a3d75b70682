//! One test for each reason why there is no live session. From outside all of them look the same.

use std::{sync::Arc, time::Duration};

use ephemint::clock::{Clock as _, ManualClock, SystemClock};
use reqwest::{Method, StatusCode};

use super::counted;
use crate::support::{
    app::{Started, TestApp},
    database::TestDatabase,
    raw,
};

const IDLE_SETTINGS: &str = "session.idle_timeout = '10m'\nsession.activity_granularity = '1m'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cookie_is_refused_with_a_challenge_and_nothing_else() {
    let app = TestApp::spawn().await;

    let answer = raw::ask(app.addresses.gateway, "GET", "/exchange/orders", &[]).await;

    let lines = [
        "cache-control: no-store",
        "connection: close",
        "content-length: 0",
        "www-authenticate: Session realm=\"ephemint\"",
    ];
    assert_eq!((answer.status, answer.body.as_str()), (401, ""));
    assert_eq!(answer.lines, lines);
    counted(&app, "no_session_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_cookie_is_refused() {
    let app = TestApp::spawn().await;
    refused(&app, "__Host-session=", "malformed_session_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_no_session_has_is_refused() {
    let app = TestApp::spawn().await;
    app.given_session("alice").await;
    refused(&app, &format!("__Host-session=ems_{}", "A".repeat(43)), "unknown_session").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused() {
    let app = TestApp::spawn().await;
    let (session, other) = (app.given_session("alice").await, app.given_session("alice").await);
    let path = format!("/admin/sessions/{}", session.id);
    assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);

    refused(&app, &session.cookie(), "session_revoked").await;
    alive(&app, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_subject_who_was_signed_out_everywhere_is_refused() {
    let app = TestApp::spawn().await;
    let (session, bobs) = (app.given_session("alice").await, app.given_session("bob").await);
    let response = app.admin(Method::DELETE, "/admin/sessions?subject=alice").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    refused(&app, &session.cookie(), "session_revoked").await;
    alive(&app, &bobs).await;
    alive(&app, &app.given_session("alice").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_before_everyone_was_signed_out_is_refused() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    app.database.execute("UPDATE global_state SET revocation_epoch = revocation_epoch + 1, revoked_at = now()").await;

    refused(&app, &session.cookie(), "session_revoked").await;
    alive(&app, &app.given_session("alice").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_disabled_subject_is_refused() {
    let app = TestApp::spawn().await;
    let (session, bobs) = (app.given_session("alice").await, app.given_session("bob").await);
    app.database.execute("INSERT INTO subject_state (subject, disabled_at) VALUES ('alice', now())").await;

    refused(&app, &session.cookie(), "subject_disabled").await;
    alive(&app, &bobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_past_its_absolute_end_is_refused() {
    let app = TestApp::spawn_with("session.idle_timeout = '1h'\nsession.absolute_timeout = '1h'").await;
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(3_598)).await;
    alive(&app, &session).await;
    app.advance(Duration::from_secs(2)).await;

    refused(&app, &session.cookie(), "session_expired").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unused_session_is_refused_after_the_idle_timeout_and_one_granularity_and_never_before() {
    let app = TestApp::spawn_with(IDLE_SETTINGS).await;
    let (at_the_timeout, at_the_last_moment, after) =
        (app.given_session("alice").await, app.given_session("alice").await, app.given_session("alice").await);

    app.advance(Duration::from_secs(600)).await;
    alive(&app, &at_the_timeout).await;
    app.advance(Duration::from_micros(59_999_999)).await;
    alive(&app, &at_the_last_moment).await;
    app.advance(Duration::from_micros(1)).await;
    refused(&app, &after.cookie(), "session_idle").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_keeps_a_session_alive_on_every_replica() {
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let database = TestDatabase::migrated().await;
    let spawn = || TestApp::spawn_at(Arc::clone(&clock), database.clone(), &database.url, IDLE_SETTINGS);
    let (here, there) = (spawn().await, spawn().await);
    let (used, unused) = (here.given_session("alice").await, here.given_session("alice").await);

    here.advance(Duration::from_secs(540)).await;
    alive(&here, &used).await;
    // Before it is written, the replica that saw it knows; afterwards all do.
    here.advance(Duration::from_secs(130)).await;
    alive(&here, &used).await;
    here.activity.flush().await.unwrap();
    there.advance(Duration::from_secs(540)).await;
    here.state.keys.step().await.unwrap();

    alive(&there, &used).await;
    refused(&there, &unused.cookie(), "session_idle").await;
    here.activity.flush().await.unwrap();
    there.activity.flush().await.unwrap();
    there.advance(Duration::from_secs(660)).await;
    refused(&here, &used.cookie(), "session_idle").await;
}

/// The refusal of this cookie is, byte for byte, that of a request without one; only the metric knows why.
async fn refused(app: &TestApp, cookie: &str, outcome: &str) {
    let gateway = app.addresses.gateway;
    let line = format!("Cookie: {cookie}");
    let answer = raw::ask(gateway, "GET", "/exchange/orders", &[line.as_bytes()]).await;
    assert_eq!(answer.status, 401, "{outcome}");
    counted(app, outcome).await;
    assert_eq!(answer, raw::ask(gateway, "GET", "/exchange/orders", &[]).await, "{outcome}");
}

async fn alive(app: &TestApp, session: &Started) {
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
}
