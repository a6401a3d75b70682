//! `GET /session` and `POST /logout`: what a browser learns of its session, and how it ends it.

mod cross_site;
mod hardening;

use std::time::Duration;

use ephemint::clock::Clock as _;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::support::{
    answer::{ORIGIN, problem, single},
    app::{COOKIE, Started, TestApp},
    database::TestDatabase,
    proxy::DatabaseProxy,
};

/// What takes the session cookie away: the attributes with which it was set, and no time to live.
const CLEARED: &str = "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";
const CLEAR_SITE_DATA: &str = "\"cache\", \"cookies\", \"storage\"";

/// A logout as a script of our own page sends it.
fn logout(app: &TestApp, cookie: &str) -> RequestBuilder {
    logout_from(app, ORIGIN, cookie)
}

fn logout_from(app: &TestApp, origin: &str, cookie: &str) -> RequestBuilder {
    let request = app.public(Method::POST, "/logout").header("sec-fetch-site", "same-origin").header("origin", origin);
    request.header("cookie", cookie)
}

async fn show(app: &TestApp, cookie: &str) -> Response {
    app.public(Method::GET, "/session").header("cookie", cookie).send().await.unwrap()
}

async fn is_live(app: &TestApp, session: &Started) -> bool {
    let shown = show(app, &session.cookie()).await.status();
    let exchanged = app.exchange(&session.cookie()).await.status();
    assert_eq!(shown, exchanged, "both listeners are of one mind");
    shown == StatusCode::OK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_learns_of_its_session_but_never_its_token() {
    let app = TestApp::spawn_with("session.absolute_timeout = '1h'").await;
    let started = app.clock.now();
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(40)).await;

    let response = show(&app, &session.cookie()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("set-cookie"));
    let shown: Value = response.json().await.unwrap();
    let at = started.format(&Rfc3339).unwrap();
    let csrf_token = shown["csrf_token"].as_str().unwrap().to_owned();
    let expected = json!({
        "session_id": session.id, "subject": "alice", "created_at": at, "auth_time": at, "last_seen_at": at,
        "idle_expires_in": 1_800, "absolute_expires_in": 3_560, "amr": ["pwd"], "csrf_token": csrf_token,
    });
    assert_eq!(shown, expected);
    assert!(csrf_token.len() >= 22 && !shown.to_string().contains(&session.token[4..]), "{shown}");
    let again: Value = show(&app, &session.cookie()).await.json().await.unwrap();
    assert_eq!(again["csrf_token"], csrf_token, "stable for one session");
    let other: Value = show(&app, &app.given_session("alice").await.cookie()).await.json().await.unwrap();
    assert_ne!(other["csrf_token"], csrf_token, "different for each");

    app.advance(Duration::from_secs(1_750)).await;
    assert_eq!(show(&app, &session.cookie()).await.status(), StatusCode::OK, "a look counts as a use");
    app.advance(Duration::from_secs(1_750)).await;
    let late: Value = show(&app, &session.cookie()).await.json().await.unwrap();
    assert_eq!((&late["idle_expires_in"], &late["absolute_expires_in"]), (&json!(60), &json!(60)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_live_session_there_is_nothing_to_see() {
    let app = TestApp::spawn().await;
    let [session, other, revoked] = ["alice", "bob", "carol"].map(|subject| app.given_session(subject));
    let (session, other, revoked) = (session.await, other.await, revoked.await);
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).send().await.unwrap();
    let unknown = format!("{COOKIE}=ems_{}A", "x".repeat(42));
    let response = app.public(Method::GET, "/session").send().await.unwrap();
    refused(response).await;
    for cookie in [
        "",
        "theme=dark",
        &revoked.cookie(),
        &unknown,
        &format!("{COOKIE}="),
        &format!("{COOKIE}={}", session.id),
        &format!("{COOKIE}=\"{}\"", session.token),
        &format!("__host-session={}", session.token),
        &format!("session={}", session.token),
        &format!("inner={}", session.token),
        &format!("id={}", session.token),
        &format!("{}; {}", session.cookie(), other.cookie()),
    ] {
        refused(show(&app, cookie).await).await;
    }
    for (name, value) in [
        ("authorization", format!("Bearer {}", session.token)),
        ("authorization", format!("Session {}", session.id)),
        ("x-session", session.token.clone()),
    ] {
        refused(app.public(Method::GET, "/session").header(name, value).send().await.unwrap()).await;
    }
    let both = app.public(Method::GET, "/session").header("cookie", session.cookie());
    let both = both.header("authorization", format!("Session {}", other.token));
    refused(both.send().await.unwrap()).await;
    let query = format!("/session?{COOKIE}={}", session.token);
    refused(app.public(Method::GET, &query).send().await.unwrap()).await;
    assert!(is_live(&app, &session).await && is_live(&app, &other).await);
}

/// The one answer to everybody without a session, whatever the reason.
async fn refused(response: Response) {
    assert_eq!(single(response.headers(), "www-authenticate"), "Session realm=\"ephemint\"");
    assert!(!response.headers().contains_key("set-cookie"));
    let document = problem(response, 401, "no-session").await;
    assert!(document.get("detail").is_none(), "{document}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_ends_the_session_everywhere_and_clears_the_browser() {
    let app = TestApp::spawn().await;
    for (form, status) in [(None, 204), (Some("application/x-www-form-urlencoded"), 303), (Some("text/plain"), 204)] {
        let [session, other] = [app.given_session("alice").await, app.given_session("alice").await];
        app.access_token("orders", &session).await;
        let mut request = logout(&app, &format!("theme=dark; {}", session.cookie()));
        if let Some(form) = form {
            request = request.header("content-type", form).body("a=b");
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{form:?}");
        assert_eq!(single(response.headers(), "set-cookie"), CLEARED);
        assert_eq!(single(response.headers(), "clear-site-data"), CLEAR_SITE_DATA);
        let location = response.headers().get("location").map(|location| location.to_str().unwrap().to_owned());
        assert_eq!(location, (status == 303).then(|| "/signed-out".to_owned()), "only to our own origin");
        assert_eq!(response.text().await.unwrap(), "");
        assert!(!is_live(&app, &session).await);
        assert!(is_live(&app, &other).await, "other devices stay signed in");
        let shown = app.admin(Method::GET, &format!("/admin/sessions/{}", session.id)).send().await.unwrap();
        assert_eq!(shown.json::<Value>().await.unwrap()["status"], "revoked");
    }
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'logout'").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_is_cleared_with_the_attributes_it_was_set_with() {
    let more = "session.cookie_name = '__Host-id'\nsession.same_site = 'strict'\nsession.persistent = true";
    let app = TestApp::spawn_with(more).await;
    let live = app.given_session("alice").await;
    for token in [live.token.as_str(), "dead"] {
        let response = logout(&app, &format!("__Host-id={token}")).send().await.unwrap();
        let cleared = "__Host-id=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!(single(response.headers(), "set-cookie"), cleared);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_without_a_session_is_fine_and_clears_a_dead_cookie() {
    let app = TestApp::spawn().await;
    for cookie in [None, Some(""), Some("theme=dark"), Some("__host-session=x")] {
        let mut request = app.public(Method::POST, "/logout").header("sec-fetch-site", "same-origin");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{cookie:?}");
        assert!(!response.headers().contains_key("set-cookie"), "{cookie:?}");
        assert_eq!(single(response.headers(), "clear-site-data"), CLEAR_SITE_DATA);
    }
    let session = app.given_session("alice").await;
    let other = app.given_session("bob").await;
    assert_eq!(logout(&app, &session.cookie()).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let conflicting = format!("{}; {COOKIE}=ems_planted", other.cookie());
    for cookie in [session.cookie(), format!("{COOKIE}="), format!("{COOKIE}=junk"), conflicting] {
        let response = logout(&app, &cookie).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{cookie}");
        assert_eq!(single(response.headers(), "set-cookie"), CLEARED, "{cookie}");
    }
    assert!(is_live(&app, &other).await, "nobody can tell which of two tokens was meant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_cannot_be_stored_says_so_and_the_session_lives_on() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    let session = app.given_session("alice").await;
    proxy.close();
    for _ in 0..2 {
        for response in [logout(&app, &session.cookie()).send().await.unwrap(), show(&app, &session.cookie()).await] {
            assert_eq!(single(response.headers(), "retry-after"), "1");
            assert!(!response.headers().contains_key("set-cookie"), "the cookie must stay for another try");
            assert!(!response.headers().contains_key("clear-site-data"));
            problem(response, 503, "unavailable").await;
        }
    }
    let nothing = app.public(Method::POST, "/logout").send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::NO_CONTENT, "nothing to store, nothing to fail");
    proxy.reopen();
    assert!(is_live(&app, &session).await);
    assert_eq!(logout(&app, &session.cookie()).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(!is_live(&app, &session).await);
}
