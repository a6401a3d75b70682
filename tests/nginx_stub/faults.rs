//! What a browser is told when the exchange refuses or fails; an application is never reached then.

use crate::{
    stage::{CHALLENGE, Scenery, Stage, TOKEN, allow, no_session},
    stub::{Reply, answer},
};

#[test]
fn without_a_session_the_answer_is_a_problem_with_one_challenge() {
    let stage = Stage::start(|_| no_session());
    let response = stage.send("GET /api/orders", &["Cookie: __Host-session=old"], "");
    response.assert_problem(401, "no-session");
    assert_eq!(response.all("www-authenticate"), [CHALLENGE]);
    assert_eq!(response.all("authorization"), [""; 0]);
    assert!(stage.application.seen().is_empty());
}

#[test]
fn a_refusal_by_policy_is_a_problem_and_keeps_its_challenge() {
    let stage = Stage::start(|request| match request.header("cookie") {
        Some(_) => answer(403, &[("WWW-Authenticate", "Session error=\"insufficient_user_authentication\"")], ""),
        None => answer(403, &[], ""),
    });
    let response = stage.send("GET /api/orders", &["Cookie: a=b"], "");
    response.assert_problem(403, "forbidden");
    assert_eq!(response.all("www-authenticate"), ["Session error=\"insufficient_user_authentication\""]);
    let response = stage.get("/api/orders");
    response.assert_problem(403, "forbidden");
    assert_eq!(response.all("www-authenticate"), [""; 0]);
    assert!(stage.application.seen().is_empty());
}

#[test]
fn whatever_else_the_exchange_answers_is_a_503_with_retry_after() {
    let stage = Stage::start(|request| {
        let status = request.header("x-test-status").unwrap().parse().unwrap();
        answer(status, &[("Location", "/login"), ("Authorization", TOKEN), ("Set-Cookie", "a=b")], "")
    });
    for status in [302, 303, 400, 404, 429, 500, 502, 503] {
        let response = stage.send("GET /api/orders", &[&format!("X-Test-Status: {status}")], "");
        response.assert_problem(503, "unavailable");
        assert_eq!(response.all("retry-after"), ["1"], "{status}");
        for leaked in ["location", "authorization", "set-cookie"] {
            assert_eq!(response.all(leaked), [""; 0], "{status}");
        }
    }
    assert!(stage.application.seen().is_empty());
}

#[test]
fn an_exchange_that_drops_the_connection_is_a_503() {
    let stage = Stage::start(|_| Reply::Close);
    let response = stage.get("/api/orders");
    response.assert_problem(503, "unavailable");
    assert_eq!(response.all("retry-after"), ["1"]);
    assert!(stage.application.seen().is_empty());
}

#[test]
fn an_exchange_that_says_nothing_is_a_503_long_before_a_person_gives_up() {
    let stage = Stage::start(|_| Reply::Silence);
    stage.get("/api/orders").assert_problem(503, "unavailable");
    assert!(stage.application.seen().is_empty());
}

#[test]
fn an_exchange_that_is_down_is_a_503() {
    let stage = Scenery::new(|_| Reply::Close).edit(without_listeners).start();
    stage.get("/api/orders").assert_problem(503, "unavailable");
    let pages = stage.get("/login");
    assert_eq!(pages.status, 503);
    pages.assert_problem(503, "unavailable");
    assert!(stage.application.seen().is_empty() && stage.public.seen().is_empty());
}

/// Nobody listens on the reserved port 1.
fn without_listeners(config: &str) -> String {
    ["ephemint_public", "ephemint_gateway"].iter().fold(config.to_owned(), |config, name| {
        let upstream = config.find(&format!("upstream {name} {{")).unwrap();
        let start = upstream + config[upstream..].find("server ").unwrap();
        let end = start + config[start..].find(';').unwrap();
        format!("{}server 127.0.0.1:1{}", &config[..start], &config[end..])
    })
}

#[test]
fn a_success_without_a_token_gives_the_application_no_token_at_all() {
    let stage = Stage::start(|request| match request.header("x-test") {
        Some("204") => Reply::Send(b"HTTP/1.1 204 Stub\r\n\r\n".to_vec()),
        Some("empty") => answer(200, &[("Authorization", ""), ("X-Upstream-Cookie", "")], ""),
        _ => answer(200, &[], ""),
    });
    let forged = ["Authorization: Bearer EVIL", "Cookie: __Host-session=secret"];
    for case in ["204", "empty", "absent"] {
        let response = stage.send("GET /api/", &[forged[0], forged[1], &format!("X-Test: {case}")], "");
        assert_eq!(response.status, 200);
    }
    for request in stage.application.seen() {
        assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
    }
}

#[test]
fn what_the_application_answers_is_left_alone() {
    let stage = Scenery::new(|_| allow(""))
        .application(|request| {
            let status = request.target.rsplit('/').next().unwrap().parse().unwrap();
            answer(status, &[("X-Own", "yes"), ("WWW-Authenticate", "Own")], "the application's own words")
        })
        .start();
    for status in [400, 401, 403, 404, 500, 502, 503] {
        let response = stage.get(&format!("/api/{status}"));
        assert_eq!((response.status, response.body.as_str()), (status, "the application's own words"));
        assert_eq!(response.all("x-own"), ["yes"]);
        assert_eq!(response.all("www-authenticate"), ["Own"]);
    }
}

#[test]
fn an_application_cannot_send_anybody_to_the_exchange() {
    let stage = Scenery::new(|_| allow(""))
        .application(|_| answer(200, &[("X-Accel-Redirect", "/_exchange")], "from the application"))
        .start();
    let response = stage.get("/api/");
    assert_eq!(response.body, "from the application");
    assert_eq!(response.all("authorization"), [""; 0]);
    assert_eq!(stage.exchange.seen().len(), 1);
}
