//! Password accounts: who is let in, who is kept waiting, and what nobody can find out.

mod hashes;
mod throttle;
mod timing;
mod users;

use std::{net::IpAddr, sync::Arc};

use ephemint::{
    domain::{cookie_header::Presented, password::Password},
    service::{
        accounts::{Accounts, Attempt, LoginError},
        sessions::{SignIn, StartError},
    },
};

use crate::support::{app::TestApp, browser::AT_HOME};

/// The password of every account of these tests.
const PASSWORD: &str = "gravel otters sing";
/// An address that no test fails from before.
const HERE: &str = "203.0.113.9";

fn password(text: &str) -> Password {
    Password::from(text.to_owned())
}

async fn given_account(app: &TestApp, name: &str) {
    app.state.accounts.add(name, None, password(PASSWORD)).await.unwrap();
}

/// How an attempt ended, by the outcome that was counted: also what is refused for different reasons looks the same to its caller.
async fn outcome(app: &TestApp, name: &str, typed: &str, address: &str) -> String {
    let before = outcomes(app);
    let result = attempt(&app.state.accounts, name, typed, address).await;
    let after = outcomes(app);
    let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let name = changed[0].split('"').nth(1).unwrap().to_owned();
    match &name[..] {
        "success" => drop(result.unwrap()),
        "busy" => assert!(matches!(result, Err(LoginError::Busy))),
        _ => assert!(matches!(result, Err(LoginError::Refused)), "{name}: {result:?}"),
    }
    name
}

fn outcomes(app: &TestApp) -> Vec<String> {
    let text = String::from_utf8(app.state.metrics.render().unwrap()).unwrap();
    text.lines().filter(|line| line.starts_with("ephemint_logins_total{")).map(str::to_owned).collect()
}

/// One attempt; the subject's text where it succeeds.
async fn attempt(accounts: &Arc<Accounts>, name: &str, typed: &str, address: &str) -> Result<String, LoginError> {
    let (typed, address): (_, IpAddr) = (password(typed), address.parse().unwrap());
    let proven = accounts.authenticate(Attempt { username: name, password: &typed, address }).await?;
    Ok(proven.subject.as_str().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_password_signs_in_however_the_name_is_spelled() {
    let app = TestApp::spawn().await;
    given_account(&app, "Zoë").await;
    let subject = "emp:4711".to_owned().try_into().unwrap();
    app.state.accounts.add("bob", Some(subject), password(PASSWORD)).await.unwrap();
    let try_as = |name: &'static str, typed: &'static str| attempt(&app.state.accounts, name, typed, HERE);
    for name in ["zoë", "ZOË", "Zoe\u{308}", "ｚｏë"] {
        assert_eq!(try_as(name, PASSWORD).await.unwrap(), "zoë", "{name}");
    }
    assert_eq!(try_as("BOB", PASSWORD).await.unwrap(), "emp:4711");
    for (name, typed) in [
        ("zoë", "Gravel otters sing"),
        ("zoë", "gravel otters sing "),
        ("zoë", ""),
        ("zoe", PASSWORD),
        ("zoë ", PASSWORD),
        ("emp:4711", PASSWORD),
        ("", PASSWORD),
        ("a\0b", PASSWORD),
        ("x\u{202e}", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
    ] {
        assert!(matches!(try_as(name, typed).await, Err(LoginError::Refused)), "{name:?}");
    }
    let long = "ab".repeat(5_000_000);
    let too_long = attempt(&app.state.accounts, &long, PASSWORD, HERE).await;
    assert!(matches!(too_long, Err(LoginError::Refused)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_over_1024_bytes_is_refused_without_a_hash_and_without_counting() {
    let app = TestApp::spawn().await;
    given_account(&app, "alice").await;
    let hashed = || app.state.metrics.password_hash_duration_seconds.get_sample_count();
    let before = hashed();
    for length in [1_025, 10_000_000] {
        assert_eq!(outcome(&app, "alice", &"a".repeat(length), HERE).await, "bad_credentials");
    }
    assert_eq!(hashed(), before);
    assert_eq!(app.database.count("SELECT count(*) FROM login_throttle").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_sign_ins_than_may_wait_are_turned_away_and_do_not_count() {
    let app = TestApp::spawn_with("password.hash_threads = 1\npassword.hash_queue = 2\nlogin.most_at_once = 100").await;
    given_account(&app, "alice").await;
    // Polled one after the other by one task: each takes its place before any has finished.
    let all =
        futures_util::future::join_all((0..20).map(|_| attempt(&app.state.accounts, "alice", PASSWORD, HERE))).await;
    let busy = all.iter().filter(|result| matches!(result, Err(LoginError::Busy))).count();
    let signed_in = all.iter().filter(|result| result.is_ok()).count();
    assert_eq!((busy, signed_in), (17, 3), "{all:?}");
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    assert_eq!(app.database.count("SELECT count(*) FROM login_throttle WHERE failures > 0").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_network_leaves_room_for_others() {
    const FLOOD: &str = "2001:db8:1:2::";
    let app =
        TestApp::spawn_with("password.hash_threads = 1\npassword.hash_queue = 9\nlogin.free_failures = 100").await;
    given_account(&app, "alice").await;
    let accounts = &app.state.accounts;
    let flood: Vec<_> = (1..=20).map(|host| format!("{FLOOD}{host:x}")).collect();
    // Polled one after the other by one task: each takes its place before any has finished.
    let flooding = futures_util::future::join_all(flood.iter().map(|from| attempt(accounts, "alice", "wrong", from)));
    let (flooded, signed_in) = tokio::join!(flooding, attempt(accounts, "alice", PASSWORD, HERE));
    signed_in.unwrap();
    let busy = flooded.iter().filter(|result| matches!(result, Err(LoginError::Busy))).count();
    assert_eq!(busy, 15, "half of the ten places: {flooded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_nobody_is_signed_in_and_nobody_is_called_wrong() {
    let app = TestApp::spawn().await;
    given_account(&app, "alice").await;
    app.database.execute("DROP TABLE login_throttle").await;
    let result = attempt(&app.state.accounts, "alice", PASSWORD, HERE).await;
    assert!(matches!(result, Err(LoginError::Unavailable(_))), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_a_change_of_password_overtakes_starts_no_session() {
    let app = TestApp::spawn().await;
    given_account(&app, "alice").await;
    let accounts = &app.state.accounts;
    let prove = async |typed: &str| {
        let (typed, address) = (password(typed), HERE.parse().unwrap());
        accounts.authenticate(Attempt { username: "alice", password: &typed, address }).await.unwrap()
    };
    let start = async |proven: ephemint::service::accounts::Proven| {
        let sign_in = SignIn {
            subject: proven.subject,
            authenticated_under: Some(proven.epoch),
            amr: vec!["pwd".to_owned()],
            presented: Presented::Absent,
            seen: AT_HOME.seen(),
            method: "password",
        };
        app.state.sessions.sign_in(sign_in).await
    };
    let overtaken = prove(PASSWORD).await;
    accounts.set_password("alice", password("nine quiet lanterns")).await.unwrap();
    assert!(matches!(start(overtaken).await, Err(StartError::SubjectDisabled)));
    start(prove("nine quiet lanterns").await).await.unwrap();
    let overtaken = prove("nine quiet lanterns").await;
    accounts.remove("alice").await.unwrap();
    assert!(matches!(start(overtaken).await, Err(StartError::SubjectDisabled)));
    assert_eq!(app.database.count("SELECT count(*) FROM session").await, 1);
}
