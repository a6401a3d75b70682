//! Signing in: by form, by JSON, with a cookie and without; what it changes and where it leads.

mod bodies;
mod csrf;
mod devices;
mod flood;
mod guesses;
mod inputs;
mod redirects;
mod refusals;
mod shadows;
mod timing;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    answer::single,
    app::{Started, TestApp},
    visitor::{PASSWORD, UNTHROTTLED, set_cookie},
};

/// A sign-in by a program, with more fields; `cookie` may be empty.
async fn by_json(app: &TestApp, name: &str, more: Value, cookie: &str) -> Response {
    let mut body = json!({ "username": name, "password": PASSWORD });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.public(Method::POST, "/login").header("cookie", cookie).json(&body).send().await.unwrap()
}

async fn ok(response: Response) -> Value {
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn is_live(app: &TestApp, cookie: &str) -> bool {
    let shown = app.session(cookie).await.is_some();
    assert_eq!(app.exchange(cookie).await.status() == StatusCode::OK, shown, "both listeners are of one mind");
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_signs_in_and_leads_on_along_safe_paths_only() {
    let app = TestApp::spawn().await;
    app.given_account("alice").await;
    for (return_to, location) in [
        (None, "/account"),
        (Some("/orders/7?x=1&y=%20#part"), "/orders/7?x=1&y=%20#part"),
        (Some("//evil.com"), "/account"),
        (Some("https://evil.com/"), "/account"),
        (Some("/a\r\nSet-Cookie: x=1"), "/account"),
        (Some("/logout"), "/account"),
    ] {
        let mut fields = vec![("username", "Alice"), ("password", PASSWORD)];
        fields.extend(return_to.map(|path| ("return_to", path)));
        let response = app.submit("/login", "", &fields).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{return_to:?}");
        assert_eq!(single(response.headers(), "location"), location, "{return_to:?}");
        let session = app.session(&set_cookie(&response)).await.unwrap();
        assert_eq!((&session["subject"], &session["amr"]), (&json!("alice"), &json!(["pwd"])));
        assert!(response.text().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_told_what_it_got_and_the_cookie_is_not_in_it() {
    let app = TestApp::spawn().await;
    app.given_account("alice").await;
    let response = by_json(&app, "alice", json!({ "return_to": "/a?b", "transport": "cookie" }), "").await;
    let cookie = set_cookie(&response);
    let told = ok(response).await;
    let mut shown = app.session(&cookie).await.unwrap();
    shown["return_to"] = json!("/a?b");
    shown["expires_at"] = told["expires_at"].clone();
    assert_eq!(told, shown, "what GET /session says, and two more");
    assert!(told["expires_at"].as_str().unwrap().ends_with('Z') && !told.to_string().contains(&cookie[16..]));
    let default = ok(by_json(&app, "alice", json!({}), &cookie).await).await;
    assert_eq!(default["return_to"], "/account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_its_token_in_the_answer_and_no_cookie() {
    let app = TestApp::spawn().await;
    app.given_account("alice").await;
    let response = by_json(&app, "alice", json!({ "transport": "header" }), "").await;
    assert!(!response.headers().contains_key("set-cookie"));
    let told = ok(response).await;
    let token = told["session_token"].as_str().unwrap().to_owned();
    let with = |token: &str| format!("Session {token}");
    let exchanged = app.gateway(Method::GET, "/exchange/orders").header("authorization", with(&token));
    assert_eq!(exchanged.send().await.unwrap().status(), StatusCode::OK);

    let again = json!({ "username": "alice", "password": PASSWORD, "transport": "header" });
    let step_up = app.public(Method::POST, "/login").header("authorization", with(&token)).json(&again);
    let stepped_up = ok(step_up.send().await.unwrap()).await;
    assert_eq!(stepped_up["session_id"], told["session_id"], "its own session, under a new token");
    let old = app.public(Method::GET, "/session").header("authorization", with(&token)).send().await.unwrap();
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED);

    // A browser's cookie is no session of the app's, and the other way round.
    let cookie = app.sign_in("alice", "").await;
    let beside = ok(by_json(&app, "alice", json!({ "transport": "header" }), &cookie).await).await;
    assert_ne!(beside["session_id"], app.session(&cookie).await.unwrap()["session_id"]);
    let token = stepped_up["session_token"].as_str().unwrap();
    let browser = json!({ "username": "alice", "password": PASSWORD });
    let browser = app.public(Method::POST, "/login").header("authorization", with(token)).json(&browser);
    let response = browser.send().await.unwrap();
    let fresh = app.session(&set_cookie(&response)).await.unwrap();
    assert_ne!(fresh["session_id"], told["session_id"]);
    let kept = app.public(Method::GET, "/session").header("authorization", with(token)).send().await.unwrap();
    assert_eq!(kept.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presented_token_is_never_adopted_and_dead_after_a_sign_in() {
    let app = TestApp::spawn_with(UNTHROTTLED).await;
    app.given_account("alice").await;
    let planted = format!("__Host-session=ems_{}A", "x".repeat(42));
    let cookie = app.sign_in("alice", &planted).await;
    assert_ne!(cookie, planted);
    assert!(!is_live(&app, &planted).await && is_live(&app, &cookie).await);

    // An attacker's live session, planted before the victim signs in.
    let attacker: Started = app.given_session("mallory").await;
    let victim = app.sign_in("alice", &attacker.cookie()).await;
    assert_eq!(app.session(&victim).await.unwrap()["subject"], "alice");
    assert!(!is_live(&app, &attacker.cookie()).await, "the session of somebody else ends");

    // The person's own: the same session, a new token.
    let before = app.session(&victim).await.unwrap();
    let after = app.sign_in("alice", &victim).await;
    assert_ne!(after, victim);
    assert_eq!(app.session(&after).await.unwrap()["session_id"], before["session_id"]);
    assert!(!is_live(&app, &victim).await);

    // Two cookies of that name: nobody can tell whose is whose, so neither is touched.
    let other = app.given_session("mallory").await;
    let both = format!("{after}; {}", other.cookie());
    let fresh = app.sign_in("alice", &both).await;
    assert!(is_live(&app, &fresh).await && is_live(&app, &after).await && is_live(&app, &other.cookie()).await);

    // A sign-in that fails changes nothing.
    let fields = [("username", "alice"), ("password", "wrong")];
    let refused = app.submit("/login", &fresh, &fields).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(!refused.headers().contains_key("set-cookie") && is_live(&app, &fresh).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_may_go_on_or_sign_in_again() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let page = |path: &str, cookie: &str| app.navigate(path, cookie).send();
    let shown = page("/login?return_to=/orders%3Fx%3D1", &session.cookie()).await.unwrap().text().await.unwrap();
    assert!(shown.contains("<strong>alice</strong>") && shown.contains("href=\"/orders?x=1\""), "{shown}");
    assert!(shown.contains("name=\"return_to\" value=\"/orders?x=1\"") && shown.contains("name=\"password\""));
    let anonymous = page("/login?return_to=//evil.com&utm=x", "").await.unwrap().text().await.unwrap();
    assert!(anonymous.contains("name=\"return_to\" value=\"/account\"") && !anonymous.contains("evil"), "{anonymous}");
    let broken = page("/login?return_to=/%ff", "").await.unwrap().text().await.unwrap();
    assert!(broken.contains("value=\"/account\""), "{broken}");
    for twice in ["/login?return_to=/a&return_to=/a", "/login?return_to=/a&return%5Fto=/b"] {
        assert_eq!(page(twice, "").await.unwrap().status(), StatusCode::BAD_REQUEST, "{twice}");
    }
}
