//! Heads that are too large or ambiguous: answered at once, closed where the next byte's meaning is in doubt.

use reqwest::StatusCode;

use super::listeners;
use crate::support::{
    answer::{problem, raw_problem, says_nothing_internal, single},
    app::TestApp,
    wire::Connection,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_over_the_limit_is_431() {
    let app = TestApp::spawn_with("http.max_head = '8KiB'").await;
    for (name, address) in listeners(&app) {
        let get = |path: &str| app.http.get(format!("http://{address}{path}"));
        let long = "x".repeat(8_192);
        let cookie = format!("a={long}");
        let mut many = get("/none");
        for number in 0..90 {
            many = many.header(format!("x-{number}"), "x".repeat(100));
        }
        for request in [
            get("/none").header("x-big", &long),
            get("/none").header("cookie", &cookie),
            get(&format!("/none?{long}")),
            get(&format!("/{long}")),
            many,
        ] {
            problem(request.send().await.unwrap(), 431, "head-too-large").await;
        }
        let fits = get("/none").header("x-big", "x".repeat(7_000)).send().await.unwrap();
        assert_eq!(fits.status(), StatusCode::NOT_FOUND, "{name}");
    }
    let bare = app.exchange(&format!("a={}", "x".repeat(8_192))).await;
    assert_eq!(bare.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the exchange has no more room than others");
    assert_eq!(single(bare.headers(), "cache-control"), "no-store");
    assert_eq!(bare.text().await.unwrap(), "", "whatever an exchange answers, its body is empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_the_parser_gives_up_on_is_refused_and_closed() {
    let app = TestApp::spawn().await;
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n", "x".repeat(140 * 1_024));
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70 * 1_024));
    for (_, address) in listeners(&app) {
        for (request, statuses) in [(&large, [431].as_slice()), (&many, &[431]), (&target, &[400, 414, 431])] {
            let mut connection = Connection::open(address).await;
            connection.send(request.as_bytes()).await;
            let answer = connection.answer(false).await.unwrap();
            assert!(statuses.contains(&answer.status), "{}: {answer:?}", &request[..40]);
            says_nothing_internal(&answer.body);
            assert!(connection.is_closed().await, "{}", &request[..40]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_head_is_400_and_what_follows_is_never_a_request() {
    let app = TestApp::spawn().await;
    let (get, post) = ("GET /exchange/orders HTTP/1.1\r\nhost: x\r\n", "POST /exchange/orders HTTP/1.1\r\nhost: x\r\n");
    let broken = [
        format!("{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        format!("{post}content-length: 1\r\ncontent-length: 1\r\n\r\na"),
        format!("{post}content-length: 1, 1\r\n\r\na"),
        format!("{post}content-length: +1\r\n\r\na"),
        format!("{post}content-length: -1\r\n\r\na"),
        format!("{post}content-length: 0x1\r\n\r\na"),
        format!("{post}content-length: 99999999999999999999\r\n\r\na"),
        format!("{post}content-length: \r\n\r\na"),
        format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: identity\r\n\r\n"),
        "POST /exchange HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{get}x-folded: a\r\n b\r\n\r\n"),
        format!("{get}x-space : a\r\n\r\n"),
        format!("{get}: a\r\n\r\n"),
        format!("{get}x-nämé: a\r\n\r\n"),
        format!("{get}x-cr: a\rb\r\n\r\n"),
        format!("{get}x-nul: a\0b\r\n\r\n"),
        format!("{get}x-del: a\x7fb\r\n\r\n"),
        "GET /exchange HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n".to_owned(),
        "GET /exchange HTTP/1.1\r\n\r\n".to_owned(),
        "GET /exchange HTTP/1.2\r\nhost: x\r\n\r\n".to_owned(),
        "GET /exchange\r\n\r\n".to_owned(),
        "GET  /exchange HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
    ];
    for (name, address) in listeners(&app) {
        for request in &broken {
            let smuggled = format!("{request}GET /livez HTTP/1.1\r\nhost: smuggled\r\n\r\n");
            let mut connection = Connection::open(address).await;
            connection.send(smuggled.as_bytes()).await;
            let answer = connection.answer(false).await.unwrap();
            assert_eq!(answer.status, 400, "{name}: {request:?}: {answer:?}");
            says_nothing_internal(&answer.body);
            assert!(connection.is_closed().await, "{name}: {request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_nobody_wants_do_not_become_requests() {
    let app = TestApp::spawn().await;
    let inner = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n";
    // Framed as a body, it is a body: of a refusal, of an exchange, of a method without one.
    for (address, start) in [
        (app.addresses.gateway, "GET /exchange/orders"),
        (app.addresses.gateway, "POST /exchange/orders"),
        (app.addresses.gateway, "DELETE /none"),
        (app.addresses.public, "POST /logout"),
        (app.addresses.public, "GET /session"),
    ] {
        for framing in ["content-length", "chunked"] {
            let (header, body) = if framing == "chunked" {
                ("transfer-encoding: chunked".to_owned(), format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()))
            } else {
                (format!("content-length: {}", inner.len()), inner.to_owned())
            };
            let request = format!("{start} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n{body}");
            let mut connection = Connection::open(address).await;
            connection.send(request.as_bytes()).await;
            let first = connection.answer(false).await.unwrap();
            assert!([204, 401, 404].contains(&first.status), "{start} {framing}: {first:?}");
            connection.send(b"GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
            // Either the connection is done, or the next answer is to the next request.
            if let Some(next) = connection.answer(false).await {
                raw_problem(&next, 404, "not-found");
            }
        }
    }
    // Nothing announced, so what follows is a request of its own, with its own cookies: none.
    let session = app.given_session("alice").await;
    let pipelined = format!(
        "GET /exchange/orders HTTP/1.1\r\nhost: x\r\ncookie: {}\r\ncontent-length: 0\r\n\r\n\
         GET /exchange/orders HTTP/1.1\r\nhost: x\r\n\r\n",
        session.cookie()
    );
    let mut connection = Connection::open(app.addresses.gateway).await;
    connection.send(pipelined.as_bytes()).await;
    assert_eq!(connection.answer(false).await.unwrap().status, 200);
    assert_eq!(connection.answer(false).await.unwrap().status, 401);
}
