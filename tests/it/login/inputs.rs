//! What people and programs type into a sign-in, by form and by JSON: compared exactly, bounded, and never an error of ours.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{
    answer::{ORIGIN, raw_problem},
    app::TestApp,
    visitor::{PASSWORD, UNTHROTTLED},
    wire,
};

const EMOJI: &str = "🦀🌵🎲🧭🪁🥁🛶🧵🪐🍄🎯🧩🪴🛖🪤";

async fn given(app: &TestApp, name: &str, password: &str) {
    let password = ephemint::domain::password::Password::from(password.to_owned());
    app.state.accounts.add(name, None, password).await.unwrap();
}

/// Signs in by form and by JSON; whether it succeeded, and how many hashes each of the two took.
async fn try_both(app: &TestApp, name: &str, password: &str) -> (bool, u64) {
    let count = || app.state.metrics.password_hash_duration_seconds.get_sample_count();
    let before = count();
    let by_form = app.submit("/login", "", &[("username", name), ("password", password)]).send().await.unwrap();
    let body = json!({ "username": name, "password": password });
    let by_json = app.public(Method::POST, "/login").json(&body).send().await.unwrap();
    let signed_in = by_form.status() == StatusCode::SEE_OTHER;
    let expected = if signed_in { (303, 200) } else { (401, 401) };
    assert_eq!((by_form.status().as_u16(), by_json.status().as_u16()), expected, "{name:?} {password:?}");
    let hashes = count() - before;
    assert_eq!(hashes % 2, 0, "{name:?} {password:?}: one of two was hashed");
    (signed_in, hashes / 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_password_is_right_at_any_length_and_in_any_script() {
    let app = TestApp::spawn_with(UNTHROTTLED).await;
    let sixty_four = "sixty-four characters, as many as some services take at the most";
    let longest = &"hollow river paints a quiet engine under seventeen lamps of no one ".repeat(16)[..1_024];
    assert_eq!(sixty_four.len(), 64);
    let accounts = [
        ("sixty.four", sixty_four),
        ("longest", longest),
        ("emoji", EMOJI),
        ("spaced", "  gravel   otters sing\t"),
        ("accent", "gra\u{301}vel otters sïng"),
    ];
    for (name, password) in accounts {
        given(&app, name, password).await;
        assert_eq!(try_both(&app, name, password).await, (true, 1), "{name}");
    }
    assert_eq!(
        try_both(&app, "ACCENT", "gr\u{e1}vel otters si\u{308}ng").await,
        (true, 1),
        "one password, two encodings"
    );
    let (shorter, longer) = (&sixty_four[..63], format!("{sixty_four}s"));
    for (name, password) in [
        ("sixty.four", shorter),
        ("sixty.four", &longer),
        ("longest", &longest[..1_023]),
        ("emoji", &EMOJI[4..]),
        ("spaced", "gravel   otters sing"),
        ("spaced", "  gravel otters sing\t"),
        ("accent", "gravel otters sing"),
    ] {
        assert_eq!(try_both(&app, name, password).await, (false, 1), "{name} {password}");
    }
    // Over the cap nothing is hashed: in bytes as they were typed, and as they are compared.
    let (over, expanding) = (format!("{longest}x"), "\u{1d160}".repeat(256));
    for password in [&over, &expanding, &"a".repeat(4_000)] {
        assert_eq!(try_both(&app, "longest", password).await, (false, 0), "{}", password.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_name_is_an_unknown_one() {
    let app = TestApp::spawn_with(UNTHROTTLED).await;
    app.given_account("alice").await;
    let (just_too_long, long) = ("a".repeat(256), "é".repeat(2_000));
    for name in [
        "",
        " ",
        "\u{3000}",
        "alice ",
        "\talice",
        "alice\n",
        "alice\r\nSet-Cookie: a=b",
        "ali\u{200d}ce",
        "\u{202e}ecila",
        "alice\u{ffff}",
        "\u{fdd0}",
        "👩\u{200d}👩\u{200d}👧",
        "ﬁ",
        "аlice",
        "alice@b@victim.example",
        "' OR 1=1 --",
        "alice'; DROP TABLE account; --",
        "*)(uid=*))(|(uid=*",
        "{{7*7}}${7*7}<%= 7 %>",
        "${jndi:ldap://127.0.0.1/x}",
        "../../etc/passwd",
        "%00alice%00",
        &just_too_long,
        &long,
    ] {
        assert_eq!(try_both(&app, name, PASSWORD).await, (false, 1), "{name:?}");
    }
    for password in ["' OR '1'='1", "*", "null", "undefined", "$argon2id$", "\u{ffff}"] {
        assert_eq!(try_both(&app, "alice", password).await, (false, 1), "{password:?}");
    }
    assert_eq!(try_both(&app, "alice", PASSWORD).await, (true, 1));
    assert_eq!(app.database.count("SELECT count(*) FROM account WHERE username = 'alice'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_says_it_is_huge_is_refused_before_it_comes() {
    let app = TestApp::spawn().await;
    for media_type in ["application/json", "application/x-www-form-urlencoded"] {
        for length in ["16385", "1048576", "10485760", "10737418240", "18446744073709551615"] {
            let head = format!(
                "POST /login HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
            );
            let answer = wire::request(app.addresses.public, head.as_bytes()).await;
            raw_problem(&answer, 413, "body-too-large");
        }
    }
}
