//! A refused sign-in takes the same time whatever the reason, all the way from the socket and back.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::refusals::{Seen, seen};
use crate::support::{app::TestApp, timing::all_take_the_same_time, visitor::PASSWORD};

const KINDS: [&str; 6] = ["unknown", "wrong", "disabled", "throttled", "unusable", "outdated"];
/// From where one account was tried too often.
const THERE: &str = "192.0.2.1";

async fn refused(app: &TestApp, name: &str, password: &str, address: &str) -> Seen {
    let request = app.public(Method::POST, "/login").header("x-forwarded-for", address);
    seen(request.json(&json!({ "username": name, "password": password })).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_can_tell_accounts_by_how_long_a_refusal_takes() {
    let app = TestApp::spawn_with("login.longest_delay = '0s'\nlogin.network_free_failures = 1000").await;
    for name in &KINDS[1..] {
        app.given_account(name).await;
    }
    app.state.accounts.disable("disabled").await.unwrap();
    for _ in 0..5 {
        refused(&app, "throttled", "wrong", THERE).await;
    }
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let cheap = cheap.hash_password_with_salt(b"another password", b"sixteen bytes ok").unwrap().to_string();
    for (name, hash) in
        [("unusable", "$2b$12$abcdefghijklmnopqrstuuJ8s5h1N0ZfTqZ8bYk9rT7mXk0y3bD7e"), ("outdated", &cheap)]
    {
        let sql = "UPDATE account SET password_hash = $1 WHERE username = $2";
        assert_eq!(app.database.client().await.execute(sql, &[&hash, &name]).await.unwrap(), 1);
    }
    let first = refused(&app, "nobody", PASSWORD, "10.9.9.9").await;
    assert_eq!(first.0, StatusCode::UNAUTHORIZED);
    all_take_the_same_time(KINDS, async |kind, number| {
        // A network of its own for each, but for the one that is throttled.
        let address = match kind {
            "throttled" => THERE.to_owned(),
            _ => format!("10.0.{}.{}", number / 256, number % 256),
        };
        let typed = if kind == "wrong" { "not the password at all" } else { PASSWORD };
        assert_eq!(refused(&app, kind, typed, &address).await, first, "{kind}");
    })
    .await;
    let metrics = app.metrics().await;
    for outcome in ["bad_credentials", "disabled", "throttled", "unusable_hash"] {
        let counted = crate::support::app::sample(&metrics, "ephemint_logins_total", &[outcome]);
        assert!(counted >= 20.0, "{outcome}: {counted}");
    }
}
