//! The `OpenAPI` document says what the listeners do: each route is in it, and each operation answers as it says.

mod shape;

use std::{collections::BTreeSet, fs, path::Path};

use ephemint::http::openapi::{Listener, Operation, operations};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::{
    answer::ORIGIN,
    app::{COOKIE, TestApp},
    visitor::{ACCEPT, PASSWORD, form},
};

#[test]
fn every_route_is_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut routes = BTreeSet::new();
    for file in ["admin/mod.rs", "public/mod.rs", "gateway/mod.rs", "discovery.rs", "listeners.rs"] {
        let text = fs::read_to_string(source.join(file)).unwrap();
        for literal in text.split('"').skip(1).step_by(2).filter(|literal| literal.starts_with('/')) {
            routes.insert(literal.to_owned());
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    let told: BTreeSet<_> = operations().map(|operation| operation.path.to_owned()).collect();
    assert_eq!(routes, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_as_the_document_says() {
    let app = TestApp::spawn_with("exchange.default_audience = \"orders\"").await;
    app.given_account("alice").await;
    let document: Value = app.anonymous_admin(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    for operation in operations() {
        for &listener in operation.listeners {
            let session = app.given_session("alice").await;
            let request = well_formed(&app, operation, listener, &session.id, &session.cookie()).await;
            let response = request.send().await.unwrap();
            let name = format!("{} on {}", operation.id, listener.name());
            assert!(response.status().is_success() || response.status() == 303, "{name}: {}", response.status());
            answers_as_told(&document, operation, response, &name).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_refused_as_the_document_says() {
    let app = TestApp::spawn().await;
    let document: Value = app.anonymous_admin(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    for operation in operations() {
        for &listener in operation.listeners {
            let name = format!("{} without anything on {}", operation.id, listener.name());
            let path = operation.path.replace("{session_id}", "01a00000-0000-7000-8000-000000000000");
            let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
            let bare = on(&app, listener, method, &path).send().await.unwrap();
            if operation.scope.is_some() {
                assert_eq!(bare.status(), 401, "{name}");
            }
            // Paths with a name in them lead nowhere here, as anywhere.
            if bare.status() != 404 {
                answers_as_told(&document, operation, bare, &name).await;
            }
        }
    }
}

/// Checks an answer's status, form and shape against the document.
async fn answers_as_told(document: &Value, operation: &Operation, response: Response, name: &str) {
    let told = &document["paths"][operation.path][operation.method.to_ascii_lowercase()]["responses"];
    let told = &told[response.status().as_str()];
    assert!(told.is_object(), "{name}: {} is not in the document", response.status());
    let told = told["$ref"].as_str().map_or(Some(told), |reference| document.pointer(&reference[1..])).unwrap();
    let form = response.headers().get("content-type").map(|form| form.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    let Some(content) = told.get("content").and_then(Value::as_object) else {
        assert_eq!(body, "", "{name}");
        return;
    };
    let (expected, content) = content.iter().next().unwrap();
    let form = form.unwrap_or_default();
    if expected == "text/html" {
        assert!(form.starts_with("text/"), "{name}: {form}");
        return;
    }
    assert!(form.starts_with(expected.as_str()), "{name}: {form}, not {expected}");
    let value = if expected.ends_with("json") { serde_json::from_str(&body).unwrap() } else { json!(body) };
    shape::fits(document, &content["schema"], &value, name);
}

/// A request that the operation has no reason to refuse.
async fn well_formed(
    app: &TestApp,
    operation: &Operation,
    listener: Listener,
    id: &str,
    cookie: &str,
) -> RequestBuilder {
    let path = operation.path.replace("{session_id}", id).replace("{name}", "style.css");
    let path = path.replace("{code}", "internal").replace("{audience}", "orders");
    let query: Vec<_> = operation
        .parameters
        .iter()
        .filter(|parameter| parameter.required)
        .map(|parameter| match parameter.name {
            "subject" => "subject=alice",
            "others" => "others=true",
            other => panic!("no example of {other}"),
        })
        .collect();
    let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    let request = on(app, listener, Method::from_bytes(operation.method.as_bytes()).unwrap(), &path);
    let request = if operation.scope.is_some() { request.bearer_auth(&app.secret) } else { request };
    let request = if operation.by_session { request.header("cookie", cookie) } else { request };
    let request = request.header("origin", ORIGIN);
    let Some(body) = &operation.body else { return request };
    let csrf = app.csrf_token(cookie).await;
    match (body.schema, body.media_types[0]) {
        ("SignIn", _) => request.json(&json!({ "username": "alice", "password": PASSWORD })),
        ("StartSession", _) => request.json(&json!({ "subject": "bob", "claims": { "role": "admin" } })),
        ("CsrfForm", media) => {
            request.header("content-type", media).header("accept", ACCEPT).body(form(&[("csrf_token", &csrf)]))
        }
        (other, _) => panic!("no example of {other}"),
    }
}

fn on(app: &TestApp, listener: Listener, method: Method, path: &str) -> RequestBuilder {
    match listener {
        Listener::Public => app.public(method, path),
        Listener::Gateway => app.gateway(method, path),
        Listener::Admin => app.anonymous_admin(method, path),
    }
}

#[test]
fn the_cookie_that_the_document_names_is_the_default() {
    let document = ephemint::http::openapi::document("https://app.example.com");
    assert_eq!(document["components"]["securitySchemes"]["session_cookie"]["name"], COOKIE);
}
