//! `exchange.gateway_cache`: which answers say that a gateway may repeat them, and for how long.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::support::app::{Started, TestApp, bearer, payload};

const KEPT: &str = "private, max-age=10";

async fn app(more: &str) -> TestApp {
    TestApp::spawn_with(&format!("exchange.gateway_cache = '10s'\n{more}")).await
}

/// What an answer for the session says about keeping it.
async fn said(app: &TestApp, audience: &str, session: &Started, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = app.gateway(Method::GET, &format!("/exchange/{audience}"));
    request = request.header("cookie", session.cookie());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let all: Vec<_> = response.headers().get_all("cache-control").iter().collect();
    assert_eq!(all.len(), 1);
    // What may be kept names what it depends on; nothing else needs to.
    let vary = response.headers().get("vary").map(|value| value.to_str().unwrap());
    let kept = all[0] != "no-store";
    assert_eq!(vary, kept.then_some("Cookie, Authorization, X-Forwarded-Method, Sec-Fetch-Site, Origin"));
    (response.status(), all[0].to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_be_kept_for_as_long_as_the_setting_says() {
    let app = app("").await;
    let session = app.given_session("alice").await;
    for headers in [&[][..], &[("x-forwarded-method", "GET")], &[("authorization", "Bearer EVIL")]] {
        assert_eq!(said(&app, "orders", &session, headers).await, (StatusCode::OK, KEPT.to_owned()), "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_writes_tokens_by_scheme_and_strict_audiences_are_never_kept() {
    let app = app("[[audience]]\nname = 'exact'\nconsistency = 'strict'").await;
    let session = app.given_session("alice").await;
    let by_scheme = format!("Session {}", session.token);
    let ok = StatusCode::OK;
    for (audience, headers, status) in [
        ("exact", &[][..], ok),
        ("orders", &[("x-forwarded-method", "POST")], ok),
        ("orders", &[("x-forwarded-method", "GET"), ("x-forwarded-method", "POST")], ok),
        ("orders", &[("authorization", by_scheme.as_str())], ok),
        ("orders", &[("x-forwarded-method", "POST"), ("origin", "https://evil.example")], StatusCode::FORBIDDEN),
        ("closed", &[], StatusCode::FORBIDDEN),
        ("nowhere", &[], StatusCode::FORBIDDEN),
        ("orders", &[("authorization", "Session other")], StatusCode::UNAUTHORIZED),
    ] {
        let expected = (status, "no-store".to_owned());
        assert_eq!(said(&app, audience, &session, headers).await, expected, "{audience} {headers:?}");
    }
    let path = format!("/admin/sessions/{}", session.id);
    app.admin(Method::DELETE, &path).send().await.unwrap();
    let expected = (StatusCode::UNAUTHORIZED, "no-store".to_owned());
    assert_eq!(said(&app, "orders", &session, &[]).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_kept_beyond_half_of_what_is_left_of_a_session() {
    let app = app("session = { idle_timeout = '30s', absolute_timeout = '30s' }").await;
    let session = app.given_session("alice").await;
    let mut passed = 0;
    for (at, kept) in
        [(0, "private, max-age=10"), (12, "private, max-age=8"), (27, "private, max-age=1"), (29, "no-store")]
    {
        app.advance(Duration::from_secs(at - passed)).await;
        passed = at;
        let response = app.exchange(&session.cookie()).await;
        assert_eq!(response.headers()["cache-control"], kept, "after {at} s");
        let claims = payload(&bearer(&response));
        let seconds = kept.rsplit('=').next().unwrap().parse().unwrap_or(0);
        let left = claims["exp"].as_i64().unwrap() - app.clock_seconds();
        assert!(left >= 2 * seconds && left > seconds, "{left} s are left after {at} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_kept_beyond_the_age_at_which_a_step_up_is_needed() {
    let app = app("").await;
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(294)).await;
    let kept = (StatusCode::OK, "private, max-age=3".to_owned());
    assert_eq!(said(&app, "sensitive", &session, &[]).await, kept);
    app.advance(Duration::from_secs(5)).await;
    assert_eq!(said(&app, "sensitive", &session, &[]).await, (StatusCode::OK, "no-store".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_gateway_repeats_has_half_of_its_life_left() {
    let app = app("").await;
    let session = app.given_session("alice").await;
    let mut tokens = Vec::new();
    for _ in 0..70 {
        let response = app.exchange(&session.cookie()).await;
        assert_eq!(response.headers()["cache-control"], KEPT);
        let token = bearer(&response);
        let claims = payload(&token);
        let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        // At the end of the time for which it may be repeated.
        assert!(2 * (exp - app.clock_seconds() - 10) >= exp - iat - 2);
        tokens.push(token);
        app.advance(Duration::from_secs(1)).await;
    }
    tokens.dedup();
    assert!((3..=6).contains(&tokens.len()), "a token is still reused: {}", tokens.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_former_token_gets_is_never_kept() {
    let app = app("").await;
    let session = app.given_session("alice").await;
    let renewal = app.public(Method::POST, "/session/renew").header("cookie", session.cookie());
    assert!(renewal.send().await.unwrap().status().is_success());
    assert_eq!(said(&app, "orders", &session, &[]).await, (StatusCode::OK, "no-store".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_nothing_is_kept() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    assert_eq!(said(&app, "orders", &session, &[]).await, (StatusCode::OK, "no-store".to_owned()));
}
