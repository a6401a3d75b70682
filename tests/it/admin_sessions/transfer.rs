//! How a body may arrive: media type, coding, size, speed, end.

use std::time::Duration;

use ephemint::clock::{Clock as _, SystemClock};
use reqwest::Method;

use crate::support::{
    answer::{problem, raw_problem},
    app::TestApp,
    wire::{self, Connection},
};

const BODY: &str = r#"{"subject":"alice"}"#;

async fn sessions(app: &TestApp) -> i64 {
    app.database.count("SELECT count(*) FROM session").await
}

/// The head of a start up to its end, with more header lines.
fn head(app: &TestApp, more: &str) -> String {
    format!(
        "POST /admin/sessions HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{more}\r\n",
        app.secret
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_json_in_utf_8_and_without_a_coding_is_read() {
    let app = TestApp::spawn().await;
    let refused: [&[(&str, &str)]; 16] = [
        &[],
        &[("content-type", "")],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "application/problem+json")],
        &[("content-type", "*/*")],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "application/json; charset=iso-8859-1")],
        &[("content-type", "text/plain, application/json")],
        &[("content-type", "application/json"), ("content-type", "application/json")],
        &[("content-type", "application/json"), ("content-type", "text/plain")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &[("content-type", "application/json"), ("content-encoding", "identity")],
        &[("content-type", "application/json"), ("content-encoding", "br")],
    ];
    for lines in refused {
        let mut request = app.admin(Method::POST, "/admin/sessions").body(BODY);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let document = problem(request.send().await.unwrap(), 415, "unsupported-media-type").await;
        let detail = "this route takes application/json in UTF-8, without a content coding";
        assert_eq!(document["detail"], detail, "{lines:?}");
    }
    assert_eq!(sessions(&app).await, 0);
    for taken in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
        let request = app.admin(Method::POST, "/admin/sessions").header("content-type", taken).body(BODY);
        assert_eq!(request.send().await.unwrap().status(), 201, "{taken}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let app = TestApp::spawn_with("http.max_body = '1KiB'").await;
    let announced = wire::request(app.addresses.admin, head(&app, "content-length: 10737418240\r\n").as_bytes()).await;
    raw_problem(&announced, 413, "body-too-large");

    let mut request = head(&app, "transfer-encoding: chunked\r\n");
    request += &format!("400\r\n{}\r\n", " ".repeat(1_024));
    request += &format!("13\r\n{BODY}\r\n0\r\n\r\n");
    raw_problem(&wire::request(app.addresses.admin, request.as_bytes()).await, 413, "body-too-large");
    assert_eq!(sessions(&app).await, 0);

    let padded = |length: usize| format!("{BODY}{}", " ".repeat(length - BODY.len()));
    let post =
        |body: String| app.admin(Method::POST, "/admin/sessions").header("content-type", "application/json").body(body);
    problem(post(padded(1_025)).send().await.unwrap(), 413, "body-too-large").await;
    assert_eq!(post(padded(1_024)).send().await.unwrap().status(), 201);

    let request = head(&app, "transfer-encoding: chunked\r\n") + &format!("13\r\n{BODY}\r\n0\r\ncookie: a=b\r\n\r\n");
    assert_eq!(wire::request(app.addresses.admin, request.as_bytes()).await.status, 201, "chunks within the limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_takes_too_long_is_given_up_in_time() {
    let app = TestApp::spawn_with("http.body_timeout = '200ms'\nhttp.head_timeout = '200ms'").await;
    for framing in ["content-length: 19\r\n", "transfer-encoding: chunked\r\n"] {
        let mut connection = Connection::open(app.addresses.admin).await;
        let clock = SystemClock::new();
        connection.send(head(&app, framing).as_bytes()).await;
        // A byte that arrives wins no time.
        connection.send(if framing.starts_with("content") { b"{" } else { b"1\r\n{\r\n" }).await;
        raw_problem(&connection.answer(false).await.unwrap(), 408, "request-timeout");
        let waited = clock.monotonic();
        assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(5), "{waited:?}");
        // Whatever else it says is still that body, and soon nobody listens.
        connection.send(b"1").await;
        if let Some(answer) = connection.answer(false).await {
            assert_eq!((answer.status, answer.body.as_str()), (408, ""));
        }
        assert!(connection.is_closed().await);
    }
    assert_eq!(sessions(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_starts_nothing_even_if_what_came_is_whole() {
    let app = TestApp::spawn().await;
    for (framing, body) in [
        ("content-length: 40\r\n", BODY.to_owned()),
        ("content-length: 40\r\n", r#"{"subject":"al"#.to_owned()),
        ("transfer-encoding: chunked\r\n", format!("13\r\n{BODY}\r\n")),
        ("transfer-encoding: chunked\r\n", format!("20\r\n{BODY}")),
    ] {
        let mut connection = Connection::open(app.addresses.admin).await;
        connection.send((head(&app, framing) + &body).as_bytes()).await;
        connection.end_sending().await;
        if let Some(answer) = connection.answer(false).await {
            raw_problem(&answer, 400, "bad-request");
        }
    }
    // A request of its own comes after all that was said before.
    assert_eq!(app.admin(Method::GET, "/admin/sessions").send().await.unwrap().status(), 200);
    assert_eq!(sessions(&app).await, 0);
}
