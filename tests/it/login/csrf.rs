//! Which site may write: every route that changes something, each combination of what a browser says, and the forms' tokens.

use std::collections::HashMap;

use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::is_live;
use crate::support::{
    answer::{ORIGIN, problem},
    app::TestApp,
    visitor::{PASSWORD, form},
};

const OURS: Option<&str> = Some(ORIGIN);
const NULL: Option<&str> = Some("null");
const EVIL: Option<&str> = Some("https://evil.example.com");
const PLAIN: Option<&str> = Some("http://app.example.com");

/// `Sec-Fetch-Site`, `Origin`, and whether the write is let through.
const TABLE: [(Option<&str>, Option<&str>, bool); 16] = [
    (None, None, true),
    (None, OURS, true),
    (None, NULL, false),
    (None, EVIL, false),
    (None, PLAIN, false),
    (Some("same-origin"), None, true),
    (Some("same-origin"), OURS, true),
    (Some("same-origin"), EVIL, true),
    (Some("none"), None, true),
    (Some("none"), NULL, true),
    (Some("same-site"), None, false),
    (Some("same-site"), OURS, false),
    (Some("cross-site"), None, false),
    (Some("cross-site"), OURS, false),
    (Some("cross-site"), NULL, false),
    (Some("Same-Origin"), OURS, false),
];

/// Every route that changes something: method, path, and the status of a write that is let through with an empty form.
const ROUTES: [(&str, &str, u16); 7] = [
    ("POST", "/login", 400),
    ("POST", "/logout", 303),
    ("POST", "/session/renew", 200),
    ("DELETE", "/sessions?others=true", 200),
    ("DELETE", "/sessions/{id}", 200),
    ("POST", "/account/sessions/revoke-others", 403),
    ("POST", "/account/sessions/{id}/revoke", 403),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_changes_nothing_on_any_route() {
    let app = TestApp::spawn().await;
    let mut session = app.given_session("alice").await;
    let mut other = app.given_session("alice").await;
    for (method, path, allowed_status) in ROUTES {
        for (site, origin, allowed) in TABLE {
            let path = path.replace("{id}", &other.id);
            let request = app.public(Method::from_bytes(method.as_bytes()).unwrap(), &path);
            let mut request = request.header("cookie", session.cookie());
            request = request.header("content-type", "application/x-www-form-urlencoded");
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let response = request.send().await.unwrap();
            let cell = format!("{method} {path}, site {site:?}, origin {origin:?}");
            if allowed {
                assert_eq!(response.status().as_u16(), allowed_status, "{cell}");
                if response.status().is_success() || response.status().is_redirection() {
                    session = app.given_session("alice").await;
                    other = app.given_session("alice").await;
                } else {
                    let code = if allowed_status == 403 { "csrf-token" } else { "invalid-field" };
                    problem(response, allowed_status, code).await;
                }
            } else {
                assert!(!response.headers().contains_key("set-cookie"), "{cell}");
                problem(response, 403, "cross-site-request").await;
                assert!(is_live(&app, &session.cookie()).await && is_live(&app, &other.cookie()).await, "{cell}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_signs_nobody_in() {
    let app = TestApp::spawn().await;
    app.given_account("mallory").await;
    let hashed = || app.state.metrics.password_hash_duration_seconds.get_sample_count();
    let (victim, before) = (app.given_session("alice").await, hashed());
    let fields = [("username", "mallory"), ("password", PASSWORD)];
    for (site, origin, _) in TABLE.into_iter().filter(|(_, _, allowed)| !allowed) {
        for cookie in ["", &victim.cookie()] {
            let by_form = app.public(Method::POST, "/login").body(form(&fields));
            let by_form = by_form.header("content-type", "application/x-www-form-urlencoded");
            let by_json = app.public(Method::POST, "/login").json(&HashMap::from(fields));
            for mut request in [by_form, by_json] {
                for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                    if let Some(value) = value {
                        request = request.header(name, value);
                    }
                }
                let response = request.header("cookie", cookie).send().await.unwrap();
                assert!(!response.headers().contains_key("set-cookie"), "{site:?} {origin:?}");
                problem(response, 403, "cross-site-request").await;
            }
        }
    }
    assert_eq!(hashed(), before, "it was not even looked at");
    assert_eq!(app.database.count("SELECT count(*) FROM session").await, 1);
    assert_eq!(app.database.count("SELECT count(*) FROM login_throttle").await, 0);
    assert!(is_live(&app, &victim.cookie()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_method_writes() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let other = app.given_session("alice").await;
    let token = app.csrf_token(&session.cookie()).await;
    for (_, path, _) in ROUTES {
        let path = path.replace("{id}", &other.id);
        for method in ["GET", "HEAD", "PUT", "PATCH", "OPTIONS"] {
            let path = format!("{path}{}csrf_token={token}", if path.contains('?') { '&' } else { '?' });
            let request = app.public(Method::from_bytes(method.as_bytes()).unwrap(), &path);
            let response = request.header("cookie", session.cookie()).header("origin", ORIGIN).send().await.unwrap();
            let read =
                matches!(method, "GET" | "HEAD") && (path.starts_with("/login?") || path.starts_with("/sessions?"));
            assert!(
                read || response.status() == StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}: {}",
                response.status()
            );
            assert!(!response.headers().contains_key("set-cookie"), "{method} {path}");
        }
    }
    assert!(is_live(&app, &session.cookie()).await && is_live(&app, &other.cookie()).await);
}

/// A form's body with a token or without.
fn with_token(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    let fields: Vec<_> = token.map(|token| ("csrf_token", token)).into_iter().collect();
    request.body(form(&fields))
}

async fn refused(response: Response, cell: &str) {
    assert!(!response.headers().contains_key("set-cookie"), "{cell}");
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "{cell}");
    problem(response, 403, "csrf-token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_carries_the_token_of_its_own_session() {
    let app = TestApp::spawn().await;
    let mut session = app.given_session("alice").await;
    let kept = app.given_session("alice").await;
    for path in ["/account/sessions/{id}/revoke", "/account/sessions/revoke-others", "/logout"] {
        let stranger = app.given_session("alice").await;
        let foreign = app.csrf_token(&stranger.cookie()).await;
        let own = app.csrf_token(&session.cookie()).await;
        let (truncated, longer) = (&own[..own.len() - 1], format!("{own}A"));
        let send = |token: Option<&str>, session: &str| {
            let path = path.replace("{id}", &kept.id);
            let request = app.public(Method::POST, &path).header("cookie", session).header("origin", ORIGIN);
            with_token(request.header("content-type", "application/x-www-form-urlencoded"), token).send()
        };
        for token in [Some(""), Some(foreign.as_str()), Some(truncated), Some(&longer), Some("null")] {
            refused(send(token, &session.cookie()).await.unwrap(), &format!("{path} {token:?}")).await;
        }
        if path != "/logout" {
            refused(send(None, &session.cookie()).await.unwrap(), &format!("{path} without a token")).await;
            problem(send(Some(&own), "").await.unwrap(), 401, "no-session").await;
        }
        assert!(is_live(&app, &session.cookie()).await && is_live(&app, &stranger.cookie()).await, "{path}");
        let answer = send(Some(&own), &session.cookie()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        if path.ends_with("/revoke") {
            assert!(!is_live(&app, &kept.cookie()).await && is_live(&app, &stranger.cookie()).await);
        } else if path == "/logout" {
            assert!(!is_live(&app, &session.cookie()).await);
        } else {
            assert!(is_live(&app, &session.cookie()).await && !is_live(&app, &stranger.cookie()).await);
            session = app.given_session("alice").await;
        }
    }
    // The header rule alone is enough to sign out.
    let last = app.given_session("alice").await;
    let request = app.public(Method::POST, "/logout").header("cookie", last.cookie()).header("origin", ORIGIN);
    let sent = with_token(request.header("content-type", "application/x-www-form-urlencoded"), None).send();
    assert_eq!(sent.await.unwrap().status(), StatusCode::SEE_OTHER);
    assert!(!is_live(&app, &last.cookie()).await);
}
