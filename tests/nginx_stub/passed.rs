//! What reaches the application and the exchange when a session is live.

use crate::{
    stage::{Scenery, Stage, TOKEN, allow, no_session},
    stub::{Reply, answer},
};

#[test]
fn the_application_receives_the_token_and_the_other_cookies() {
    let stage = Stage::start(|_| allow("theme=dark; a=b"));
    let cookies = "Cookie: theme=dark; __Host-session=secret; a=b";
    let response = stage.send("GET /api/orders?page=2", &[cookies, "Accept: text/plain", "X-Own: kept"], "");
    assert_eq!((response.status, response.body.as_str()), (200, "from the application"));
    assert_eq!(response.all("authorization"), [""; 0]);

    let asked = stage.exchange.seen_once();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/exchange/orders"));
    assert_eq!(asked.header("cookie"), Some("theme=dark; __Host-session=secret; a=b"));

    let request = stage.application.seen_once();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/api/orders?page=2"));
    assert_eq!(request.header("authorization"), Some(TOKEN));
    assert_eq!(request.header("cookie"), Some("theme=dark; a=b"));
    assert_eq!(request.header("host"), Some("app.test"));
    assert_eq!(request.header("accept"), Some("text/plain"));
    assert_eq!(request.header("x-own"), Some("kept"));
}

#[test]
fn no_cookie_line_is_sent_when_no_cookie_is_left() {
    let stage = Stage::start(|_| allow(""));
    stage.send("GET /api/", &["Cookie: __Host-session=secret"], "");
    assert_eq!(stage.application.seen_once().header("cookie"), None);
}

#[test]
fn a_body_goes_to_the_application_alone_and_the_exchange_does_not_wait_for_it() {
    let stage = Stage::start(|_| allow(""));
    let large = "x".repeat(200_000);
    let response = stage.send("POST /api/orders", &["Content-Length: 200000"], &large);
    assert_eq!(response.status, 200);
    let response = stage.send("PUT /api/orders", &["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(response.status, 200);

    let [first, second] = stage.application.seen().try_into().unwrap();
    assert_eq!((first.method.as_str(), first.body.len()), ("POST", 200_000));
    assert_eq!((second.method.as_str(), second.body.as_slice()), ("PUT", b"hello".as_slice()));
    for (asked, method) in stage.exchange.seen().iter().zip(["POST", "PUT"]) {
        assert_eq!((asked.method.as_str(), asked.header("x-forwarded-method")), ("GET", Some(method)));
        assert_eq!((asked.header("content-length"), asked.header("transfer-encoding")), (None, None));
    }
}

#[test]
fn a_refused_upload_is_not_sent_on() {
    let stage = Stage::start(|_| no_session());
    stage.send("POST /api/orders", &["Content-Length: 5"], "hello").assert_problem(401, "no-session");
    assert!(stage.application.seen().is_empty());
}

#[test]
fn one_request_id_names_the_request_everywhere_and_traces_go_on() {
    let stage = Stage::start(|_| allow(""));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    stage.send("GET /api/", &["X-Request-Id: chosen-by-client", &format!("traceparent: {trace}")], "");
    let (asked, request) = (stage.exchange.seen_once(), stage.application.seen_once());
    let id = asked.header("x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(request.header("x-request-id"), Some(id));
    assert_eq!((asked.header("traceparent"), request.header("traceparent")), (Some(trace), Some(trace)));
    assert!(stage.log("access.log", 1).contains(id));
}

#[test]
fn connections_to_exchange_and_application_are_used_again() {
    let stage = Stage::start(|request| match request.header("cookie") {
        Some("test=401") => no_session(),
        Some("test=403") => answer(403, &[], ""),
        _ => allow(""),
    });
    let mut client = stage.connect();
    for round in 0..30 {
        let refused = ["Cookie: test=401", "Cookie: test=403", "Cookie: test=200"][round % 3];
        client.send("POST /api/", &[refused, "Content-Length: 2"], "{}");
        assert_eq!(client.send("GET /login", &[], "").status, 200);
    }
    for (name, stub, requests) in
        [("exchange", &stage.exchange, 30), ("application", &stage.application, 10), ("public", &stage.public, 30)]
    {
        let seen = stub.seen();
        assert_eq!(seen.len(), requests, "{name}");
        assert!(seen.iter().all(|request| request.connection == 0), "{name} was connected to again");
        assert!(seen.iter().all(|request| request.header("connection").is_none()), "{name} was told to close");
    }
}

#[test]
fn tokens_and_cookies_up_to_nginxs_own_limits_pass() {
    let stage = Stage::start(|request| {
        let cookies = request.header("cookie").unwrap_or_default();
        let token = format!("Bearer {}", "t".repeat(3_000));
        answer(200, &[("Authorization", &token), ("X-Upstream-Cookie", cookies)], "")
    });
    for length in [3_000, 6_000, 8_000, 8_180] {
        let cookie = format!("Cookie: {}", "c".repeat(length));
        assert_eq!(stage.send("GET /api/", &[&cookie], "").status, 200, "{length}");
        let request = stage.application.seen().pop().unwrap();
        assert_eq!(request.header("cookie").map(str::len), Some(length));
        assert_eq!(request.header("authorization").map(str::len), Some(3_007));
    }
    // A longer line is nginx's to refuse.
    assert_eq!(stage.send("GET /api/", &[&format!("Cookie: {}", "c".repeat(8_300))], "").status, 400);
}

#[test]
fn no_head_that_nginx_takes_is_too_large_for_ephemint() {
    let stage = Stage::start(|request| {
        let lines = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let cookies: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
        answer(200, &[("Authorization", TOKEN), ("X-Upstream-Cookie", &cookies.join("; "))], "")
    });
    let line = |length: usize| format!("Cookie: {}", "c".repeat(length));
    let (long, short) = (line(8_100), line(800));
    assert_eq!(stage.send("GET /api/", &[&short, &long, &long, &long], "").status, 200);
    let asked = stage.exchange.seen_once();
    let head: usize = asked.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    assert!((24_000..32 * 1024 - 512).contains(&head), "{head}");
    assert_eq!(stage.application.seen_once().header("cookie").map(str::len), Some(3 * 8_100 + 800 + 6));
    assert_eq!(stage.send("GET /api/", &[&long, &long, &long, &long], "").status, 400);
}

#[test]
fn a_preflight_passes_with_neither_token_nor_cookies() {
    let stage = Stage::start(|_| no_session());
    let headers = ["Origin: https://other.test", "Authorization: Bearer EVIL", "Cookie: __Host-session=secret; a=b"];
    let preflight = "Access-Control-Request-Method: PUT";
    let response = stage.send("OPTIONS /api/orders", &[headers[0], headers[1], headers[2], preflight], "");
    assert_eq!((response.status, response.body.as_str()), (200, "from the application"));
    assert!(stage.exchange.seen().is_empty());
    let request = stage.application.seen_once();
    assert_eq!(request.method, "OPTIONS");
    assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));

    // What only looks like one is exchanged as everything else is.
    stage.send("OPTIONS /api/orders", &headers, "").assert_problem(401, "no-session");
    stage.send("GET /api/orders", &[preflight], "").assert_problem(401, "no-session");
    stage.send("OPTIONS /api/orders", &["Access-Control-Request-Method:"], "").assert_problem(401, "no-session");
    assert_eq!((stage.exchange.seen().len(), stage.application.seen().len()), (3, 1));
}

#[test]
fn a_websocket_is_exchanged_once_and_then_open_in_both_directions() {
    let stage = Scenery::new(|_| allow(""))
        .application(|request| {
            assert_eq!((request.header("upgrade"), request.header("connection")), (Some("websocket"), Some("upgrade")));
            let head = "HTTP/1.1 101 Stub\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
            Reply::SendThenEcho(head.as_bytes().to_vec())
        })
        .start();
    let mut client = stage.connect();
    let handshake =
        ["Upgrade: WebSocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAA", "Sec-WebSocket-Version: 13"];
    assert_eq!(client.send("GET /api/live", &handshake, "").status, 101);
    for _ in 0..3 {
        client.write(b"\x81\x05hello");
        client.expect(b"\x81\x05hello");
    }
    assert_eq!(stage.application.seen_once().header("authorization"), Some(TOKEN));
    assert_eq!(stage.exchange.seen_once().header("upgrade"), None);
}

#[test]
fn a_websocket_without_a_session_is_refused() {
    let stage = Stage::start(|_| no_session());
    stage.send("GET /api/live", &["Upgrade: websocket", "Connection: Upgrade"], "").assert_problem(401, "no-session");
    assert!(stage.application.seen().is_empty());
}
