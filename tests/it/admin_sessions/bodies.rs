//! What a start refuses in its body: each field's rule, and everything ambiguous. Nothing refused leaves a trace.

use ephemint::clock::Clock as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{answer::problem, app::TestApp};

/// Posts a text as JSON.
async fn post(app: &TestApp, text: impl Into<reqwest::Body>) -> reqwest::Response {
    let request = app.admin(Method::POST, "/admin/sessions").header("content-type", "application/json");
    request.body(text).send().await.unwrap()
}

async fn sessions(app: &TestApp) -> i64 {
    app.database.count("SELECT count(*) FROM session").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fields_rule_has_its_refusal_and_names_the_field() {
    let app = TestApp::spawn().await;
    let now = app.clock.now().unix_timestamp();
    let many_claims: Value = (0..33).map(|n| (format!("c{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    let mut broken: Vec<(&str, Value)> = Vec::new();
    let mut breaks = |field, values: &[Value]| broken.extend(values.iter().map(|value| (field, value.clone())));
    breaks(
        "subject",
        &[json!(null), json!(""), json!(7), json!(true), json!(["alice"]), json!({ "a": 1 }), json!(" a"), json!("a ")],
    );
    breaks(
        "subject",
        &[json!("a\nb"), json!("a\u{7f}"), json!("\u{85}"), json!("é".repeat(128)), json!("a".repeat(256))],
    );
    breaks("amr", &[json!("pwd"), json!({}), json!([1]), json!([""]), json!(["a b"]), json!(["é"]), json!([null])]);
    breaks("amr", &[json!(["a\t"]), json!(["a".repeat(33)]), json!(vec!["pwd"; 11]), json!([["pwd"]])]);
    breaks("acr", &[json!(""), json!(1), json!("a".repeat(65)), json!("a\u{1}"), json!(["aal1"])]);
    breaks(
        "auth_time",
        &[json!(now + 60), json!(-1), json!(1.5), json!("yesterday"), json!("2026-01-31"), json!(true)],
    );
    breaks("auth_time", &[json!("9999-12-31T23:59:59Z"), json!(u64::MAX), json!("1969-12-31T23:59:59Z"), json!([now])]);
    breaks(
        "claims",
        &[json!("x"), json!([]), json!(1), many_claims, json!({ "a": "x".repeat(4_097) }), json!({ "": 1 })],
    );
    breaks(
        "claims",
        &[json!({ "a\n": 1 }), json!({ "a".repeat(65): 1 }), json!({ "sub": "root" }), json!({ "cnf": {} })],
    );
    breaks("device", &[json!(""), json!(1), json!("a".repeat(257)), json!("a\r\nb"), json!({})]);
    breaks(
        "ip",
        &[json!(""), json!("localhost"), json!("1.2.3"), json!("010.0.0.1"), json!("1.2.3.4:80"), json!("[::1]")],
    );
    breaks("ip", &[json!("fe80::1%eth0"), json!(1), json!("1.2.3.4/32"), json!("1.2.3.4 "), json!("0".repeat(46))]);
    for (field, value) in broken {
        let mut body = json!({ "subject": "alice" });
        body[field] = value;
        let document = problem(post(&app, body.to_string()).await, 400, "invalid-field").await;
        assert!(document["detail"].as_str().unwrap().starts_with(&format!("{field}: ")), "{body}: {document}");
    }
    problem(post(&app, "{}").await, 400, "invalid-field").await;
    assert_eq!(sessions(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_value_of_each_field_is_taken() {
    let app = TestApp::spawn().await;
    let now = app.clock.now().unix_timestamp();
    let claims: Value = (0..31).map(|n| (format!("c{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    for (field, value) in [
        ("subject", json!("a".repeat(255))),
        ("amr", json!(vec!["a".repeat(32); 10])),
        ("amr", json!([])),
        ("acr", json!("a".repeat(64))),
        ("auth_time", json!(0)),
        ("auth_time", json!(now + 4)),
        ("auth_time", json!("2020-02-29T12:00:00.5+01:00")),
        ("claims", json!({ "a": "x".repeat(4_000), "b".repeat(64): null })),
        ("claims", claims),
        ("device", json!("é".repeat(128))),
        ("ip", json!("2001:DB8::1")),
        ("ip", json!("::ffff:255.255.255.255")),
    ] {
        let mut body = json!({ "subject": "alice" });
        body[field] = value;
        let response = post(&app, body.to_string()).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{body}");
    }
    assert_eq!(sessions(&app).await, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_nobody_knows_is_refused_and_not_repeated() {
    let app = TestApp::spawn().await;
    for name in ["isAdmin", "session_id", "session_token", "Subject", "__proto__", "subject ", "emc_secret"] {
        let body = json!({ "subject": "alice", name: "canary" }).to_string();
        let document = problem(post(&app, body).await, 400, "bad-request").await;
        let detail = "unknown field; this route takes subject, amr, acr, auth_time, claims, device, ip";
        assert_eq!(document["detail"], detail, "{name}");
    }
    assert_eq!(sessions(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_and_broken_json_is_refused_without_repeating_it() {
    let app = TestApp::spawn().await;
    let deep = format!("{{\"subject\":\"a\",\"claims\":{{\"a\":{}{}}}}}", "[".repeat(200), "]".repeat(200));
    let deeper = "[".repeat(8_000);
    let bodies: [(&[u8], &str); 24] = [
        (br#"{"subject":"a","subject":"canary"}"#, "a name occurs twice in one object"),
        (br#"{"subject":"a","\u0073ubject":"canary"}"#, "a name occurs twice in one object"),
        (br#"{"subject":"a","claims":{"r":1,"r":2}}"#, "a name occurs twice in one object"),
        (br#"{"subject":"a","claims":{"r":[{"x":1,"x":1}]}}"#, "a name occurs twice in one object"),
        (br#"{"subject":"a\u0000"}"#, "a string holds the character U+0000"),
        (br#"{"subject":"a","claims":{"r":["\u0000"]}}"#, "a string holds the character U+0000"),
        (br#"{"subject":"a","claims":{"\u0000":1}}"#, "a string holds the character U+0000"),
        (br#"[{"subject":"canary"}]"#, "the body must be one JSON object"),
        (br#"["canary"]"#, "the body must be one JSON object"),
        (br#""canary""#, "the body must be one JSON object"),
        (b"null", "the body must be one JSON object"),
        (deep.as_bytes(), "not well-formed JSON"),
        (deeper.as_bytes(), "not well-formed JSON"),
        (b"", "not well-formed JSON"),
        (br#"{"subject":"canary""#, "not well-formed JSON"),
        (br#"{"subject":"canary"}x"#, "not well-formed JSON"),
        (br#"{"subject":"canary"}{}"#, "not well-formed JSON"),
        (br#"{"subject":"canary",}"#, "not well-formed JSON"),
        (br"{'subject':'canary'}", "not well-formed JSON"),
        (br#"{"subject":"a","claims":{"r":NaN}}"#, "not well-formed JSON"),
        (br#"{"subject":"a","claims":{"r":1e400}}"#, "not well-formed JSON"),
        (br#"{"subject":"canary\ud800"}"#, "not well-formed JSON"),
        (b"{\"subject\":\"canary\xff\"}", "not well-formed JSON"),
        (b"\xef\xbb\xbf{\"subject\":\"canary\"}", "not well-formed JSON"),
    ];
    for (body, detail) in bodies {
        let document = problem(post(&app, body.to_vec()).await, 400, "malformed-json").await;
        let shown = String::from_utf8_lossy(body);
        assert!(document["detail"].as_str().unwrap().starts_with(detail), "{shown}: {document}");
        assert!(!document.to_string().contains("canary"), "{shown}: {document}");
    }
    let number = r#"{"subject":"a","auth_time":123456789012345678901234567890}"#;
    let document = problem(post(&app, number).await, 400, "invalid-field").await;
    assert!(document["detail"].as_str().unwrap().starts_with("auth_time: "), "{document}");
    assert_eq!(sessions(&app).await, 0);
}
