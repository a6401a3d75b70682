//! The exchange: when it gives a token, and one test for each reason why it does not.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};

use crate::support::app::{TestApp, bearer, payload, sample};

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
async fn a_revoked_session_is_refused() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let path = format!("/admin/sessions/{}", session.id);
    assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);

    refused(&app, app.exchange(&session.cookie()).await, "session_revoked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_past_its_absolute_end_is_refused() {
    let app = TestApp::spawn_with("session.idle_timeout = '1h'\nsession.absolute_timeout = '1h'").await;
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(3_600)).await;

    refused(&app, app.exchange(&session.cookie()).await, "session_expired").await;
}

/// A refusal says nothing but that there is no session; only the metric knows why.
async fn refused(app: &TestApp, response: Response, outcome: &str) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Session realm=\"ephemint\"");
    assert_eq!(response.headers()["content-length"], "0");
    assert!(!response.headers().contains_key("authorization"));
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(response.text().await.unwrap(), "");
    let label = format!("outcome=\"{outcome}\"");
    assert!(sample(&app.metrics().await, "ephemint_exchanges_total", &[&label]) >= 1.0, "{outcome}");
}
