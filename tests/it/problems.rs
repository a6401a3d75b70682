//! Refusals on every listener: the same form everywhere, the right method list, and nothing of the inside.

mod framing;

use std::net::SocketAddr;

use ephemint::http::problem::TABLE;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::support::{
    answer::{problem, raw_problem, single},
    app::TestApp,
    database::TestDatabase,
    proxy::DatabaseProxy,
    wire::{self, Connection},
};

/// Each listener by its name.
fn listeners(app: &TestApp) -> [(&'static str, SocketAddr); 3] {
    let addresses = app.addresses;
    [("public", addresses.public), ("gateway", addresses.gateway), ("admin", addresses.admin)]
}

/// Routes that are read, by listener.
const READ: [(&str, &[&str]); 3] = [
    ("public", &["/session", "/problems/internal", "/.well-known/jwks.json", "/rs256/.well-known/jwks.json"]),
    ("gateway", &["/problems/internal", "/.well-known/jwks.json", "/.well-known/openid-configuration"]),
    ("admin", &["/metrics", "/livez", "/readyz", "/version", "/admin/keys"]),
];

async fn send(app: &TestApp, address: SocketAddr, method: &str, path: &str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    app.http.request(method, format!("http://{address}{path}")).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_leads_nowhere_is_404_on_every_listener() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let everywhere =
        ["/", "/none", "/.git/config", "/debug", "/actuator", "/problems", "/problems/", "/%00", "/%c0%ae", "//"];
    let elsewhere: [(&str, &[&str]); 3] = [
        ("public", &["/exchange", "/exchange/orders", "/metrics", "/livez", "/readyz", "/version", "/admin/sessions"]),
        (
            "gateway",
            &["/session", "/metrics", "/livez", "/admin/sessions", "/login", "/exchange/orders/x", "/exchange/"],
        ),
        (
            "admin",
            &["/session", "/exchange/orders", "/.well-known/jwks.json", "/admin", "/admin/", "/metrics/", "/Livez"],
        ),
    ];
    for ((name, address), (_, more)) in listeners(&app).into_iter().zip(elsewhere) {
        let mut bodies = Vec::new();
        for path in everywhere.iter().chain(more).filter(|path| (name, **path) != ("gateway", "/exchange/")) {
            let request = app.http.get(format!("http://{address}{path}")).bearer_auth(&app.secret);
            let response = request.header("cookie", session.cookie()).send().await.unwrap();
            assert!(!response.headers().contains_key("authorization"), "{name} {path}");
            bodies.push(problem(response, 404, "not-found").await);
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
    }
    let logout = app.public(Method::POST, "/admin/sessions").bearer_auth(&app.secret).json(&json!({ "subject": "a" }));
    problem(logout.send().await.unwrap(), 404, "not-found").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let app = TestApp::spawn().await;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "FOO"];
    let session = "/admin/sessions/0190a0b0-0000-7000-8000-000000000000";
    let mut routes: Vec<(SocketAddr, &str, &str)> = vec![
        (app.addresses.public, "/logout", "POST"),
        (app.addresses.admin, "/admin/keys/rotate", "POST"),
        (app.addresses.admin, "/admin/sessions", "GET, HEAD, POST, DELETE"),
        (app.addresses.admin, session, "GET, HEAD, DELETE"),
    ];
    for ((_, address), (_, paths)) in listeners(&app).into_iter().zip(READ) {
        routes.extend(paths.iter().map(|path| (address, *path, "GET, HEAD")));
    }
    for (address, path, allow) in routes {
        for method in methods {
            let response = send(&app, address, method, path).await;
            if allow.split(", ").any(|allowed| allowed == method) {
                assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            } else if method == "HEAD" {
                assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            } else {
                assert_eq!(single(response.headers(), "allow"), allow, "{method} {path}");
                assert!(!response.headers().contains_key("access-control-allow-origin"), "{method} {path}");
                problem(response, 405, "method-not-allowed").await;
            }
        }
    }
    for (name, address) in listeners(&app) {
        for method in methods.into_iter().filter(|method| *method != "HEAD") {
            let response = send(&app, address, method, "/none").await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{name} {method}");
            problem(response, 404, "not-found").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_says_what_get_says_without_the_body() {
    let app = TestApp::spawn().await;
    for ((name, address), (_, paths)) in listeners(&app).into_iter().zip(READ) {
        for path in paths.iter().chain(&["/none"]) {
            let got = send(&app, address, "GET", path).await;
            let status = got.status();
            let media_type = got.headers()["content-type"].clone();
            let request = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n");
            let mut connection = Connection::open(address).await;
            // A body where none may be would be read as the next answer.
            for _ in 0..2 {
                connection.send(request.as_bytes()).await;
                let answer = connection.answer(true).await.unwrap();
                assert_eq!(
                    (answer.status, &answer.headers["content-type"]),
                    (status.as_u16(), &media_type),
                    "{name} {path}"
                );
                assert_ne!(answer.headers["content-length"], "0", "{name} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_methods_and_upgrades_are_answered_and_never_hang() {
    let app = TestApp::spawn().await;
    for (name, address) in listeners(&app) {
        let get = match name {
            "public" => "/session",
            "gateway" => "/exchange/orders",
            _ => "/admin/sessions",
        };
        let upgrade = "connection: upgrade\r\nupgrade: ";
        for (request, statuses) in [
            (
                "CONNECT evil.example.com:443 HTTP/1.1\r\nhost: evil.example.com:443\r\n\r\n".to_owned(),
                [404, 405].as_slice(),
            ),
            (format!("CONNECT {get} HTTP/1.1\r\nhost: x\r\n\r\n"), &[400, 401, 405]),
            (
                format!("GET {get} HTTP/1.1\r\nhost: x\r\n{upgrade}websocket\r\nsec-websocket-version: 13\r\n\r\n"),
                &[400, 401],
            ),
            (format!("GET {get} HTTP/1.1\r\nhost: x\r\n{upgrade}h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n"), &[400, 401]),
            (
                format!("POST {get} HTTP/1.1\r\nhost: x\r\n{upgrade}websocket\r\ncontent-length: 2\r\n\r\n{{}}"),
                &[400, 401, 405],
            ),
            (format!("GET {get} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\r\n"), &[400, 401]),
            (format!("{} {get} HTTP/1.1\r\nhost: x\r\n\r\n", "M".repeat(5_000)), &[400, 401, 405]),
            ("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), &[400, 404, 405]),
            (format!("GET http://evil.example.com{get} HTTP/1.1\r\nhost: x\r\n\r\n"), &[401]),
            (format!("GET {get}#fragment HTTP/1.1\r\nhost: x\r\n\r\n"), &[400, 401]),
        ] {
            let answer = wire::request(address, request.as_bytes()).await;
            assert!(statuses.contains(&answer.status), "{name}: {request}: {answer:?}");
            assert_ne!(answer.status, 101);
            assert!(!answer.body.contains("evil.example.com"), "{name}: {request}: {answer:?}");
        }
    }
    let upgrade = "GET /session HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    raw_problem(&wire::request(app.addresses.public, upgrade.as_bytes()).await, 400, "bad-request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_problem_has_a_page_where_its_type_points() {
    let app = TestApp::spawn().await;
    for address in [app.addresses.public, app.addresses.gateway] {
        for row in TABLE {
            let response = send(&app, address, "GET", &format!("/problems/{}", row.code)).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", row.code);
            assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
            let page = response.text().await.unwrap();
            for text in [row.title, row.code, &row.status.to_string(), row.remedy] {
                assert!(page.contains(&text.replace('\'', "&#x27;")), "{text} in {page}");
            }
        }
        for code in ["none", "NOT-FOUND", "not-found/", "%3Cscript%3E", "..%2Fnot-found"] {
            let response = send(&app, address, "GET", &format!("/problems/{code}")).await;
            problem(response, 404, "not-found").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_database_is_503_and_nothing_of_it_is_said() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "").await;
    let session = app.given_session("alice").await;
    let one = format!("/admin/sessions/{}", session.id);
    let check = async |what: &str| {
        let start = app.admin(Method::POST, "/admin/sessions").json(&json!({ "subject": "bob" }));
        for request in [
            start,
            app.admin(Method::GET, "/admin/sessions"),
            app.admin(Method::GET, "/admin/sessions?subject=alice"),
            app.admin(Method::GET, &one),
            app.admin(Method::DELETE, &one),
            app.admin(Method::DELETE, "/admin/sessions?subject=alice"),
            app.public(Method::GET, "/session").header("cookie", session.cookie()),
            app.public(Method::POST, "/logout").header("cookie", session.cookie()).header("sec-fetch-site", "none"),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(single(response.headers(), "retry-after"), "1", "{what}");
            let document = problem(response, 503, "unavailable").await;
            assert!(document.get("detail").is_none(), "{document}");
        }
        let response = app.exchange(&session.cookie()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert_eq!(single(response.headers(), "retry-after"), "1");
        assert_eq!(response.text().await.unwrap(), "");
    };
    app.database.execute("ALTER TABLE session RENAME TO hidden_canary").await;
    app.database.execute("ALTER TABLE subject_state RENAME TO hidden_subject").await;
    check("a table is missing").await;
    app.database.execute("ALTER TABLE hidden_canary RENAME TO session").await;
    app.database.execute("ALTER TABLE hidden_subject RENAME TO subject_state").await;
    proxy.close();
    check("the connection is cut").await;
    proxy.reopen();
    app.access_token("orders", &session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_trusted_peer_may_name_a_request() {
    let given = "a1b2c3d4-proxy_request";
    for (networks, trusted) in [("['127.0.0.0/8']", true), ("['10.0.0.0/8']", false), ("[]", false)] {
        let app = TestApp::spawn_with(&format!("gateway.trusted_proxies = {networks}")).await;
        for (name, address) in listeners(&app) {
            for path in ["/none", "/exchange/orders", "/livez"] {
                let request = app.http.get(format!("http://{address}{path}")).header("x-request-id", given);
                let response = request.header("x-forwarded-for", "127.0.0.1").send().await.unwrap();
                let id = single(response.headers(), "x-request-id");
                assert_eq!(id == given, trusted, "{name} {path} {networks}");
                assert!(trusted || id.len() == 36, "{id}");
            }
            for bad in
                ["short", "has space in it", "semi;colon;id", &"x".repeat(65), &"x".repeat(10_000), "émoji-in-it"]
            {
                let request = app.http.get(format!("http://{address}/none")).header("x-request-id", bad);
                let response = request.send().await.unwrap();
                assert_eq!(single(response.headers(), "x-request-id").len(), 36, "{name}: {bad}");
            }
        }
    }
}
