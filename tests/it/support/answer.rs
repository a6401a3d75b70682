//! What a refusal must look like, whoever sends it: a problem document that says nothing of the inside.

use ephemint::http::problem::TABLE;
use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

use super::wire::Answer;

/// The origin of a test's service, where problem pages are published.
pub(crate) const ORIGIN: &str = "https://app.example.com";

/// Traces of the inside: statements, hosts, libraries, source files, panics.
const INTERNALS: [&str; 18] = [
    "SELECT",
    "INSERT",
    "UPDATE ",
    "query `",
    "relation",
    "postgres",
    "connection",
    "socket",
    "127.0.0.1",
    "ephemint_",
    "panicked",
    ".rs",
    "actix",
    "serde",
    "tokio",
    "os error",
    "expected `",
    "at line 0",
];

/// Checks that an answer is this problem, and returns its document.
pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Value {
    let (answered, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.unwrap();
    assert_eq!(answered, status, "instead of {code}: {body}");
    check(&headers, status, code, &body)
}

/// The same for an answer that was read from a raw socket.
pub(crate) fn raw_problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "instead of {code}: {answer:?}");
    check(&answer.headers, status, code, &answer.body)
}

fn check(headers: &HeaderMap, status: u16, code: &str, body: &str) -> Value {
    assert_eq!(headers["content-type"], "application/problem+json", "{body}");
    assert_eq!(headers["cache-control"], "no-store", "{body}");
    assert!(headers.contains_key("x-request-id"), "{body}");
    let row = TABLE.iter().find(|row| row.code == code).expect("a code of the table");
    let document: Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["type"], format!("{ORIGIN}/problems/{code}"), "{body}");
    assert_eq!(document["title"], row.title, "{body}");
    assert_eq!(document["status"], status, "{body}");
    assert_eq!(document["code"], code, "{body}");
    let known = ["type", "title", "status", "code", "detail"];
    assert!(document.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{body}");
    says_nothing_internal(body);
    document
}

/// Checks that a body names nothing of the inside.
pub(crate) fn says_nothing_internal(body: &str) {
    for internal in INTERNALS {
        assert!(!body.contains(internal), "{internal:?} in {body}");
    }
}

/// The one value of a header.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().unwrap_or_else(|| panic!("no {name}")).to_str().unwrap();
    assert!(lines.next().is_none(), "{name} twice");
    line
}
