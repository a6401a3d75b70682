//! The whole way, for real: a client, the shipped nginx configuration, the service, and a microservice that verifies with a stock
//! library from the key set URL alone.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{app::TestApp, database::TestDatabase, proxy::DatabaseProxy, site::Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_becomes_a_token_that_the_microservice_verifies_by_key_set_alone() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;

    let response = site
        .request(Method::GET, "/api/hello?page=2")
        .header("cookie", format!("theme=dark; {}; lang=en", session.cookie()))
        .send()
        .await
        .unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("authorization"), "the token reached the browser");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["subject"], "alice");
    assert_eq!(body["session_id"], session.id);
    assert_eq!(body["cookies_received"], "theme=dark; lang=en");
    assert_eq!(body["session_cookie_received"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_revocation_the_next_call_is_refused() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    assert_eq!(site.call(&session).await.status(), StatusCode::OK);

    let path = format!("/admin/sessions/{}", session.id);
    site.app.admin(Method::DELETE, &path).send().await.unwrap();

    let response = site.call(&session).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers().get_all("www-authenticate").iter().count(), 1);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], "no-session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_authorization_never_reaches_the_microservice() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    let own = site.app.access_token("orders", &session).await;

    // Even a token that is valid in itself is no way in without a session.
    for forged in ["Bearer EVIL".to_owned(), format!("Bearer {own}")] {
        let response = site.request(Method::GET, "/api/hello").header("authorization", &forged).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    let response = site
        .request(Method::GET, "/api/hello")
        .header("authorization", "Bearer EVIL")
        .header("x-upstream-cookie", "evil=1")
        .header("cookie", session.cookie())
        .send()
        .await
        .unwrap();
    let body: Value = response.json().await.unwrap();
    assert_eq!((body["subject"].as_str(), body["cookies_received"].as_str()), (Some("alice"), Some("")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_with_a_body_passes_and_so_do_cookies_as_big_as_nginx_takes() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;

    let posted = site
        .request(Method::POST, "/api/orders")
        .header("cookie", session.cookie())
        .body("x".repeat(100_000))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), StatusCode::OK);

    let big = format!("big={}", "b".repeat(7_800));
    let response = site
        .request(Method::GET, "/api/hello")
        .header("cookie", format!("{}; {big}", session.cookie()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["cookies_received"].as_str().unwrap().len(), big.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_audience_is_forbidden() {
    let site = Site::for_audience("closed", TestApp::spawn().await).await;
    let session = site.app.given_session("alice").await;
    let response = site.call(&session).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_the_gateway_says_503_and_recovers() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let site = Site::for_audience("orders", TestApp::spawn_on(database, &url, "").await).await;
    let session = site.app.given_session("alice").await;

    proxy.close();
    let response = site.call(&session).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));

    proxy.reopen();
    let recovered = async {
        while site.call(&session).await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), recovered).await.expect("it recovers within 2 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_pages_is_reachable_through_the_gateway() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    for path in ["/exchange", "/exchange/orders", "/_exchange", "/admin/sessions", "/metrics", "/readyz", "/livez"] {
        let response = site.request(Method::GET, path).header("cookie", session.cookie()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!response.headers().contains_key("authorization"), "{path}");
    }
    let page = site.request(Method::GET, "/session").header("cookie", session.cookie()).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let keys = site.request(Method::GET, "/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(keys.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_from_another_site_never_reaches_the_microservice() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    let call = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = site.request(method, "/api/transfer").header("cookie", session.cookie());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status()
    };
    let own = ("origin", "https://app.example.com");
    for forged in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), own],
        &[("origin", "https://evil.example.com")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("x-forwarded-method", "GET")],
    ] {
        assert_eq!(call(Method::POST, forged).await, StatusCode::FORBIDDEN, "{forged:?}");
        assert_eq!(call(Method::GET, forged).await, StatusCode::OK, "{forged:?}");
    }
    for own in [&[("sec-fetch-site", "same-origin"), own][..], &[own], &[]] {
        assert_eq!(call(Method::POST, own).await, StatusCode::OK, "{own:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_may_allow_writes_from_other_sites() {
    let more = "[[audience]]\nname = 'widget'\ncross_site_writes = 'allow'";
    let site = Site::for_audience("widget", TestApp::spawn_with(more).await).await;
    let session = site.app.given_session("alice").await;
    let request = site.request(Method::POST, "/api/vote").header("cookie", session.cookie());
    let response = request.header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_cookies_presents_its_token_by_the_session_scheme() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    let authorization = format!("Session {}", session.token);
    let response = site.request(Method::GET, "/api/hello").header("authorization", authorization).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["subject"], "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_cookies_lives_with_its_session_through_the_gateway_as_well() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    let authorization = format!("Session {}", session.token);
    let ask = async |method: Method, path: &str| {
        let request = site.request(method, path).header("authorization", &authorization);
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key("set-cookie"), "{path}");
        response.status()
    };
    assert_eq!(ask(Method::GET, "/session").await, StatusCode::OK);
    assert_eq!(ask(Method::POST, "/logout").await, StatusCode::NO_CONTENT);
    assert_eq!(ask(Method::GET, "/session").await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Method::GET, "/api/hello").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_odd_in_a_clients_head_makes_the_gateway_fail() {
    let site = Site::open().await;
    let session = site.app.given_session("alice").await;
    let many: String = (0..88).map(|number| format!("a{number}: 1\r\n")).collect();
    for odd in [
        many.as_str(),
        "user-agent: x\u{7f}\r\n",
        "x: a\u{1}b\r\n",
        "authorization: Session \u{1}\r\n",
        "origin: \u{1}\r\n",
    ] {
        let request = format!(
            "GET /api/hello HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\ncookie: {}\r\n{odd}\r\n",
            session.cookie()
        );
        let answer = crate::support::raw::send(site.front, request.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 5"), "{odd:?}: {answer}");
    }
    let request = "GET /api/hello HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\ncookie: a=\u{b}\r\n\r\n";
    let answer = crate::support::raw::send(site.front, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_gateway_of_dev_has_the_demo_page() {
    let shipped = Site::open().await;
    for path in ["/", "/demo/"] {
        let response = shipped.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let site = Site::for_browsers("").await;
    let root = site.request(Method::GET, "/").send().await.unwrap();
    assert_eq!((root.status(), &root.headers()["location"]), (StatusCode::FOUND, &"/demo/".parse().unwrap()));
    let page = site.request(Method::GET, "/demo/").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}
