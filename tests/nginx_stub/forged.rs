//! What a client claims about itself, and what is left of that behind the gateway.

use crate::{
    stage::{Stage, TOKEN, allow, no_session},
    stub::Request,
};

/// Headers that describe the request or its client; whoever is behind the gateway must not believe the client's.
const DESCRIBING: [&str; 20] = [
    "Authorization: Bearer EVIL",
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: EVIL",
    "X-Forwarded-Proto: EVIL",
    "X-Forwarded-Method: EVIL",
    "X-Forwarded-Uri: /EVIL",
    "X-Forwarded-Port: EVIL",
    "X-Forwarded-Prefix: /EVIL",
    "X-Original-Method: EVIL",
    "X-Original-URI: /EVIL",
    "X-Original-URL: /EVIL",
    "X-Rewrite-URL: /EVIL",
    "Forwarded: for=6.6.6.6;host=EVIL",
    "X-Request-Id: EVIL-EVIL",
    "X_Forwarded_For: 6.6.6.6",
    "X_Original_URI: /EVIL",
    "Upgrade: EVIL",
    "TE: EVIL",
    "Keep-Alive: EVIL",
    "Connection: X-Original-URI, Authorization, Cookie, EVIL",
];

/// Headers that name somebody. Ephemint itself reads none of them, so only the application needs to be guarded.
const NAMING: [&str; 12] = [
    "X-Upstream-Cookie: EVIL=1",
    "Txn-Token: EVIL",
    "X-Forwarded-Server: EVIL",
    "X-Forwarded-User: EVIL",
    "X-Forwarded-Email: EVIL",
    "X-Forwarded-Groups: EVIL",
    "X-Forwarded-Preferred-Username: EVIL",
    "X-Forwarded-Access-Token: EVIL",
    "X-Original-Host: EVIL",
    "X-Real-IP: 6.6.6.6",
    "Remote-User: EVIL",
    "X-Remote-User: EVIL",
];

fn assert_clean(request: &Request) {
    for (name, value) in &request.headers {
        assert!(!value.contains("EVIL") && !value.contains("6.6.6.6"), "{name}: {value}");
    }
}

#[test]
fn nothing_forged_reaches_the_application() {
    let stage = Stage::start(|_| allow("a=b"));
    assert_eq!(stage.send("GET /api/", &[&DESCRIBING[..], &NAMING[..]].concat(), "").status, 200);
    let request = stage.application.seen_once();
    assert_clean(&request);
    assert_eq!(request.header("authorization"), Some(TOKEN));
    assert_eq!(request.header("cookie"), Some("a=b"));
    assert_eq!(request.header("x-upstream-cookie"), None);
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-host"), Some("app.test"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
}

#[test]
fn nothing_forged_about_the_request_reaches_the_exchange() {
    let stage = Stage::start(|_| no_session());
    stage.send("DELETE /api/orders/7?secret=1", &[&DESCRIBING[..], &["Referer: http://app.test/?EVIL"]].concat(), "");
    let asked = stage.exchange.seen_once();
    assert_clean(&asked);
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.header("x-forwarded-method"), Some("DELETE"));
    assert_eq!(asked.header("x-forwarded-host"), Some("app.test"));
    assert_eq!(asked.header("x-forwarded-uri"), None);
    assert!(!format!("{asked:?}").contains("secret"), "{asked:?}");
}

#[test]
fn nothing_forged_about_the_request_reaches_the_public_listener() {
    let stage = Stage::start(|_| no_session());
    let lines = [&DESCRIBING[..], &["Cookie: __Host-session=secret; a=b"]].concat();
    assert_eq!(stage.send("GET /session", &lines, "").status, 200);
    let request = stage.public.seen_once();
    assert_clean(&request);
    assert_eq!(request.header("cookie"), Some("__Host-session=secret; a=b"));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!((request.header("authorization"), request.header("upgrade")), (None, None));
    assert_eq!(request.header("host"), Some("app.test"));
    assert!(stage.exchange.seen().is_empty());
}

#[test]
fn a_forged_token_without_a_session_is_a_401() {
    let stage = Stage::start(|_| no_session());
    stage.send("GET /api/", &["Authorization: Bearer EVIL"], "").assert_problem(401, "no-session");
    assert!(stage.application.seen().is_empty());
}

#[test]
fn only_a_session_credential_is_shown_to_the_exchange_and_never_to_the_application() {
    let stage = Stage::start(|_| allow(""));
    for (line, shown) in [
        ("Session ems_secret", Some("Session ems_secret")),
        ("session ems_secret", Some("session ems_secret")),
        ("Sessions ems_secret", None),
        ("Basic c2Vzc2lvbjo=", None),
        ("Bearer Session x", None),
    ] {
        stage.send("GET /api/", &[&format!("Authorization: {line}")], "");
        assert_eq!(stage.exchange.seen().pop().unwrap().header("authorization"), shown, "{line}");
        assert_eq!(stage.application.seen().pop().unwrap().header("authorization"), Some(TOKEN));
    }
}

#[test]
fn only_a_session_credential_is_shown_to_the_public_listener() {
    let stage = Stage::start(|_| no_session());
    for (line, shown) in [
        ("Session ems_secret", Some("Session ems_secret")),
        ("SESSION ems_secret", Some("SESSION ems_secret")),
        ("Session ems_secret, Bearer EVIL", None),
        ("Session", None),
        ("Bearer EVIL", None),
        ("Basic c2Vzc2lvbjo=", None),
    ] {
        stage.send("GET /session", &[&format!("Authorization: {line}")], "");
        assert_eq!(stage.public.seen().pop().unwrap().header("authorization"), shown, "{line}");
    }
}

#[test]
fn no_protocol_but_websocket_can_be_switched_to() {
    let stage = Stage::start(|_| allow(""));
    for protocol in ["h2c", "websocket, h2c", "TLS/1.0", "xwebsocket"] {
        let upgrade = format!("Upgrade: {protocol}");
        let lines = [upgrade.as_str(), "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"];
        assert_eq!(stage.send("GET /api/", &lines, "").status, 200);
        let request = stage.application.seen().pop().unwrap();
        assert_eq!((request.header("upgrade"), request.header("connection")), (None, None), "{protocol}");
    }
}

#[test]
fn logs_keep_no_query_cookie_or_credential() {
    let stage = Stage::start(|request| match request.header("cookie") {
        Some(cookies) if cookies.contains("fail=1") => crate::stub::Reply::Close,
        _ => allow("other=SECRET"),
    });
    let lines = ["Cookie: __Host-session=SECRET", "Authorization: Session SECRET", "Referer: http://app.test/?SECRET"];
    stage.send("GET /api/a?SECRET=SECRET", &lines, "");
    stage.send("GET /login?SECRET", &lines, "");
    stage.send("GET /api/b?SECRET", &["Cookie: __Host-session=SECRET; fail=1", lines[1], lines[2]], "");
    let log = stage.log("access.log", 3);
    for path in ["/api/a", "/login", "/api/b"] {
        assert!(log.contains(&format!("\"path\":\"{path}\"")), "{log}");
    }
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(entry["status"].is_number() && entry["seconds"].is_number(), "{line}");
    }
    assert!(log.contains("\"status\":503") && log.contains("\"exchange_status\":\"502"), "{log}");
    let all = [log, stage.log("error.log", 0), std::fs::read_to_string(stage.gateway.log()).unwrap()].concat();
    assert!(!all.contains("SECRET") && !all.contains(TOKEN), "{all}");
}
