//! Too many failures: refused for a growing time where they happen, never from elsewhere.

use std::{collections::HashMap, time::Duration};

use ephemint::{
    clock::{Clock as _, SystemClock},
    service::accounts::LoginError,
};
use futures_util::future::join_all;

use super::{HERE, PASSWORD, attempt, given_account, outcome};
use crate::support::app::TestApp;

const WRONG: &str = "gravel otters hum";
const ELSEWHERE: &str = "198.51.100.7";

async fn fail(app: &TestApp, name: &str, address: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(outcome(app, name, WRONG, address).await, "bad_credentials");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_grow_and_end_and_are_forgotten_at_success() {
    let app = TestApp::spawn_with("login.longest_refusal = '8s'").await;
    given_account(&app, "alice").await;
    fail(&app, "alice", HERE, 5).await;
    for seconds in [1, 2, 4, 8, 8] {
        // Even the right password is refused until then.
        assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "throttled");
        app.clock.advance(Duration::from_millis(seconds * 1_000 - 100));
        assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "throttled", "{seconds}");
        app.clock.advance(Duration::from_millis(100));
        fail(&app, "alice", HERE, 1).await;
    }
    app.clock.advance(Duration::from_secs(8));
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    fail(&app, "alice", HERE, 5).await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "throttled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_failures_are_forgotten_in_each_half_life() {
    let app =
        TestApp::spawn_with("login.half_life = '1h'\nlogin.free_failures = 8\nlogin.network_free_failures = 100").await;
    given_account(&app, "alice").await;
    fail(&app, "alice", HERE, 7).await;
    app.clock.advance(Duration::from_hours(2));
    // 7 have become 1.75.
    fail(&app, "alice", HERE, 5).await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_an_account_and_of_a_network_counts_as_one_on_every_replica() {
    let app = TestApp::spawn().await;
    let other = TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, "").await;
    given_account(&app, "alice").await;
    for (addresses, same, apart) in [
        (["203.0.113.9", "::ffff:203.0.113.9", "::ffff:cb00:7109"], "203.0.113.9", "203.0.113.10"),
        (
            ["2001:db8:0:7::1", "2001:0DB8:0000:0007:ffff::", "2001:db8:0:7::203.0.113.9"],
            "2001:db8:0:7:9::",
            "2001:db8:0:8::1",
        ),
    ] {
        let names = ["alice", "ALICE", "ａｌｉｃｅ"];
        for (round, replica) in [&app, &other, &app, &other, &app].into_iter().enumerate() {
            fail(replica, names[round % 3], addresses[round % 3], 1).await;
        }
        for replica in [&app, &other] {
            assert_eq!(outcome(replica, "Alice", PASSWORD, same).await, "throttled");
        }
        assert_eq!(outcome(&other, "Alice", PASSWORD, apart).await, "success");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_same_time_count_as_many_as_they_are() {
    let app = TestApp::spawn().await;
    let other = TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, "").await;
    given_account(&app, "alice").await;
    let burst = |replica: &TestApp| {
        let accounts = replica.state.accounts.clone();
        async move { join_all((0..15).map(|_| attempt(&accounts, "alice", WRONG, HERE))).await }
    };
    let (one, two) = tokio::join!(burst(&app), burst(&other));
    assert!(one.iter().chain(&two).all(|result| matches!(result, Err(LoginError::Refused))));
    let mut counts = HashMap::<String, f64>::new();
    for replica in [&app, &other] {
        for line in super::outcomes(replica) {
            *counts.entry(line.split('"').nth(1).unwrap().to_owned()).or_default() +=
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
    assert_eq!(counts.get("bad_credentials"), Some(&5.0), "{counts:?}");
    assert_eq!(counts.get("throttled"), Some(&25.0), "{counts:?}");
    // What was refused counts nowhere else either.
    assert_eq!(app.database.count("SELECT count(*) FROM login_throttle WHERE failures = 5").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_share_some_of_their_counts_never_wait_for_each_other_in_a_circle() {
    let more = "login.free_failures = 100";
    let app = TestApp::spawn_with(more).await;
    let other = TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, more).await;
    for name in ["a", "b", "c"] {
        given_account(&app, name).await;
    }
    let addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    let all = (0..60).map(|round| {
        let accounts = [&app, &other][round % 2].state.accounts.clone();
        let typed = if round % 4 < 2 { PASSWORD } else { WRONG };
        async move {
            // All at once: those who find no place come again.
            while matches!(
                attempt(&accounts, ["a", "b", "c"][round % 3], typed, addresses[round / 3 % 3]).await,
                Err(LoginError::Busy)
            ) {
                tokio::task::yield_now().await;
            }
        }
    });
    join_all(all).await;
    for replica in [&app, &other] {
        let unavailable = |line: &String| line.contains("unavailable") && !line.ends_with(" 0");
        assert!(!super::outcomes(replica).iter().any(unavailable));
    }
    // What succeeded was taken off again.
    assert_eq!(
        app.database.count("SELECT round(failures)::bigint FROM login_throttle WHERE kind = 'overall'").await,
        30
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_locked_out_by_failures_elsewhere() {
    let app = TestApp::spawn_with("login.longest_delay = '700ms'").await;
    given_account(&app, "alice").await;
    given_account(&app, "carol").await;
    assert_eq!(outcome(&app, "carol", PASSWORD, ELSEWHERE).await, "success");
    // A thousand failures against both of them, most of them written down rather than waited for.
    for name in ["alice", "carol"] {
        fail(&app, name, HERE, 5).await;
    }
    app.database
        .execute("UPDATE login_throttle SET failures = 1000, refused_until = CASE WHEN kind IN ('account_network', 'network') THEN counted_at + interval '15min' END
                  WHERE kind <> 'overall' AND failures > 1")
        .await;
    for name in ["alice", "carol"] {
        assert_eq!(outcome(&app, name, PASSWORD, HERE).await, "throttled");
    }
    let clock = SystemClock::new();
    for (name, delayed) in [("alice", true), ("carol", false)] {
        let began = clock.monotonic();
        assert_eq!(outcome(&app, name, PASSWORD, ELSEWHERE).await, "success");
        let took = clock.monotonic().saturating_sub(began);
        // Where carol has signed in before, she does not even wait.
        assert_eq!(took >= Duration::from_millis(700), delayed, "{name}: {took:?}");
    }
    // Nor does alice any more.
    let began = clock.monotonic();
    assert_eq!(outcome(&app, "alice", PASSWORD, ELSEWHERE).await, "success");
    assert!(clock.monotonic().saturating_sub(began) < Duration::from_millis(700));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_tries_many_names_is_refused_but_for_accounts_that_know_it() {
    let app = TestApp::spawn_with("login.network_free_failures = 6").await;
    for name in ["alice", "bob"] {
        given_account(&app, name).await;
    }
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    for number in 0..6 {
        fail(&app, &format!("guess-{number}"), HERE, 1).await;
    }
    assert_eq!(outcome(&app, "bob", PASSWORD, HERE).await, "throttled");
    assert_eq!(outcome(&app, "guess-7", WRONG, HERE).await, "throttled");
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    assert_eq!(outcome(&app, "bob", PASSWORD, ELSEWHERE).await, "success");
    // A known network is one for its own account only as long as the account's password is not tried there too often.
    fail(&app, "alice", HERE, 5).await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "throttled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_does_not_wash_the_network_clean() {
    let app = TestApp::spawn_with("login.network_free_failures = 6").await;
    given_account(&app, "mallory").await;
    for number in 0..6 {
        // Between two guesses, the guesser signs in with an account of their own.
        fail(&app, &format!("guess-{number}"), HERE, 1).await;
        assert_eq!(outcome(&app, "mallory", PASSWORD, HERE).await, "success");
    }
    assert_eq!(outcome(&app, "guess-7", WRONG, HERE).await, "throttled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_make_no_difference_any_more_are_swept() {
    let app = TestApp::spawn_with("login.half_life = '1h'").await;
    given_account(&app, "alice").await;
    fail(&app, "bob", ELSEWHERE, 6 - 1).await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    let rows = "SELECT count(*) FROM login_throttle";
    assert_eq!(app.database.count(rows).await, 7);
    app.clock.advance(Duration::from_hours(9));
    app.state.accounts.sweep(5_000).await.unwrap();
    // Only the count of everybody has such a short memory.
    assert_eq!(app.database.count(rows).await, 6);
    app.clock.advance(Duration::from_hours(2));
    app.state.accounts.sweep(5_000).await.unwrap();
    assert_eq!(app.database.count("SELECT count(*) FROM login_throttle WHERE known_until IS NOT NULL").await, 1);
    assert_eq!(app.database.count(rows).await, 1);
    app.clock.advance(Duration::from_hours(90 * 24));
    app.state.accounts.sweep(5_000).await.unwrap();
    assert_eq!(app.database.count(rows).await, 0);
}
