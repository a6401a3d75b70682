//! `/sessions`: a person sees their own devices, and signs out of one or of all others; nobody else's.

use std::time::Duration;

use ephemint::clock::Clock as _;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    answer::{problem, single},
    app::{Started, TestApp, rfc3339, sample},
    browser::{AT_HOME, AWAY, Browser, CHROME, HOME, held, native},
    database::TestDatabase,
    proxy::DatabaseProxy,
};

async fn list(app: &TestApp, token: &str) -> Vec<Value> {
    let response = AT_HOME.send(app, Method::GET, "/sessions", token).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["sessions"].as_array().unwrap().clone()
}

async fn delete(app: &TestApp, token: &str, path: &str) -> Response {
    AT_HOME.send(app, Method::DELETE, path, token).await
}

async fn is_live(app: &TestApp, session: &Started) -> bool {
    app.exchange(&session.cookie()).await.status() == StatusCode::OK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_devices_are_those_of_the_subject_that_are_signed_in() {
    let app = TestApp::spawn().await;
    let started = app.clock.now();
    let phone = held(&Browser { agent: CHROME, address: AWAY }.sign_in(&app, "alice", None).await);
    app.given_session("bob").await;
    let revoked = app.given_session("alice").await;
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).send().await.unwrap();
    app.advance(Duration::from_secs(90)).await;
    let desk = held(&AT_HOME.sign_in(&app, "alice", None).await);
    app.exchange(&phone.cookie()).await;
    app.advance(Duration::from_secs(10)).await;

    let end = Duration::from_secs(12 * 3_600);
    let then = started + Duration::from_secs(90);
    let expected = [
        json!({
            "session_id": desk.id, "current": true, "device": "Firefox on Linux", "ip": HOME, "created_at": rfc3339(then),
            "auth_time": rfc3339(then), "last_seen_at": rfc3339(then), "expires_at": rfc3339(then + end),
        }),
        json!({
            "session_id": phone.id, "current": false, "device": "Chrome on Windows", "ip": AWAY,
            "created_at": rfc3339(started), "auth_time": rfc3339(started), "last_seen_at": rfc3339(then),
            "expires_at": rfc3339(started + end),
        }),
    ];
    assert_eq!(list(&app, &desk.token).await, expected);
    app.advance(Duration::from_secs(1_900)).await;
    let late = held(&AT_HOME.sign_in(&app, "alice", None).await);
    let shown = list(&app, &late.token).await;
    assert_eq!(shown.len(), 1, "the others were not used for too long: {shown:?}");
    problem(AT_HOME.send(&app, Method::GET, "/sessions", &desk.token).await, 401, "no-session").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_out_of_one_device_from_another() {
    let app = TestApp::spawn().await;
    let [desk, phone, bob] = [app.given_session("alice"), app.given_session("alice"), app.given_session("bob")];
    let (desk, phone, bob) = (desk.await, phone.await, bob.await);
    let path = format!("/sessions/{}", phone.id);
    let response = delete(&app, &desk.token, &path).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("set-cookie"));
    let effective_by = rfc3339(app.clock.now() + Duration::from_secs(2));
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "revoked": 1, "effective_by": effective_by }));
    assert!(!is_live(&app, &phone).await && is_live(&app, &desk).await);
    let again: Value = delete(&app, &desk.token, &path).await.json().await.unwrap();
    assert_eq!(again["revoked"], 0);
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'owner'").await, 1);
    let ended = sample(&app.metrics().await, "ephemint_sessions_ended_total", &["reason=\"owner\""]);
    assert!((ended - 1.0).abs() < f64::EPSILON, "{ended}");

    let nobodys = phone.id.replace(char::is_numeric, "0");
    for foreign in [bob.id.as_str(), &nobodys, "x", "%00", &desk.id.to_uppercase()] {
        problem(delete(&app, &desk.token, &format!("/sessions/{foreign}")).await, 404, "unknown-session").await;
    }
    assert!(is_live(&app, &bob).await && is_live(&app, &desk).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_out_everywhere_else() {
    let app = TestApp::spawn().await;
    let (desk, bob) = (app.given_session("alice").await, app.given_session("bob").await);
    let others = [app.given_session("alice").await, app.given_session("alice").await];
    for query in ["", "?others=false", "?others=", "?others", "?others=true&others=true", "?others=true&all=true"] {
        let status = delete(&app, &desk.token, &format!("/sessions{query}")).await.status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert!(is_live(&app, &others[0]).await, "a refused request ends nothing");
    let answer: Value = delete(&app, &desk.token, "/sessions?others=true").await.json().await.unwrap();
    assert_eq!(answer["revoked"], 2);
    for other in &others {
        assert!(!is_live(&app, other).await);
    }
    assert!(is_live(&app, &desk).await && is_live(&app, &bob).await);
    let again: Value = delete(&app, &desk.token, "/sessions?others=true").await.json().await.unwrap();
    assert_eq!(again["revoked"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_the_current_session_takes_its_cookie_away() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let response = delete(&app, &session.token, &format!("/sessions/{}", session.id)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let cleared = "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";
    assert_eq!(single(response.headers(), "set-cookie"), cleared);
    assert!(!is_live(&app, &session).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_can_wait_until_no_replica_mints() {
    let app = TestApp::spawn_with("exchange.max_staleness = '300ms'\nexchange.timeout = '200ms'").await;
    // Another replica, which does not notice.
    app.database.execute("INSERT INTO replica VALUES (gen_random_uuid(), 0, 0, 60)").await;
    let [desk, phone] = [app.given_session("alice").await, app.given_session("alice").await];
    let clock = ephemint::clock::SystemClock::new();
    let path = format!("/sessions/{}?wait=all", phone.id);
    assert_eq!(delete(&app, &desk.token, &path).await.status(), StatusCode::OK);
    assert_eq!(delete(&app, &desk.token, "/sessions?others=true&wait=all").await.status(), StatusCode::OK);
    assert!(clock.monotonic() >= Duration::from_millis(600), "{:?}", clock.monotonic());
    for query in ["wait=none", "wait=", "others=true"] {
        let path = format!("/sessions/{}?{query}", phone.id);
        assert_eq!(delete(&app, &desk.token, &path).await.status(), StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_cookies_does_the_same() {
    let app = TestApp::spawn().await;
    let [phone, desk] = [app.given_session("alice").await, app.given_session("alice").await];
    let listed = native(&app, Method::GET, "/sessions", &phone.token).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    let others = native(&app, Method::DELETE, "/sessions?others=true", &phone.token).send().await.unwrap();
    assert_eq!(others.status(), StatusCode::OK);
    assert!(!is_live(&app, &desk).await);
    let itself = native(&app, Method::DELETE, &format!("/sessions/{}", phone.id), &phone.token).send().await.unwrap();
    assert_eq!(itself.status(), StatusCode::OK);
    assert!(!itself.headers().contains_key("set-cookie"));
    assert!(!is_live(&app, &phone).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_our_own_pages_with_a_live_session_may_end_any() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    let [desk, phone] = [app.given_session("alice").await, app.given_session("alice").await];
    let one = format!("/sessions/{}", phone.id);
    for path in [one.as_str(), "/sessions?others=true"] {
        for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example.com")] {
            let request = app.public(Method::DELETE, path).header("cookie", desk.cookie()).header(name, value);
            problem(request.send().await.unwrap(), 403, "cross-site-request").await;
        }
        problem(app.public(Method::DELETE, path).send().await.unwrap(), 401, "no-session").await;
    }
    problem(app.public(Method::GET, "/sessions").send().await.unwrap(), 401, "no-session").await;
    for (method, path, allow) in [
        (Method::POST, "/sessions", "GET, HEAD, DELETE"),
        (Method::GET, one.as_str(), "DELETE"),
        (Method::POST, one.as_str(), "DELETE"),
    ] {
        let response = AT_HOME.send(&app, method, path, &desk.token).await;
        assert_eq!(single(response.headers(), "allow"), allow);
        problem(response, 405, "method-not-allowed").await;
    }
    proxy.close();
    for path in [one.as_str(), "/sessions?others=true"] {
        problem(delete(&app, &desk.token, path).await, 503, "unavailable").await;
    }
    problem(AT_HOME.send(&app, Method::GET, "/sessions", &desk.token).await, 503, "unavailable").await;
    proxy.reopen();
    assert!(is_live(&app, &phone).await && is_live(&app, &desk).await);
}
