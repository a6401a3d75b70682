//! Cookies that another site has planted, in every spelling that some parser would take for the session's: they sign nobody in,
//! on or out, and they hide nobody's own session. On each route that reads the cookie, byte by byte.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::is_live;
use crate::support::{
    app::{COOKIE, Started, TestApp},
    raw::{self, Answer},
    visitor::{PASSWORD, UNTHROTTLED},
};

/// What is tried, and the header lines that try it.
type Case = (&'static str, Vec<Vec<u8>>);

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What Unicode calls spaces, and a byte order mark: no space of HTTP's.
const SPACES: [&str; 6] = ["\u{2000}", "\u{a0}", "\u{85}", "\u{1680}", "\u{3000}", "\u{feff}"];

fn cookie(what: &'static str, line: impl Into<Vec<u8>>) -> Case {
    (what, vec![[b"Cookie: ".to_vec(), line.into()].concat()])
}

/// Lines that present nobody's session. `evil` is alive, and so is `own`, which the browser would have been sent.
fn nobodys(own: &str, evil: &str, dead: &str, jwt: &str) -> Vec<Case> {
    let short = &own[..own.len() - 1];
    let last = ALPHABET.find(&own[own.len() - 1..]).unwrap();
    let stray = format!("{short}{}", &ALPHABET[last + 1..=last + 1]);
    let replaced = |other: &str| format!("{}{other}{}", &own[..20], &own[21..]);
    let value = |what, value: &str| cookie(what, format!("{COOKIE}={value}"));
    let two = |what, one: String, two: String| (what, vec![format!("Cookie: {one}").into(), two.into()]);
    let mut cases = vec![
        ("no cookie", Vec::new()),
        value("empty", ""),
        value("one character short", short),
        value("one character long", &format!("{own}A")),
        value("another prefix", &own.replacen("ems_", "emc_", 1)),
        value("a plus", &replaced("+")),
        value("a slash", &replaced("/")),
        value("an equals sign", &replaced("=")),
        value("a space", &replaced(" ")),
        value("a tab", &replaced("\t")),
        value("a second spelling of the same bits", &stray),
        value("capitals", &own.to_uppercase()),
        value("small letters", &own.to_lowercase()),
        value("quotes", &format!("\"{own}\"")),
        value("an escaped zero byte", &format!("{own}%00")),
        value("an escaped line end", &format!("{own}%0d%0a")),
        value("30 kilobytes", &"A".repeat(30_000)),
        value("an access token", jwt),
        value("a revoked session's", dead),
        cookie("a name in capitals", format!("__HOST-session={evil}")),
        cookie("a name in small letters", format!("__host-session={evil}")),
        cookie("an escaped name", format!("__%48ost-session={evil}")),
        cookie("no name", format!("={COOKIE}={evil}")),
        cookie("no value", COOKIE),
        cookie("behind a comma", format!("$Version=1,{COOKIE}={evil}")),
        cookie("the library's own cookie", format!("inner={evil}")),
        cookie("two values", format!("{COOKIE}={own}; {COOKIE}={evil}")),
        cookie("two values, the other first", format!("{COOKIE}={evil}; {COOKIE}={own}")),
        cookie("one of two is empty", format!("{COOKIE}={own}; {COOKIE}=")),
        cookie("quotes around the other", format!("a=\"x; {COOKIE}={evil}; y\"; {COOKIE}={own}")),
        two("two lines", format!("{COOKIE}={own}"), format!("Cookie: {COOKIE}={evil}")),
        two("a cookie and a header", format!("{COOKIE}={own}"), format!("Authorization: Session {evil}")),
        ("a bearer token", vec![format!("Authorization: Bearer {evil}").into()]),
        ("another header's name", vec![format!("Coo_kie: {COOKIE}={evil}").into()]),
    ];
    cases.extend(SPACES.map(|space| cookie("behind a Unicode space", format!("{space}{COOKIE}={evil}"))));
    cases
}

/// Lines that present `own`, whatever else they say.
fn own_ones(own: &str, evil: &str) -> Vec<Case> {
    let own = format!("{COOKIE}={own}");
    let many: String = (0..199).map(|number| format!("cookie{number}={number}; ")).collect();
    let mut cases = vec![
        cookie("nothing else", own.clone()),
        cookie("an escaped name before it", format!("__%48ost-session={evil}; {own}")),
        cookie("an escaped name after it", format!("{own}; __%48ost-session={evil}")),
        cookie("capitals", format!("__HOST-SESSION={evil}; {own}; __host-session={evil}")),
        cookie("a quoted name", format!("\"{COOKIE}\"={evil}; {own}")),
        cookie("no name", format!("={COOKIE}={evil}; {own}; {COOKIE}")),
        cookie("the library's own cookie", format!("inner={evil}; {own}")),
        cookie("spaces and tabs", format!("\t{} \t; a=1", own.replacen('=', " \t=\t ", 1))),
        cookie("the same twice", format!("{own}; {own}")),
        cookie("199 others", many + &own),
        cookie("a byte that is no text", [b"junk=\xff; ", own.as_bytes()].concat()),
        cookie("a legacy header", format!("$Version=1; {own}; $Path=/")),
    ];
    cases.extend(SPACES.map(|space| cookie("a Unicode space before it", format!("{space}{COOKIE}={evil}; {own}"))));
    cases
}

async fn ask(app: &TestApp, method: &str, target: &str, lines: &[Vec<u8>], body: &str) -> Answer {
    let length = format!("Content-Length: {}", body.len());
    let mut all: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    all.extend([b"Sec-Fetch-Site: same-origin", b"Content-Type: application/json".as_slice(), length.as_bytes()]);
    Answer::parse(&raw::send(app.addresses.public, &raw::request(method, target, &all, body.as_bytes())).await)
}

/// Signs alice in with these lines; the id and the cookie of what she got.
async fn login(app: &TestApp, case: &Case) -> (String, String) {
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let answer = ask(app, "POST", "/login", &case.1, &body).await;
    assert_eq!(answer.status, 200, "{}: {answer:?}", case.0);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["subject"], "alice", "{}", case.0);
    (told["session_id"].as_str().unwrap().to_owned(), given(&answer).unwrap())
}

/// The cookie that an answer sets.
fn given(answer: &Answer) -> Option<String> {
    answer.header("set-cookie").map(|line| line.split("; ").next().unwrap().to_owned())
}

async fn spawn() -> (TestApp, Started) {
    let app = TestApp::spawn_with(&format!("session.max_per_subject = 500\n{UNTHROTTLED}")).await;
    app.given_account("alice").await;
    let planted = app.given_session("mallory").await;
    (app, planted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_exactly_the_cookie_is_nobodys_session() {
    let (app, planted) = spawn().await;
    let own = app.given_session("alice").await;
    let dead = app.given_session("alice").await;
    app.admin(reqwest::Method::DELETE, &format!("/admin/sessions/{}", dead.id)).send().await.unwrap();
    let jwt = app.access_token("orders", &own).await;
    let mut ids = HashSet::from([own.id.clone(), planted.id.clone(), dead.id.clone()]);
    let [mut shown, mut renewed] = [Vec::new(), Vec::new()];
    for case in nobodys(&own.token, &planted.token, &dead.token, &jwt) {
        let what = case.0;
        shown.push(ask(&app, "GET", "/session", &case.1, "").await);
        renewed.push(ask(&app, "POST", "/session/renew", &case.1, "").await);
        assert_eq!((shown[0].status, renewed[0].status), (401, 401), "{what}");
        assert_eq!((shown.last(), renewed.last()), (shown.first(), renewed.first()), "{what}: byte by byte");
        assert_eq!(given(&renewed[0]), None, "{what}");
        let out = ask(&app, "POST", "/logout", &case.1, "").await;
        assert_eq!((out.status, out.body.as_str()), (204, ""), "{what}");
        assert!(given(&out).is_none_or(|cleared| cleared == format!("{COOKIE}=")), "{what}");
        let (id, fresh) = login(&app, &case).await;
        assert!(ids.insert(id), "{what}: a session was taken over");
        assert!(is_live(&app, &fresh).await, "{what}");
    }
    assert!(is_live(&app, &own.cookie()).await && is_live(&app, &planted.cookie()).await);
    assert_eq!(app.session(&planted.cookie()).await.unwrap()["subject"], "mallory");
    assert_eq!(app.database.count("SELECT count(*) FROM former_token").await, 0, "nothing was renewed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_cookie_hides_nobodys_own_session() {
    let (app, planted) = spawn().await;
    for number in 0..own_ones("", "").len() {
        let own = app.given_session("alice").await;
        let case = own_ones(&own.token, &planted.token).swap_remove(number);
        let what = case.0;
        let shown = ask(&app, "GET", "/session", &case.1, "").await;
        let shown: Value = serde_json::from_str(&shown.body).unwrap_or_else(|_| panic!("{what}: {shown:?}"));
        assert_eq!((&shown["subject"], &shown["session_id"]), (&json!("alice"), &json!(own.id)), "{what}");

        // Signing in again steps alice's own session up, and leaves the planted one alone.
        let (id, stepped_up) = login(&app, &case).await;
        assert_eq!(id, own.id, "{what}");
        assert!(!is_live(&app, &own.cookie()).await, "{what}");
        let token = stepped_up.split_once('=').unwrap().1;
        let case = own_ones(token, &planted.token).swap_remove(number);
        let renewed = ask(&app, "POST", "/session/renew", &case.1, "").await;
        assert_eq!(renewed.status, 200, "{what}: {renewed:?}");
        assert!(renewed.body.contains(&own.id), "{what}");
        let renewed = given(&renewed).unwrap();
        assert_ne!(renewed, stepped_up, "{what}");
        let case = own_ones(renewed.split_once('=').unwrap().1, &planted.token).swap_remove(number);
        let out = ask(&app, "POST", "/logout", &case.1, "").await;
        assert_eq!((out.status, given(&out)), (204, Some(format!("{COOKIE}="))), "{what}");
        assert!(!is_live(&app, &renewed).await, "{what}");
    }
    assert!(is_live(&app, &planted.cookie()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_or_too_large_reaches_no_route() {
    let (app, planted) = spawn().await;
    let cookie = planted.cookie();
    let lines: [(Vec<u8>, u16); 4] = [
        (format!("Cookie: {cookie}\0").into(), 400),
        (format!("Cookie: a=1;\r\n {cookie}").into(), 400),
        (format!("Cookie: {cookie}; jar={}", "j".repeat(40_000)).into(), 431),
        (format!("Cookie: {cookie}{}", "A".repeat(65_536)).into(), 431),
    ];
    for (line, status) in lines {
        for (method, target) in
            [("GET", "/session"), ("POST", "/login"), ("POST", "/logout"), ("POST", "/session/renew")]
        {
            let answer = ask(&app, method, target, std::slice::from_ref(&line), "").await;
            assert_eq!((answer.status, given(&answer)), (status, None), "{method} {target}");
        }
    }
    assert!(is_live(&app, &cookie).await);
}
