//! Whose guesses count as whose, through the whole service: names in any spelling, addresses in any form, and what a client
//! claims about its address.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    app::{TestApp, sample},
    visitor::PASSWORD,
};

/// Tries to sign in, from where the client claims to be; what the attempt was counted as.
async fn attempt(app: &TestApp, name: &str, password: &str, claims: &[&str]) -> &'static str {
    let outcomes = ["bad_credentials", "throttled", "success"];
    let before = app.metrics().await;
    let mut request = app.public(Method::POST, "/login").json(&json!({ "username": name, "password": password }));
    for claim in claims {
        request = request.header("x-forwarded-for", *claim);
    }
    let status = request.send().await.unwrap().status().as_u16();
    let after = app.metrics().await;
    let count = |metrics: &str, outcome: &str| sample(metrics, "ephemint_logins_total", &[outcome]);
    let counted = outcomes.into_iter().find(|outcome| count(&after, outcome) > count(&before, outcome)).unwrap();
    assert_eq!(status, if counted == "success" { 200 } else { 401 }, "{name} {claims:?}");
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_choose_the_address_that_its_guesses_count_for() {
    for trusted in ["[]", "['10.0.0.0/8']"] {
        let app = TestApp::spawn_with(&format!("gateway.trusted_proxies = {trusted}")).await;
        app.given_account("alice").await;
        for guess in 0..5 {
            let claim = format!("198.51.100.{guess}");
            assert_eq!(attempt(&app, "alice", "wrong", &[&claim]).await, "bad_credentials");
        }
        for claim in ["198.51.100.77", "127.0.0.1", "10.1.2.3", "2001:db8::1", "", "junk"] {
            assert_eq!(attempt(&app, "alice", PASSWORD, &[claim]).await, "throttled", "{trusted} {claim}");
        }
    }
    // Behind a proxy that is believed, the address that the proxy adds is the one that counts.
    let app = TestApp::spawn().await;
    app.given_account("alice").await;
    for guess in 0..5 {
        let forged = format!("198.51.100.{guess}, 203.0.113.9");
        assert_eq!(attempt(&app, "alice", "wrong", &[&forged]).await, "bad_credentials");
    }
    for claims in [
        &["203.0.113.9"][..],
        &["198.51.100.77, 203.0.113.9"],
        &["198.51.100.77", "203.0.113.9"],
        &["::ffff:203.0.113.9"],
        &["::FFFF:CB00:7109 "],
        &["198.51.100.77,\t203.0.113.9, 127.0.0.1"],
    ] {
        assert_eq!(attempt(&app, "alice", PASSWORD, claims).await, "throttled", "{claims:?}");
    }
    let many = format!("{}203.0.113.9", "198.51.100.77, ".repeat(1_000));
    assert_eq!(attempt(&app, "alice", PASSWORD, &[&many]).await, "throttled");
    // The owner, elsewhere, is not kept out.
    assert_eq!(attempt(&app, "alice", PASSWORD, &["203.0.113.10"]).await, "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_name_and_of_a_network_is_one_guesser() {
    let app = TestApp::spawn().await;
    app.given_account("zoë").await;
    let guesses = [
        ("zoë", "2001:db8:0:7::1"),
        ("ZOË", "2001:0DB8:0000:0007:ffff::"),
        ("Zoe\u{308}", "2001:db8:0:7::203.0.113.9"),
        ("ｚｏë", "2001:db8:0:7:1:2:3:4"),
        ("zOË", "2001:db8:0:7::"),
    ];
    for (name, address) in guesses {
        assert_eq!(attempt(&app, name, "wrong", &[address]).await, "bad_credentials", "{name}");
    }
    for (name, address) in guesses {
        assert_eq!(attempt(&app, name, PASSWORD, &[address]).await, "throttled", "{name}");
    }
    assert_eq!(attempt(&app, "zoë", PASSWORD, &["2001:db8:0:8::1"]).await, "success");
}
