//! Refusals in words for people, and as documents for everybody else.

use reqwest::{Method, StatusCode};

use super::page;
use crate::support::{
    answer::{ORIGIN, problem, says_nothing_internal, single},
    app::TestApp,
    database::TestDatabase,
    proxy::DatabaseProxy,
    visitor::{ACCEPT, plain_page},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_navigation_gets_a_page_and_everything_else_a_document() {
    let app = TestApp::spawn().await;
    for (path, status, code) in [("/none", 404, "not-found"), ("/session", 401, "no-session")] {
        for accept in ["*/*", "application/json", "application/json, text/html;q=0.9", "text/*", "text/html;q=0"] {
            let response = app.public(Method::GET, path).header("accept", accept).send().await.unwrap();
            problem(response, status, code).await;
        }
        problem(app.public(Method::GET, path).send().await.unwrap(), status, code).await;
        let response = app.navigate(path, "").send().await.unwrap();
        let id = single(response.headers(), "x-request-id").to_owned();
        let challenge = response.headers().get("www-authenticate").is_some();
        assert_eq!(challenge, status == 401);
        let page = page(response, status).await;
        plain_page(&page);
        assert!(page.contains(code) && page.contains(&format!("<code>{id}</code>")), "{page}");
    }
    // A script's write stays a script's, whatever it accepts; other listeners talk to programs.
    let script = app.public(Method::POST, "/none").header("accept", ACCEPT).json(&1).send().await.unwrap();
    problem(script, 404, "not-found").await;
    for request in [app.gateway(Method::GET, "/none"), app.admin(Method::GET, "/none")] {
        problem(request.header("accept", ACCEPT).send().await.unwrap(), 404, "not-found").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_sign_in_is_led_back_afterwards() {
    let app = TestApp::spawn().await;
    for (path, back) in [
        ("/session", "%2Fsession"),
        ("/session?x=1&y=%2F", "%2Fsession%3Fx%3D1%26y%3D%252F"),
        ("/sessions", "%2Fsessions"),
    ] {
        let page = page(app.navigate(path, "").send().await.unwrap(), 401).await;
        assert!(page.contains(&format!("href=\"/login?return_to={back}\"")), "{path}: {page}");
    }
    let response = app.navigate("/account", "").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(single(response.headers(), "location"), "/login?return_to=%2Faccount");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_fails_is_answered_with_a_page() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    let session = app.given_session("alice").await;
    let cross_site = app.submit("/logout", &session.cookie(), &[]).header("sec-fetch-site", "cross-site");
    let page_of = |response| async {
        let page = page(response, 403).await;
        plain_page(&page);
        page
    };
    let stopped = page_of(cross_site.send().await.unwrap()).await;
    assert!(stopped.contains("This request was stopped") && !stopped.contains(ORIGIN));
    let stale = app.submit("/account/sessions/revoke-others", &session.cookie(), &[]).send().await.unwrap();
    assert!(page_of(stale).await.contains("This page was out of date"));

    proxy.close();
    for request in [app.submit("/logout", &session.cookie(), &[]), app.navigate("/account", &session.cookie())] {
        let response = request.send().await.unwrap();
        assert_eq!(single(response.headers(), "retry-after"), "1");
        let page = page(response, 503).await;
        plain_page(&page);
        assert!(page.contains("Wait a moment"), "{page}");
        says_nothing_internal(&page);
    }
    let signing_in = page(app.navigate("/login", &session.cookie()).send().await.unwrap(), 200).await;
    assert!(signing_in.contains("name=\"password\""), "the page itself needs no database");
}
