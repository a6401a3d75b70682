//! A refused sign-in says the same whatever the reason, byte by byte.

use reqwest::{Method, Response, StatusCode, header::HeaderMap};
use serde_json::json;

use crate::support::{
    answer::{problem, single},
    app::TestApp,
    database::TestDatabase,
    proxy::DatabaseProxy,
    visitor::{PASSWORD, UNTHROTTLED, plain_page},
};

/// All that a client sees of an answer.
pub(super) type Seen = (StatusCode, HeaderMap, String);

/// The same, without what differs between any two answers.
pub(super) async fn seen(response: Response) -> Seen {
    let (status, mut headers) = (response.status(), response.headers().clone());
    for name in ["date", "x-request-id"] {
        assert!(headers.remove(name).is_some(), "{name}");
    }
    (status, headers, response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_alike_for_unknown_wrong_disabled_throttled_and_impossible() {
    let app = TestApp::spawn_with("login.free_failures = 1\nlogin.longest_delay = '0s'").await;
    for name in ["alice", "disabled", "throttled"] {
        app.given_account(name).await;
    }
    app.state.accounts.disable("disabled").await.unwrap();
    let long = "x".repeat(5_000);
    let wrong = "not the password at all";
    let attempts = [
        ("nobody", PASSWORD),
        ("alice", wrong),
        ("disabled", PASSWORD),
        ("disabled", wrong),
        ("throttled", wrong),
        ("throttled", wrong),
        ("throttled", PASSWORD),
        ("alice2", &long),
        (&long, PASSWORD),
        ("", ""),
        ("   ", PASSWORD),
        ("Ⓐlice\u{202e}", PASSWORD),
        ("<b>'\"\u{1}", "\u{7f}"),
    ];
    let mut pages = Vec::new();
    let mut documents = Vec::new();
    for (username, password) in attempts {
        let fields = [("username", username), ("password", password), ("return_to", "/orders")];
        pages.push(seen(app.submit("/login", "", &fields).send().await.unwrap()).await);
        let body = json!({ "username": username, "password": password });
        documents.push(seen(app.public(Method::POST, "/login").json(&body).send().await.unwrap()).await);
    }
    for (position, (username, _)) in attempts.iter().enumerate() {
        assert_eq!(pages[position], pages[0], "{username}");
        assert_eq!(documents[position], documents[0], "{username}");
    }
    let (status, headers, page) = &pages[0];
    assert_eq!((status.as_u16(), single(headers, "content-type")), (401, "text/html; charset=utf-8"));
    assert_eq!(single(headers, "www-authenticate"), "Session realm=\"ephemint\"");
    assert_eq!(single(headers, "cache-control"), "no-store");
    plain_page(page);
    assert!(
        page.contains("<title>Error: Sign in") && page.contains("role=\"alert\"") && page.contains("value=\"/orders\"")
    );
    assert_eq!(page.matches("aria-describedby=\"refusal\"").count(), 2);
    let wrong = json!({ "username": "alice", "password": "wrong" });
    problem(app.public(Method::POST, "/login").json(&wrong).send().await.unwrap(), 401, "login-refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_cannot_be_decided_is_no_refusal() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, UNTHROTTLED).await;
    app.given_account("alice").await;
    proxy.close();
    let body = json!({ "username": "alice", "password": PASSWORD });
    let response = app.public(Method::POST, "/login").json(&body).send().await.unwrap();
    assert_eq!(single(response.headers(), "retry-after"), "1");
    assert!(!response.headers().contains_key("set-cookie"));
    problem(response, 503, "unavailable").await;
    let by_form = app.submit("/login", "", &[("username", "alice"), ("password", PASSWORD)]).send().await.unwrap();
    assert_eq!((by_form.status().as_u16(), single(by_form.headers(), "retry-after")), (503, "1"));
    plain_page(&by_form.text().await.unwrap());
    proxy.reopen();
    assert_eq!(app.public(Method::POST, "/login").json(&body).send().await.unwrap().status(), StatusCode::OK);
}
