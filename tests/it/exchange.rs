//! The exchange: when it gives a token, to whom, and what policy refuses. Its other claims live in the files below.

mod cookies;
mod cross_site;
mod keeping;
mod refusals;
mod requests;

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::support::{
    app::{TestApp, bearer, payload, sample},
    raw,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_session_becomes_a_token_for_one_audience() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;

    let response = app.exchange(&format!("theme=dark; {}; lang=en", session.cookie())).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-upstream-cookie"], "theme=dark; lang=en");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-length"], "0");
    assert!(!response.headers().contains_key("set-cookie"));
    let claims = payload(&bearer(&response));
    assert_eq!((claims["sub"].as_str(), claims["aud"].as_str()), (Some("alice"), Some("orders")));
    assert_eq!(claims["sid"].as_str(), Some(session.id.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_without_an_audience_means_the_default_one() {
    let app = TestApp::spawn_with("exchange.default_audience = 'legacy'").await;
    let session = app.given_session("alice").await;

    let response = app.gateway(Method::GET, "/exchange").header("cookie", session.cookie()).send().await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(payload(&bearer(&response))["aud"], "legacy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_audience_is_forbidden() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;

    forbidden(&app, app.exchange_for("nowhere", &session.cookie()).await, "unknown_audience").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_audience_is_forbidden() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;

    forbidden(&app, app.exchange_for("closed", &session.cookie()).await, "audience_disabled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authentication_that_is_too_old_for_an_audience_asks_for_a_new_one() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(300)).await;
    assert_eq!(app.exchange_for("sensitive", &session.cookie()).await.status(), StatusCode::OK);
    app.advance(Duration::from_micros(1)).await;

    let response = app.exchange_for("sensitive", &session.cookie()).await;

    let challenge = "Session realm=\"ephemint\", error=\"insufficient_user_authentication\", max_age=\"300\"";
    assert_eq!(response.headers()["www-authenticate"], challenge);
    forbidden(&app, response, "step_up_required").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK, "other audiences ask for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_an_authentication_counts_from_when_it_happened() {
    let app = TestApp::spawn().await;
    let now = ephemint::clock::Clock::now(&*app.clock).unix_timestamp();
    let session = app.given(json!({ "subject": "alice", "amr": ["pwd"], "auth_time": now - 301 })).await;

    forbidden(&app, app.exchange_for("sensitive", &session.cookie()).await, "step_up_required").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lacking_authentication_method_asks_for_a_step_up() {
    let app = TestApp::spawn_with("[[audience]]\nname = 'vault'\nrequired_amr = ['pwd', 'otp']").await;
    let weak = app.given(json!({ "subject": "alice", "amr": ["pwd"] })).await;
    let strong = app.given(json!({ "subject": "alice", "amr": ["otp", "hwk", "pwd"] })).await;
    assert_eq!(app.exchange_for("vault", &strong.cookie()).await.status(), StatusCode::OK);

    let response = app.exchange_for("vault", &weak.cookie()).await;

    let challenge = "Session realm=\"ephemint\", error=\"insufficient_user_authentication\"";
    assert_eq!(response.headers()["www-authenticate"], challenge);
    forbidden(&app, response, "step_up_required").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_policy_says_nothing() {
    let app = TestApp::spawn().await;
    for audience in ["nowhere", "closed", "sensitive", "orders"] {
        let response = app.exchange_for(audience, "theme=dark").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{audience}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_an_answer_stays_under_three_and_a_half_kibibytes_whatever_a_session_holds() {
    let scope = "s".repeat(400);
    let audience = |name: &str, algorithm: &str| {
        format!(
            "[[audience]]\nname = '{name}'\nalgorithm = '{algorithm}'\nscopes = ['{scope}']\n\
             claims = ['dept', 'role', 'tree']\ntype = 'at+jwt'\n"
        )
    };
    let app = TestApp::spawn_with(&(audience("wide", "ES256") + &audience("wide-rsa", "RS256"))).await;
    // Quotes and backslashes double in JSON, so these are the longest that a session can have.
    let session = app
        .given(json!({
            "subject": "\"".repeat(255),
            "amr": vec!["\\".repeat(32); 10],
            "acr": "\"".repeat(64),
            "claims": { "dept": "toys", "role": "r".repeat(1_900), "tree": { "leaves": "l".repeat(2_000) } },
        }))
        .await;
    let cookie = format!("Cookie: {}", session.cookie());

    for audience in ["wide", "wide-rsa", "orders", "legacy"] {
        let request = raw::request("GET", &format!("/exchange/{audience}"), &[cookie.as_bytes()], b"");
        let head = raw::send(app.addresses.gateway, &request).await;

        assert_eq!(raw::status(&head), 200, "{audience}: {head}");
        let length: usize =
            head.split_inclusive("\r\n").filter(|line| !line.starts_with("x-upstream-cookie:")).map(str::len).sum();
        assert!(length < 3_584, "{audience}: {length} bytes");
        let answer = raw::Answer::parse(&head);
        let claims = payload(answer.header("authorization").unwrap().strip_prefix("Bearer ").unwrap());
        assert_eq!(claims["sub"].as_str().unwrap().len(), 255);
        assert_eq!(claims["amr"].as_array().unwrap().len(), 10);
        assert_eq!(claims["acr"].as_str().unwrap().len(), 64);
        assert_eq!(claims.get("tree"), None, "{audience}: the longest claim goes first");
        if audience.starts_with("wide") {
            assert_eq!(claims["dept"], "toys", "{audience}: what fits stays");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exchange_does_not_exist_for_browsers_nor_administration_for_gateways() {
    let app = TestApp::spawn().await;
    let cookie = format!("Cookie: {}", app.given_session("alice").await.cookie());
    let credential = format!("Authorization: Bearer {}", app.secret);
    let lines = [cookie.as_bytes(), credential.as_bytes()];
    let administration = ["/metrics", "/admin", "/admin/sessions", "/admin/keys", "/livez", "/readyz", "/version"];
    let nowhere = raw::ask(app.addresses.public, "GET", "/no/such/page", &lines).await;
    assert_eq!((nowhere.status, nowhere.header("set-cookie")), (404, None));

    for target in ["/exchange", "/exchange/orders", "/exchange/", "/.git/config"].iter().chain(&administration) {
        let answer = raw::ask(app.addresses.public, "GET", target, &lines).await;
        assert_eq!(answer, nowhere, "{target} on the public listener");
    }
    for target in ["/session", "/logout", "/login", "/account"].iter().chain(&administration) {
        let answer = raw::ask(app.addresses.gateway, "GET", target, &lines).await;
        assert_eq!((answer.status, answer.header("authorization")), (404, None), "{target} on the gateway listener");
    }
    for target in ["/exchange", "/exchange/orders"] {
        let answer = raw::ask(app.addresses.admin, "GET", target, &lines).await;
        assert_eq!((answer.status, answer.header("authorization")), (404, None), "{target} on the admin listener");
    }
}

/// A refusal by policy: no token, nothing in the body, and only the metric knows which policy.
async fn forbidden(app: &TestApp, response: Response, outcome: &str) {
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers().contains_key("www-authenticate"), outcome == "step_up_required");
    assert_eq!(response.headers()["content-length"], "0");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("authorization"));
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(response.text().await.unwrap(), "");
    counted(app, outcome).await;
}

/// Exactly one exchange ended this way.
async fn counted(app: &TestApp, outcome: &str) {
    let label = format!("outcome=\"{outcome}\"");
    let count = sample(&app.metrics().await, "ephemint_exchanges_total", &[&label]);
    assert!((count - 1.0).abs() < f64::EPSILON, "{outcome}: {count}");
}
