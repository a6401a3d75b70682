//! What every answer of the public listener carries, and what none ever shows.

use reqwest::{Method, Response, header::HeaderMap};

use super::{logout_from, show};
use crate::support::{
    app::{COOKIE, TestApp},
    database::TestDatabase,
    proxy::DatabaseProxy,
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

fn hardened(headers: &HeaderMap, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{what}: {name}");
    }
    assert!(headers.contains_key("cache-control") && headers.contains_key("x-request-id"), "{what}");
    assert!(!headers.contains_key("server") && !headers.contains_key("x-powered-by"), "{what}");
    for line in headers.get_all("set-cookie") {
        let line = line.to_str().unwrap();
        // actix-session's own cookie would be `inner=<signature><token>`.
        assert!(line.starts_with(&format!("{COOKIE}=")) && !line.contains("inner"), "{what}: {line}");
        assert_eq!(line.matches("ems_").count(), 0, "{what}: {line}");
    }
}

/// One answer of each status that the listener knows.
async fn answers(app: &TestApp, proxy: &DatabaseProxy, origin: &str) -> Vec<(u16, Response)> {
    let session = app.given_session("alice").await;
    let get = |path: &'static str| app.public(Method::GET, path).send();
    let mut answers = vec![
        (200, show(app, &session.cookie()).await),
        (200, get("/problems/not-found").await.unwrap()),
        (200, get("/.well-known/jwks.json").await.unwrap()),
        (200, get("/.well-known/openid-configuration").await.unwrap()),
        (304, app.public(Method::GET, "/.well-known/jwks.json").header("if-none-match", "*").send().await.unwrap()),
        (400, app.public(Method::GET, "/session").header("upgrade", "websocket").send().await.unwrap()),
        (401, show(app, "").await),
        (401, show(app, &format!("{COOKIE}=ems_{}A", "x".repeat(42))).await),
        (
            403,
            app.public(Method::POST, "/logout")
                .header("origin", "null")
                .header("cookie", session.cookie())
                .send()
                .await
                .unwrap(),
        ),
        (404, get("/").await.unwrap()),
        (404, get("/exchange/orders").await.unwrap()),
        (404, get("/problems/none").await.unwrap()),
        (405, app.public(Method::PUT, "/session").send().await.unwrap()),
        (405, app.public(Method::OPTIONS, "/session").send().await.unwrap()),
        (404, app.public(Method::TRACE, "/none").send().await.unwrap()),
        (431, app.public(Method::GET, "/session").header("x-big", "x".repeat(40_000)).send().await.unwrap()),
    ];
    proxy.close();
    answers.push((503, show(app, &session.cookie()).await));
    answers.push((503, logout_from(app, origin, &session.cookie()).send().await.unwrap()));
    proxy.reopen();
    let form = logout_from(app, origin, &session.cookie()).header("content-type", "application/x-www-form-urlencoded");
    answers.push((303, form.send().await.unwrap()));
    answers.push((204, logout_from(app, origin, &session.cookie()).send().await.unwrap()));
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_hardened_and_https_is_demanded_where_it_is_served() {
    for (origin, https) in [("https://app.example.com", true), ("http://localhost:8080", false)] {
        let database = TestDatabase::migrated().await;
        let proxy = DatabaseProxy::open().await;
        let url = proxy.url(&database.name);
        let app = TestApp::spawn_on(database, &url, &format!("public.origin = '{origin}'")).await;
        for (status, response) in answers(&app, &proxy, origin).await {
            let what = format!("{status} at {origin}");
            assert_eq!(response.status().as_u16(), status, "{what}: {}", response.text().await.unwrap());
            hardened(response.headers(), &what);
            let hsts = response.headers().get("strict-transport-security").map(|value| value.to_str().unwrap());
            assert_eq!(hsts, https.then_some("max-age=31536000"), "{what}");
        }
    }
}
