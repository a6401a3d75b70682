//! The exchange looks at the path and the cookies. Whatever else a request carries changes nothing.

use crate::support::{
    app::{TestApp, payload},
    raw::{self, Answer},
};

const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "QUERY", "TRACE", "FOO"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_method_with_or_without_a_body_gets_the_same_answer() {
    let (app, cookie) = given().await;
    let (issued, refused) = plain(&app, &cookie).await;
    let mut requests = Vec::new();
    for method in METHODS {
        for body in ["", "{\"some\": \"body\"}"] {
            let length = format!("Content-Length: {}", body.len());
            let lines = [cookie.as_bytes(), length.as_bytes()];
            for (lines, expected) in [(&lines[..], &issued), (&lines[1..], &refused)] {
                requests.push((method, expected, raw::request(method, "/exchange/orders", lines, body.as_bytes())));
            }
        }
    }

    // All at once: a connection with an unread body lingers a moment before it closes.
    let sent = requests.iter().map(|(_, _, request)| raw::send(app.addresses.gateway, request));
    let answers = futures_util::future::join_all(sent).await;

    for ((method, expected, request), answer) in requests.iter().zip(answers) {
        let answer = without_token(Answer::parse(&answer));
        assert_eq!(&answer, *expected, "{method}: {}", String::from_utf8_lossy(request));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let (app, cookie) = given().await;
    for announced in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        for (cookie, status) in [(cookie.as_str(), 200), ("Cookie: a=1", 401)] {
            let request = format!("POST /exchange/orders HTTP/1.1\r\nHost: a\r\n{cookie}\r\n{announced}\r\n\r\n");
            let head = raw::first_head(app.addresses.gateway, request.as_bytes()).await;
            assert_eq!(raw::status(&head), status, "{announced}: {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_change_nothing() {
    let (app, cookie) = given().await;
    let (issued, refused) = plain(&app, &cookie).await;
    let hops = format!("X-Forwarded-For: {}", vec!["127.0.0.1"; 2_000].join(", "));
    let lines = [
        "Authorization: Bearer EVIL",
        "Authorization: Basic YWRtaW46YWRtaW4=",
        "Range: bytes=0-0",
        "If-None-Match: *",
        "If-Match: \"never\"",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "Expect: 100-continue",
        "Expect: something-else",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "X-Forwarded-For: 127.0.0.1",
        hops.as_str(),
        "X-Forwarded-For: 127.0.0.1%lo0, [::1]:80, 0177.0.0.1, evil",
        "X_Forwarded_For: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=evil.example;proto=https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Uri: /exchange/closed",
        "X-Forwarded-Method: DELETE",
        "X-Forwarded-Prefix: /evil",
        "X-Original-URI: /public",
        "X-Original-URL: /exchange/closed",
        "X-Original-Method: GET",
        "X-Rewrite-URL: /exchange/closed",
        "X-HTTP-Method-Override: DELETE",
        "X-Auth-Request-User: admin",
        "X-Forwarded-User: admin",
        "X-Internal-Token: EVIL",
        "X-Upstream-Cookie: a=EVIL",
        "User-Agent: GoogleHC/1.0",
        "User-Agent: kube-probe/1.29",
        "User-Agent: ELB-HealthChecker/2.0",
        "Accept: text/html",
        "Accept-Encoding: gzip, br",
        "Sec-Fetch-Mode: navigate",
        "Content-Type: application/x-www-form-urlencoded",
        "Connection: X-Original-URI, Authorization, Cookie",
    ];
    for line in lines {
        for (lines, expected) in
            [(vec![cookie.as_bytes(), line.as_bytes()], &issued), (vec![line.as_bytes()], &refused)]
        {
            let answer = raw::ask(app.addresses.gateway, "GET", "/exchange/orders", &lines).await;
            assert_eq!(&without_token(answer), expected, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audience_is_the_last_segment_as_it_is_written() {
    let (app, cookie) = given().await;
    let long = format!("/exchange/{}", "a".repeat(4_096));
    let cases = [
        ("/exchange/orders?aud=closed&audience=legacy", 200),
        ("/exchange/orders?", 200),
        ("/exchange/orders#closed", 200),
        ("http://evil.example/exchange/orders", 200),
        (long.as_str(), 403),
        ("/exchange/Orders", 403),
        ("/exchange/orders;x=1", 403),
        ("/exchange/orders,legacy", 403),
        ("/exchange/*", 403),
        ("/exchange/..", 403),
        ("/exchange/.", 403),
        ("/exchange/%2e%2e", 403),
        ("/exchange/%6frders", 403),
        ("/exchange/orders%00", 403),
        ("/exchange/orders%2f", 403),
        ("/exchange/x%2forders", 403),
        ("/exchange/..%2forders", 403),
        ("/exchange/orders%20", 403),
        ("/exchange/%c0%ae", 403),
        ("/exchange/%zz", 403),
        ("/exchange/%d0%berders", 403),
        ("/exchange/", 404),
        ("/exchange/orders/", 404),
        ("/exchange/orders/../closed", 404),
        ("/exchange/../exchange/orders", 404),
        ("/exchange/./orders", 404),
        ("/exchange//orders", 404),
        ("//exchange/orders", 404),
        ("/Exchange/orders", 404),
        ("/exchange;x/orders", 404),
        ("/x/exchange/orders", 404),
        ("/exchangeorders", 404),
        ("/exchange/orders/x", 404),
        ("/exchange%2forders", 404),
        ("/exchange%2Forders", 404),
    ];
    for (target, status) in cases {
        let answer = raw::ask(app.addresses.gateway, "GET", target, &[cookie.as_bytes()]).await;
        assert_eq!(answer.status, status, "{target}");
        match answer.header("authorization") {
            Some(token) => assert_eq!(payload(token)["aud"], "orders", "{target}"),
            None => assert_ne!(status, 200, "{target}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_no_path_gets_no_token() {
    let (app, cookie) = given().await;
    for target in ["/exchange/orders\\x", "/exchange\\orders", "/exchange/órders", "exchange/orders", "*"] {
        let request = raw::request("GET", target, &[cookie.as_bytes()], b"");
        let answer = raw::send(app.addresses.gateway, &request).await;
        assert!([400, 403, 404].contains(&raw::status(&answer)), "{target}: {answer}");
        assert!(!answer.contains("Bearer"), "{target}: {answer}");
    }
}

async fn given() -> (TestApp, String) {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    (app, format!("Cookie: {}; theme=dark", session.cookie()))
}

/// What a plain GET is answered with and without the session.
async fn plain(app: &TestApp, cookie: &str) -> (Answer, Answer) {
    let ask = |lines| raw::ask(app.addresses.gateway, "GET", "/exchange/orders", lines);
    let (issued, refused) = (ask(&[cookie.as_bytes()]).await, ask(&[]).await);
    assert_eq!((issued.status, refused.status), (200, 401));
    (without_token(issued), refused)
}

/// The answer with what differs between two tokens of one session taken out of its token.
fn without_token(mut answer: Answer) -> Answer {
    for line in &mut answer.lines {
        if let Some(token) = line.strip_prefix("authorization: Bearer ") {
            let mut claims = payload(token);
            claims.as_object_mut().unwrap().remove("jti").expect("a token id");
            *line = format!("authorization: {claims}");
        }
    }
    answer
}
