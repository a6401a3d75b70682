//! nginx with a memory of its own: what it may answer from there, and what it must ask about each time.

use std::{
    collections::HashSet,
    fmt::Write as _,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use ephemint::clock::{Clock as _, SystemClock};

use crate::{
    stage::{Scenery, Stage, TOKEN, no_session},
    stub::{Reply, Request, answer},
};

const KEPT: &str = "private, max-age=2";

/// A token that names all that the exchange was told of the request.
fn token_of(request: &Request) -> String {
    let mut told = String::new();
    for name in ["Cookie", "Authorization", "X-Forwarded-Method", "Sec-Fetch-Site", "Origin"] {
        let _ = write!(told, "{name}={:?} ", request.header(name));
    }
    format!("Bearer {}", told.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn live(request: &Request, cache_control: &str) -> Reply {
    let token = token_of(request);
    let cookies = request.header("Cookie").unwrap_or_default();
    let headers = [("Authorization", token.as_str()), ("X-Upstream-Cookie", cookies), ("Cache-Control", cache_control)];
    answer(200, &headers, "")
}

fn stage() -> Stage {
    Scenery::new(|request| live(request, KEPT)).keeping_answers().start()
}

/// What the application received with its last request: a token and cookies.
fn passed_on(stage: &Stage) -> (String, Option<String>) {
    let seen = stage.application.seen();
    let last = seen.last().unwrap();
    (last.header("Authorization").unwrap().to_owned(), last.header("Cookie").map(str::to_owned))
}

#[test]
fn a_repeated_read_is_answered_from_memory_with_the_same_token() {
    let stage = stage();
    for _ in 0..5 {
        assert_eq!(stage.send("GET /api/a", &["Cookie: a=1; s=T"], "").status, 200);
    }
    let first = stage.exchange.seen_once();
    for received in stage.application.seen() {
        assert_eq!(received.header("Authorization"), Some(token_of(&first).as_str()));
        assert_eq!(received.header("Cookie"), Some("a=1; s=T"));
    }
}

#[test]
fn requests_that_differ_in_anything_that_could_decide_never_share_an_answer() {
    let stage = stage();
    let requests: [(&str, &[&str]); 24] = [
        ("GET", &["Cookie: s=T"]),
        ("GET", &["Cookie: s=U"]),
        ("GET", &["Cookie: s=t"]),
        ("GET", &["Cookie: S=T"]),
        ("GET", &["Cookie: s=%54"]),
        ("GET", &["Cookie: %73=T"]),
        ("GET", &["Cookie: s=\"T\""]),
        ("GET", &["Cookie: s=T;"]),
        ("GET", &["Cookie: s=T; s=T"]),
        ("GET", &["Cookie: s=T; s=U"]),
        ("GET", &["Cookie: s=U; s=T"]),
        ("GET", &["Cookie: s=T;s=U"]),
        ("GET", &["Cookie: s=T\ts=U"]),
        ("GET", &["Cookie: a=1; s=T"]),
        ("GET", &["Cookie: s=T; a=1"]),
        ("GET", &["Cookie: a=1;\u{2000}s=T"]),
        ("GET", &["Cookie: GET   s=T"]),
        ("HEAD", &["Cookie: s=T"]),
        ("GET", &["Cookie: s=T", "Sec-Fetch-Site: cross-site"]),
        ("GET", &["Cookie: s=T", "Sec-Fetch-Site: same-origin"]),
        ("GET", &["Cookie: s=T", "Origin: https://evil.example"]),
        ("GET", &["Cookie: s=T", "Origin: null"]),
        ("GET", &["Cookie: s=T", "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"]),
        ("GET", &["Cookie: https://evil.example s=T", "Sec-Fetch-Site: cross-site"]),
    ];
    let (mut tokens, mut asked) = (HashSet::new(), HashSet::new());
    // Twice, so that each could be answered from what the others left.
    for _ in 0..2 {
        for (method, headers) in requests {
            assert_eq!(stage.send(&format!("{method} /api/a"), headers, "").status, 200, "{headers:?}");
            tokens.insert((method, headers, passed_on(&stage)));
        }
    }
    asked.extend(stage.exchange.seen().iter().map(token_of));
    // Each was asked about, and each has one answer: its own.
    assert_eq!((tokens.len(), asked.len()), (requests.len(), requests.len()));
    let given: HashSet<_> = tokens.iter().map(|(_, _, (token, _))| token.clone()).collect();
    assert_eq!(given, asked);
}

#[test]
fn cookies_on_several_lines_are_one_request_with_cookies_in_that_order() {
    let stage = stage();
    for lines in [["Cookie: s=T", "Cookie: s=U"], ["Cookie: s=U", "Cookie: s=T"]] {
        stage.send("GET /api/a", &lines, "");
        assert_eq!(passed_on(&stage).0, token_of(stage.exchange.seen().last().unwrap()), "{lines:?}");
    }
    assert_eq!(stage.exchange.seen().len(), 2);
}

#[test]
fn writes_are_asked_about_each_time_and_leave_nothing_behind() {
    let behaviour = |request: &Request| {
        let write = request.header("X-Forwarded-Method") != Some("GET");
        if write && request.header("Sec-Fetch-Site") == Some("cross-site") {
            return answer(403, &[("Cache-Control", "no-store")], "");
        }
        live(request, KEPT)
    };
    let stage = Scenery::new(behaviour).keeping_answers().start();
    let cookie = "Cookie: s=T";
    for site in ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin", "X: 1"] {
        for _ in 0..2 {
            assert_eq!(stage.send("GET /api/a", &[cookie, site], "").status, 200);
        }
    }
    assert_eq!(stage.exchange.seen().len(), 3, "reads are kept");
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "GETX"] {
        let before = stage.exchange.seen().len();
        for _ in 0..2 {
            let forged = stage.send(&format!("{method} /api/a"), &[cookie, "Sec-Fetch-Site: cross-site"], "");
            assert_eq!(forged.status, 403, "{method}");
            assert_eq!(stage.send(&format!("{method} /api/a"), &[cookie], "").status, 200, "{method}");
        }
        assert_eq!(stage.exchange.seen().len(), before + 4, "{method}");
    }
}

#[test]
fn who_presents_a_token_by_scheme_is_asked_about_each_time() {
    let stage = stage();
    stage.send("GET /api/a", &["Cookie: s=T"], "");
    for scheme in ["Authorization: Session X", "Authorization: session X"] {
        for cookies in [&["Cookie: s=T"][..], &[]] {
            let headers = [cookies, &[scheme]].concat();
            for _ in 0..2 {
                stage.send("GET /api/a", &headers, "");
                assert_eq!(passed_on(&stage).0, token_of(stage.exchange.seen().last().unwrap()));
            }
        }
    }
    assert_eq!(stage.exchange.seen().len(), 1 + 8);
    stage.send("GET /api/a", &["Cookie: s=T", "Authorization: Bearer EVIL"], "");
    assert_eq!(stage.exchange.seen().len(), 1 + 8, "other schemes are nobody's business");
}

#[test]
fn nothing_is_kept_that_is_not_to_be_kept_for_the_whole_time() {
    for (status, cache_control) in [
        (200, "no-store"),
        (200, "private, max-age=1"),
        (200, "private, max-age=20"),
        (200, "private, max-age=2, no-store"),
        (200, "max-age=2"),
        (200, ""),
        (204, KEPT),
        (401, KEPT),
        (403, KEPT),
        (503, KEPT),
    ] {
        let behaviour = move |request: &Request| {
            let token = token_of(request);
            let headers = [
                ("Authorization", token.as_str()),
                ("Cache-Control", cache_control),
                ("Expires", "Thu, 31 Dec 2099 00:00:00 GMT"),
                ("X-Accel-Expires", "60"),
            ];
            answer(status, &headers, "")
        };
        let stage = Scenery::new(behaviour).keeping_answers().start();
        for asked in 1..=3 {
            stage.send("GET /api/a", &["Cookie: s=T"], "");
            assert_eq!(stage.exchange.seen().len(), asked, "{status} {cache_control:?}");
        }
    }
}

#[test]
fn an_ended_session_is_refused_two_seconds_after_the_last_answer_at_the_latest() {
    let ended = Arc::new(AtomicBool::new(false));
    let has_ended = Arc::clone(&ended);
    let behaviour = move |request: &Request| if has_ended.load(SeqCst) { no_session() } else { live(request, KEPT) };
    let stage = Scenery::new(behaviour).keeping_answers().start();
    assert_eq!(stage.send("GET /api/a", &["Cookie: s=T"], "").status, 200);
    let clock = SystemClock::new();
    let answered = clock.monotonic();
    ended.store(true, SeqCst);
    let mut hits = 0;
    let refused = loop {
        let sent = clock.monotonic().saturating_sub(answered);
        match stage.send("GET /api/a", &["Cookie: s=T"], "").status {
            200 => {
                hits += 1;
                assert!(sent < Duration::from_secs(2), "still answered {sent:?} later");
            }
            status => break status,
        }
        // This only paces the attempts.
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(refused, 401);
    assert!(hits > 0, "nothing was kept at all");
    // A refusal is asked about again.
    ended.store(false, SeqCst);
    assert_eq!(stage.send("GET /api/a", &["Cookie: s=T"], "").status, 200);
}

#[test]
fn cookies_as_big_as_nginx_takes_pass_and_the_memory_is_for_nginx_alone() {
    let behaviour = |request: &Request| {
        let headers = [
            ("Authorization", TOKEN),
            ("X-Upstream-Cookie", request.header("Cookie").unwrap_or_default()),
            ("X-Filler", &"x".repeat(3_500)),
            ("Cache-Control", KEPT),
        ];
        answer(200, &headers, "")
    };
    let stage = Scenery::new(behaviour).keeping_answers().start();
    let lines: Vec<String> = ["a", "b", "c"].map(|name| format!("Cookie: {name}={}", "x".repeat(7_900))).into();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for _ in 0..2 {
        assert_eq!(stage.send("GET /api/a", &lines, "").status, 200);
    }
    let directory = stage.gateway.prefix().join("exchange_cache");
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let entries = std::fs::read_dir(directory).unwrap();
    assert!(entries.count() > 0, "nothing was kept");
}
