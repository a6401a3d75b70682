//! What a `Cookie` header may look like: the one exact reading of it, and what goes on upstream.

use reqwest::StatusCode;

use crate::support::{
    app::{COOKIE, Started, TestApp, payload, sample},
    raw::{self, Answer},
};

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Header lines, each with what it tries.
type Cases = Vec<(&'static str, Vec<Vec<u8>>)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_cookie_is_refused_without_asking_the_database() {
    let app = TestApp::spawn_with("http.max_head = '64KiB'").await;
    let session = app.given_session("alice").await;
    let jwt = app.access_token("orders", &session).await;
    let queries = lookups(&app).await;

    let no_cookie = exchange(&app, &[]).await;
    assert_eq!(no_cookie.status, 401);
    for (what, lines) in malformed_values(&session, &jwt, &app).into_iter().chain(other_places(&session)) {
        assert_eq!(exchange(&app, &lines).await, no_cookie, "{what}");
    }
    for target in
        [format!("/exchange/orders?{}", session.cookie()), format!("/exchange/orders?token={}", session.token)]
    {
        assert_eq!(raw::ask(app.addresses.gateway, "GET", &target, &[]).await, no_cookie, "in the query");
    }
    let in_the_path = raw::ask(app.addresses.gateway, "GET", &format!("/exchange/{}", session.token), &[]).await;
    assert_eq!(in_the_path, no_cookie, "in the path");
    let length = format!("Content-Length: {}", session.cookie().len());
    let form = b"Content-Type: application/x-www-form-urlencoded".as_slice();
    let body = raw::request("POST", "/exchange/orders", &[length.as_bytes(), form], session.cookie().as_bytes());
    let in_the_body = Answer::parse(&raw::send(app.addresses.gateway, &body).await);
    assert_eq!(in_the_body, no_cookie, "in the body");

    assert!((lookups(&app).await - queries).abs() < f64::EPSILON, "the database was asked");
    assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::OK);
    assert!(lookups(&app).await > queries, "the metric that this test looks at does not move");
}

/// Values under the right name that are no token.
fn malformed_values(session: &Started, jwt: &str, app: &TestApp) -> Cases {
    let token = session.token.as_str();
    let body = token.strip_prefix("ems_").unwrap();
    let short = &token[..token.len() - 1];
    let stray = |bits: usize| {
        let position = ALPHABET.find(&token[token.len() - 1..]).unwrap();
        format!("{short}{}", &ALPHABET[position + bits..=position + bits])
    };
    let replaced = |other: &str| format!("{}{other}{}", &token[..20], &token[21..]);
    let value = |what, value: String| (what, vec![format!("Cookie: {COOKIE}={value}").into_bytes()]);
    vec![
        value("empty", String::new()),
        value("one character short", short.to_owned()),
        value("one character long", format!("{token}A")),
        value("a prefix of something else", format!("emc_{body}")),
        value("a prefix in capitals", format!("EMS_{body}")),
        value("no prefix", body.to_owned()),
        value("standard alphabet, plus", replaced("+")),
        value("standard alphabet, slash", replaced("/")),
        value("padding in the middle", replaced("=")),
        value("padding at the end", format!("{token}=")),
        value("a space in the middle", replaced(" ")),
        value("a tab in the middle", replaced("\t")),
        value("a letter that is not ASCII", replaced("é")),
        value("a second spelling of the same bits", stray(1)),
        value("another spelling of the same bits", stray(3)),
        value("capitals", token.to_uppercase()),
        value("quotes", format!("\"{token}\"")),
        value("an escaped zero byte", format!("{token}%00")),
        value("an escaped line end", format!("{token}%0d%0a")),
        value("an escaped letter", format!("%65{}", &token[1..])),
        value("a tab and more", format!("{token}\tx")),
        value("60 kilobytes", "A".repeat(60_000)),
        value("a token and 60 kilobytes", format!("{token}{}", "A".repeat(60_000))),
        value("one of our access tokens", jwt.to_owned()),
        value("the session's id", session.id.clone()),
        value("the session's form token", app.state.sessions.csrf_token(session.id.parse().unwrap())),
        value("a client's secret", app.secret.clone()),
    ]
}

/// A right token in the wrong place.
fn other_places(session: &Started) -> Cases {
    let token = session.token.as_str();
    let line = |what, line: String| (what, vec![line.into_bytes()]);
    vec![
        line("a name in capitals", format!("Cookie: __HOST-session={token}")),
        line("a name in small letters", format!("Cookie: __host-session={token}")),
        line("an escaped name", format!("Cookie: __%48ost-session={token}")),
        line("a name behind a Unicode space", format!("Cookie: \u{2000}{COOKIE}={token}")),
        line("a quoted name", format!("Cookie: \"{COOKIE}\"={token}")),
        line("no name", format!("Cookie: ={COOKIE}={token}")),
        line("no value", format!("Cookie: {COOKIE}")),
        line("behind a comma", format!("Cookie: $Version=1,{COOKIE}={token}")),
        line("behind a colon", format!("Cookie: {COOKIE}:{token}")),
        line("another cookie's name", format!("Cookie: session={token}")),
        line("another header's name", format!("Coo_kie: {COOKIE}={token}")),
        line("the obsolete header", format!("Cookie2: {COOKIE}={token}")),
        line("a bearer token", format!("Authorization: Bearer {token}")),
        line("a password", format!("Authorization: Basic {token}")),
        line("a forwarded cookie", format!("X-Forwarded-Cookie: {COOKIE}={token}")),
        line("an upstream cookie", format!("X-Upstream-Cookie: {COOKIE}={token}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_other_letters_is_another_token() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let body = session.token.strip_prefix("ems_").unwrap();
    let no_cookie = exchange(&app, &[]).await;

    for other in [body.to_uppercase(), body.to_lowercase()] {
        assert_eq!(exchange(&app, &[format!("Cookie: {COOKIE}=ems_{other}").into_bytes()]).await, no_cookie, "{other}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicting_cookies_are_refused_without_asking_the_database() {
    let app = TestApp::spawn().await;
    let (session, other) = (app.given_session("alice").await.cookie(), app.given_session("bob").await.cookie());
    let (no_cookie, queries) = (exchange(&app, &[]).await, lookups(&app).await);
    let evil = format!("{COOKIE}=EVIL");
    let cases: [Vec<String>; 9] = [
        vec![format!("{session}; {other}")],
        vec![format!("{other}; {session}")],
        vec![session.clone(), other.clone()],
        vec![other.clone(), session.clone()],
        vec![format!("{session}; {evil}")],
        vec![format!("{evil}; {session}")],
        vec![format!("{session}; {COOKIE}=")],
        vec![format!("{session}; {session}; a=1"), evil.clone()],
        vec![format!("a=\"x; {evil}; y\"; {session}")],
    ];

    for cookies in &cases {
        let lines: Vec<_> = cookies.iter().map(|cookie| format!("Cookie: {cookie}").into_bytes()).collect();
        assert_eq!(exchange(&app, &lines).await, no_cookie, "{cookies:?}");
    }

    let label = "outcome=\"conflicting_session_tokens\"";
    let count = sample(&app.metrics().await, "ephemint_exchanges_total", &[label]);
    assert!((count - 9.0).abs() < f64::EPSILON, "{count}");
    assert!((lookups(&app).await - queries).abs() < f64::EPSILON, "the database was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_found_among_shadows_and_only_the_other_cookies_go_upstream() {
    let app = TestApp::spawn().await;
    let (session, evil) = (app.given_session("alice").await, app.given_session("mallory").await.token);
    let cookie = session.cookie();
    let spaces = ["\u{2000}", "\u{a0}", "\u{85}", "\u{1680}", "\u{3000}", "\u{feff}"];
    let many: Vec<String> = (0..199).map(|number| format!("cookie{number}={number}")).collect();
    let many = many.join("; ");
    let mut cases: Vec<(Vec<Vec<u8>>, Vec<u8>)> = vec![
        (vec![cookie.clone().into()], b"".into()),
        (vec![format!("a=1; {cookie}; b=\"x y\"").into()], b"a=1; b=\"x y\"".into()),
        (vec![format!("a=1;{cookie};;  b=2 ;").into()], b"a=1; b=2".into()),
        (vec![format!("a=1; {cookie}").into(), b"b=2".into()], b"a=1; b=2".into()),
        (vec![format!("\t{COOKIE} \t=\t {} \t; a=1", session.token).into()], b"a=1".into()),
        (vec![format!("{cookie}; {cookie}").into(), cookie.clone().into()], b"".into()),
        (vec![format!("$Version=1; {cookie}; $Path=/").into()], b"$Version=1; $Path=/".into()),
        (vec![format!("__%48ost-session={evil}; {cookie}").into()], b"".into()),
        (vec![format!("{cookie}; __HOST-SESSION={evil}; a=%41").into()], b"a=%41".into()),
        (vec![format!("{cookie}; {COOKIE}2=x; x{COOKIE}=y").into()], format!("{COOKIE}2=x; x{COOKIE}=y").into()),
        (vec![[b"junk=\xff\xfe; ", cookie.as_bytes()].concat()], b"junk=\xff\xfe".into()),
        (vec![format!("{many}; {cookie}").into()], many.clone().into()),
        (vec![format!("theme; {cookie}; =nameless").into()], b"theme; =nameless".into()),
    ];
    cases.extend(spaces.map(|space| (vec![format!("{space}{COOKIE}={evil}; {cookie}").into()], b"".into())));

    for (lines, upstream) in cases {
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|line| [b"Cookie: ", line.as_slice()].concat()).collect();
        let answer = exchange(&app, &lines).await;
        let shown: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(answer.status, 200, "{shown:?}");
        let token = answer.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
        assert_eq!(payload(token)["sub"], "alice", "{shown:?}");
        assert_eq!(answer.header("x-upstream-cookie"), Some(&*String::from_utf8_lossy(&upstream)), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_or_too_large_never_reaches_the_exchange() {
    let app = TestApp::spawn_with("http.max_head = '8KiB'").await;
    let cookie = app.given_session("alice").await.cookie();
    let cases: [(&str, Vec<u8>, u16); 3] = [
        ("a raw zero byte", format!("Cookie: {cookie}\0").into(), 400),
        ("a jar that is too large", format!("Cookie: {cookie}; jar={}", "j".repeat(8_192)).into(), 431),
        ("a folded line", format!("Cookie: a=1;\r\n {cookie}").into(), 400),
    ];

    for (what, line, status) in cases {
        let answer = exchange(&app, &[line]).await;
        assert_eq!((answer.status, answer.header("authorization")), (status, None), "{what}");
    }
    assert_eq!(app.exchange(&cookie).await.status(), StatusCode::OK);
}

async fn exchange(app: &TestApp, lines: &[Vec<u8>]) -> Answer {
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    raw::ask(app.addresses.gateway, "GET", "/exchange/orders", &lines).await
}

/// How often the database was asked for a session.
async fn lookups(app: &TestApp) -> f64 {
    let query = "query=\"session/read_for_exchange\"";
    sample(&app.metrics().await, "ephemint_database_queries_total", &[query])
}
