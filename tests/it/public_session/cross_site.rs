//! Who may send a logout: each combination of site, origin and cookie, and what other sites plant.

use reqwest::{Method, StatusCode};

use super::{CLEARED, is_live, logout, show};
use crate::support::{
    answer::{ORIGIN, problem, single},
    app::{COOKIE, TestApp},
    origins::{TABLE, from},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_our_own_pages_may_sign_a_browser_out() {
    let app = TestApp::spawn().await;
    let mut session = app.given_session("alice").await;
    for (site, origin, allowed) in TABLE {
        for cookie in [true, false] {
            let mut request = app.public(Method::POST, "/logout");
            if cookie {
                request = request.header("cookie", session.cookie());
            }
            let response = from(request, site, origin).send().await.unwrap();
            let cell = format!("site {site:?}, origin {origin:?}, cookie {cookie}");
            if allowed {
                assert_eq!(response.status(), StatusCode::NO_CONTENT, "{cell}");
                assert_eq!(response.headers().get("set-cookie").is_some_and(|line| line == CLEARED), cookie, "{cell}");
            } else {
                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{cell}");
                assert!(!response.headers().contains_key("set-cookie"), "{cell}");
                assert!(!response.headers().contains_key("clear-site-data"), "{cell}");
                problem(response, 403, "cross-site-request").await;
            }
            assert_eq!(is_live(&app, &session).await, !(cookie && allowed), "{cell}");
            if cookie && allowed {
                session = app.given_session("alice").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_but_post_ends_a_session() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "LOGOUT"] {
        for path in ["/logout", "/logout?_method=POST"] {
            let request = app.public(Method::from_bytes(method.as_bytes()).unwrap(), path);
            let request = request.header("cookie", session.cookie()).header("origin", ORIGIN);
            let response = request.header("x-http-method-override", "POST").send().await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert!(!response.headers().contains_key("set-cookie"), "{method}");
            assert!(!response.headers().contains_key("access-control-allow-origin"), "{method}");
        }
    }
    for path in ["/logout/", "//logout", "/Logout", "/session"] {
        let response = logout(&app, &session.cookie()).build().unwrap();
        let request = app.public(Method::POST, path).headers(response.headers().clone());
        assert!(request.send().await.unwrap().status().is_client_error(), "{path}");
    }
    assert!(is_live(&app, &session).await);
}

/// Cookie names that lenient parsers take for the session's: percent escapes, letter case, Unicode spaces, a BOM.
fn lookalikes() -> Vec<Vec<u8>> {
    let mut names = vec![b"__%48ost-session".to_vec(), b"__host-session".to_vec(), b"%5F%5FHost-session".to_vec()];
    for space in ['\u{2000}', '\u{a0}', '\u{85}', '\u{1680}', '\u{3000}', '\u{feff}'] {
        names.push(format!("{space}{COOKIE}").into_bytes());
        names.push(format!("{COOKIE}{space}").into_bytes());
    }
    names.push([b"\xa0".as_slice(), COOKIE.as_bytes()].concat());
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_cookie_signs_nobody_in_or_out() {
    let app = TestApp::spawn().await;
    let planted = app.given_session("mallory").await;
    let session = app.given_session("alice").await;
    for name in lookalikes() {
        let shown = String::from_utf8_lossy(&name).into_owned();
        let evil = [name.as_slice(), b"=", planted.token.as_bytes()].concat();
        let own = session.cookie().into_bytes();
        for line in [[evil.as_slice(), b"; ", &own].concat(), [own.as_slice(), b"; ", &evil].concat()] {
            let request = app.public(Method::GET, "/session").header("cookie", line.as_slice());
            let body: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(body["subject"], "alice", "{shown}");
        }
        let alone = app.public(Method::GET, "/session").header("cookie", evil.as_slice()).send().await.unwrap();
        assert_eq!(alone.status(), StatusCode::UNAUTHORIZED, "{shown}");
        let request = app.public(Method::POST, "/logout").header("sec-fetch-site", "same-origin");
        let response = request.header("cookie", evil.as_slice()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{shown}");
    }
    assert!(is_live(&app, &planted).await && is_live(&app, &session).await);

    // With both, the real one is what a logout ends.
    let evil = format!("__%48ost-session={}", planted.token);
    let response = logout(&app, &format!("{evil}; {}", session.cookie())).send().await.unwrap();
    assert_eq!(single(response.headers(), "set-cookie"), CLEARED);
    assert!(!is_live(&app, &session).await && is_live(&app, &planted).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_in_other_cookies_signs_nobody_out() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    for junk in
        [b"a=\xff\xfe".as_slice(), b"=x", b";;;", b"a", b"a=\"b", b"a=%zz%00", b"inner=x", b"$Version=1", b"\x80=1"]
    {
        let line = [junk, b"; ", session.cookie().as_bytes(), b"; ", junk].concat();
        let response = app.public(Method::GET, "/session").header("cookie", line.as_slice()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{}", String::from_utf8_lossy(junk));
    }
    let twice = format!("{}; {}", session.cookie(), session.cookie());
    assert_eq!(show(&app, &twice).await.status(), StatusCode::OK, "the same cookie twice is no conflict");
}
