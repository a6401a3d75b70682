//! The feed of revocations as services see it: who is named, from when and for how long, and what it says when it cannot say.

mod bounds;
mod follower;
mod stream;

use std::time::Duration;

use ephemint::service::sessions::RevokeReason;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    app::{Started, TestApp, header, payload},
    database::{TestDatabase, eventually},
    proxy::DatabaseProxy,
};

/// The feed's document with these headers and this query.
async fn get(app: &TestApp, query: &str, etag: Option<&str>) -> Response {
    let request = app.gateway(Method::GET, &format!("/revocations{query}"));
    let request = etag.into_iter().fold(request, |request, etag| request.header("if-none-match", etag));
    request.send().await.unwrap()
}

/// The claims of the feed's document.
async fn feed(app: &TestApp) -> Value {
    let response = get(app, "", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    payload(&response.text().await.unwrap())
}

/// The same, where the replica may have to find its place in the log first.
async fn feed_in_time(app: &TestApp) -> Option<Value> {
    let response = get(app, "", None).await;
    assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&response.status()), "{}", response.status());
    if response.status() == StatusCode::OK { Some(payload(&response.text().await.unwrap())) } else { None }
}

/// The check that services are told to make, with what a token says.
fn refuses(feed: &Value, sid: &str) -> bool {
    feed["up_to"].as_str().is_some_and(|up_to| sid <= up_to)
        || feed["sessions"].as_array().unwrap().iter().any(|session| session == sid)
}

async fn revoke(app: &TestApp, session: &Started) {
    let response = app.admin(Method::DELETE, &format!("/admin/sessions/{}", session.id)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

/// Another replica of the same service, under the same clock.
async fn replica_of(app: &TestApp, more: &str) -> TestApp {
    TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, more).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_revoked_is_named_before_the_revocation_is_answered() {
    let app = TestApp::spawn().await;
    assert_eq!(feed(&app).await["sessions"], json!([]));
    for _ in 0..20 {
        let (ended, other) = (app.given_session("alice").await, app.given_session("alice").await);
        revoke(&app, &ended).await;
        let feed = feed(&app).await;
        assert!(refuses(&feed, &ended.id) && !refuses(&feed, &other.id), "{feed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_signed_by_a_published_key_and_is_no_access_token() {
    let app = TestApp::spawn().await;
    let ended = app.given_session("alice").await;
    revoke(&app, &ended).await;
    let response = get(&app, "", None).await;
    let expected = [("content-type", "application/revocations+jwt"), ("cache-control", "no-cache"), ("vary", "Accept")];
    for (name, value) in expected {
        assert_eq!(response.headers()[name], value);
    }
    let text = response.text().await.unwrap();
    let head = header(&text);
    assert_eq!((&head["typ"], &head["alg"]), (&json!("revocations+jwt"), &json!("ES256")));

    let keys: JwkSet = app.gateway(Method::GET, "/.well-known/jwks.json").send().await.unwrap().json().await.unwrap();
    let key = DecodingKey::from_jwk(keys.find(head["kid"].as_str().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["https://app.example.com"]);
    validation.set_required_spec_claims(&["iss", "exp"]);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(&text, &key, &validation).unwrap().claims;
    assert_eq!(claims["sessions"], json!([ended.id]));
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["iss", "iat", "exp", "id", "as_of", "window", "sessions"]);
    // Staleness, the longest token, leeway.
    assert_eq!(claims["window"], json!(2 + 60 + 60));
    assert_eq!(claims["iat"], app.clock_seconds());
    assert_eq!(claims["exp"], app.clock_seconds() + 122);
    assert!((claims["as_of"].as_f64().unwrap() - claims["iat"].as_f64().unwrap()).abs() < 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_names_what_any_of_them_revoked_also_one_that_starts_later() {
    let app = TestApp::spawn().await;
    let (second, ended) = (replica_of(&app, "").await, app.given_session("alice").await);
    assert!(!refuses(&feed(&second).await, &ended.id));
    revoke(&app, &ended).await;
    eventually("the other replica names it", async || refuses(&feed(&second).await, &ended.id).then_some(())).await;
    let third = replica_of(&app, "").await;
    assert!(refuses(&feed(&third).await, &ended.id));
    // The same content has the same validator wherever it comes from.
    let etag = get(&second, "", None).await.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(get(&third, "", Some(&etag)).await.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_subjects_or_everyones_sessions_are_named_and_later_ones_are_not() {
    let app = TestApp::spawn().await;
    let second = replica_of(&app, "").await;
    feed(&app).await;
    feed(&second).await;
    let old = app.given_session("carol").await;
    app.advance(Duration::from_secs(3_600)).await;
    let mut dead = [app.given_session("alice").await, app.given_session("alice").await].to_vec();
    let bob = app.given_session("bob").await;
    let delete = app.admin(Method::DELETE, "/admin/sessions?subject=alice");
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::OK);
    let check = async |app: &TestApp, dead: &[Started], alive: &[&Started]| {
        let named = async || {
            let feed = feed_in_time(app).await?;
            dead.iter().all(|session| refuses(&feed, &session.id)).then_some(feed)
        };
        let feed = eventually("whoever has ended is named", named).await;
        assert!(alive.iter().all(|session| !refuses(&feed, &session.id)), "{feed}");
    };
    // In the same millisecond of this clock.
    let alice = app.given_session("alice").await;
    check(&app, &dead, &[&alice, &bob, &old]).await;
    check(&second, &dead, &[&alice, &bob, &old]).await;

    app.state.sessions.revoke_all(None, RevokeReason::Admin).await.unwrap();
    dead.extend([alice, bob, old]);
    let alice = app.given_session("alice").await;
    check(&app, &dead, &[&alice]).await;
    check(&second, &dead, &[&alice]).await;
    assert!(feed(&app).await["up_to"].is_string());
    check(&replica_of(&app, "").await, &dead, &[&alice]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_subjects_sessions_are_named() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    feed(&app).await;
    let disable = "INSERT INTO subject_state (subject, revocation_epoch, revoked_at, disabled_at) VALUES ('alice', 1, now(), now())";
    app.database.execute(disable).await;
    eventually("it is named", async || refuses(&feed(&app).await, &session.id).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_goes_when_no_token_can_live_any_more() {
    let app = TestApp::spawn_with("token.ttl = '30s'\nrevocations.leeway = '5s'").await;
    let ended = app.given_session("alice").await;
    feed(&app).await;
    revoke(&app, &ended).await;
    let etag = get(&app, "", None).await.headers()["etag"].to_str().unwrap().to_owned();
    // Staleness, token, leeway.
    app.advance(Duration::from_secs(2 + 30 + 5 - 1)).await;
    assert!(refuses(&feed(&app).await, &ended.id));
    app.advance(Duration::from_secs(1)).await;
    let gone = async || (feed(&app).await["sessions"] == json!([])).then_some(());
    eventually("it goes", gone).await;
    assert_eq!(get(&app, "", Some(&etag)).await.status(), StatusCode::OK, "another document");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_but_has_not_ended_and_what_expired_by_itself_is_not_named() {
    let app = TestApp::spawn_with("session.absolute_timeout = '1h'\nsession.idle_timeout = '30min'").await;
    let (expired, renewed) = (app.given_session("alice").await, app.given_session("bob").await);
    feed(&app).await;
    let renew = app.public(Method::POST, "/session/renew").header("cookie", renewed.cookie());
    assert_eq!(renew.header("origin", "https://app.example.com").send().await.unwrap().status(), StatusCode::OK);
    app.advance(Duration::from_secs(3_600 + 61 + 60)).await;
    let (deleted, marker) = (app.given_session("dave").await, app.given_session("carol").await);
    // As a sweep would, and as nobody should.
    let delete = |id: &str| format!("DELETE FROM session WHERE session_id = '{id}'");
    app.database.execute(&delete(&expired.id)).await;
    app.database.execute(&delete(&deleted.id)).await;
    revoke(&app, &marker).await;
    let feed = feed(&app).await;
    assert!(refuses(&feed, &marker.id) && refuses(&feed, &deleted.id), "{feed}");
    assert!(!refuses(&feed, &expired.id) && !refuses(&feed, &renewed.id), "{feed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_is_answered_when_something_changes_and_not_before() {
    let app = TestApp::spawn().await;
    let etag = get(&app, "", None).await.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(get(&app, "?wait=300ms", Some(&etag)).await.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(get(&app, "?wait=30s", Some("W/\"other\"")).await.status(), StatusCode::OK, "at once");
    let ended = app.given_session("alice").await;
    let ending = async {
        let waiting = async || app.metrics().await.contains("ephemint_revocations_feed_listeners 1").then_some(());
        eventually("somebody waits", waiting).await;
        revoke(&app, &ended).await;
    };
    let (response, ()) = tokio::join!(get(&app, "?wait=15s", Some(&etag)), ending);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(refuses(&payload(&response.text().await.unwrap()), &ended.id));
    for query in ["?wait=61s", "?wait=x", "?wait=1s&wait=2s", "?other=1"] {
        assert_eq!(get(&app, query, None).await.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    let head = app.gateway(Method::HEAD, "/revocations").header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(
        (head.status(), head.headers()["content-type"].to_str().unwrap()),
        (StatusCode::OK, "application/revocations+jwt")
    );
    for method in [Method::POST, Method::DELETE] {
        let response = app.gateway(method, "/revocations").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let elsewhere = app.public(Method::GET, "/revocations").send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_word_from_the_database_there_is_no_answer_and_afterwards_a_whole_one() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "exchange.max_staleness = '1s'").await;
    let ended = app.given_session("alice").await;
    assert!(!refuses(&feed(&app).await, &ended.id));
    proxy.close();
    app.clock.advance(Duration::from_secs(1));
    for query in ["", "?wait=1s"] {
        let unknown = get(&app, query, None).await;
        assert_eq!(unknown.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(unknown.headers()["retry-after"], "1");
    }
    // Revoked where this replica cannot see it.
    app.database.execute("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin'").await;
    proxy.reopen();
    let answer = async || {
        let answer = get(&app, "", None).await;
        // Time goes on, or the log would not be read as a whole again after a failure.
        app.clock.advance(Duration::from_millis(100));
        (answer.status() == StatusCode::OK).then_some(answer)
    };
    let answer = eventually("an answer", answer).await;
    assert!(refuses(&payload(&answer.text().await.unwrap()), &ended.id), "the first answer is a whole one");
}
