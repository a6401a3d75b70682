//! How hashes are kept: made anew at today's cost, and never trusted when they are not ours.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use ephemint::domain::password::PasswordError;
use ephemint::service::accounts::{AccountError, LoginError};

use super::{HERE, PASSWORD, attempt, given_account, outcome, password};
use crate::support::{app::TestApp, database::eventually};

async fn stored(app: &TestApp) -> String {
    app.database.client().await.query_one("SELECT password_hash FROM account", &[]).await.unwrap().get(0)
}

async fn plant(app: &TestApp, hash: &str) {
    app.database.client().await.execute("UPDATE account SET password_hash = $1", &[&hash]).await.unwrap();
}

/// A hash of another cost, as an older setting would have left it.
fn cheap() -> String {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"sixteen bytes ok").unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_of_another_cost_is_made_anew_at_sign_in_and_only_then() {
    let app = TestApp::spawn().await;
    given_account(&app, "alice").await;
    let changed = "SELECT extract(epoch FROM password_changed_at)::bigint FROM account";
    let changed_at = app.database.count(changed).await;
    let cheap = cheap();
    plant(&app, &cheap).await;
    assert_eq!(outcome(&app, "alice", "gravel otters hum", HERE).await, "bad_credentials");
    assert_eq!(stored(&app).await, cheap);
    app.state.accounts.disable("alice").await.unwrap();
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "disabled");
    assert_eq!(stored(&app).await, cheap);
    app.state.accounts.enable("alice").await.unwrap();

    // Two at once: both sign in, and one of the two hashes stays.
    let (one, two) = tokio::join!(
        attempt(&app.state.accounts, "alice", PASSWORD, HERE),
        attempt(&app.state.accounts, "alice", PASSWORD, HERE)
    );
    assert_eq!((one.unwrap(), two.unwrap()), ("alice".to_owned(), "alice".to_owned()));
    let renewed = stored(&app).await;
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    assert_eq!(stored(&app).await, renewed, "made anew without need");
    assert_eq!(app.database.count(changed).await, changed_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_that_is_not_ours_lets_nobody_in_and_breaks_nothing() {
    let app = TestApp::spawn_with("login.free_failures = 100").await;
    given_account(&app, "alice").await;
    let sound = stored(&app).await;
    for hash in [
        String::new(),
        PASSWORD.to_owned(),
        "*".to_owned(),
        sound.replace("argon2id", "argon2i"),
        sound.replace("argon2id", "none"),
        sound.replace("m=19456", "m=4194304"),
        sound.replace("t=2", "t=4294967295"),
        sound.replace("v=19", "v=16"),
        sound[..sound.len() - 5].to_owned(),
        format!("{sound}="),
    ] {
        plant(&app, &hash).await;
        assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "unusable_hash", "{hash}");
    }
    plant(&app, &sound).await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_while_it_is_being_checked_signs_nobody_in() {
    // A queue of one thread, so that a sign-in waits between finding its account and having its hash.
    let app = TestApp::spawn_with("password.hash_threads = 1").await;
    given_account(&app, "alice").await;
    let changes = [
        "UPDATE account SET password_changed_at = password_changed_at + interval '1s'",
        "INSERT INTO subject_state (subject, disabled_at) SELECT subject, created_at FROM account",
        "DELETE FROM account",
    ];
    for change in changes {
        // In one transaction with what the sign-in has found already; it asks again after the hash.
        let accounts = app.state.accounts.clone();
        let waiting = app.state.metrics.password_hash_queue.clone();
        let sign_in = || {
            let accounts = accounts.clone();
            tokio::spawn(async move { attempt(&accounts, "alice", PASSWORD, HERE).await })
        };
        // Enough before it to keep the thread busy while the change is made.
        let before: Vec<_> = (0..12).map(|_| sign_in()).collect();
        eventually("sign-ins wait for the thread", async || (waiting.get() >= 8).then_some(())).await;
        app.database.execute(change).await;
        let refused = futures_util::future::join_all(before).await;
        let refused = refused.into_iter().filter(|result| matches!(result, Ok(Err(LoginError::Refused)))).count();
        assert!(refused >= 4, "{change}: only {refused} of 12 were refused");
        app.database.execute("DELETE FROM subject_state").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poor_password_is_neither_added_nor_set() {
    let app = TestApp::spawn().await;
    let accounts = &app.state.accounts;
    given_account(&app, "margarete.hollerbach").await;
    for (poor, expected) in [
        ("gravel otters!", PasswordError::TooShort),
        (&"gravel otters sing ".repeat(60)[..1_025], PasswordError::TooLong),
        ("passwordpassword", PasswordError::Common),
        ("123456789012345", PasswordError::Common),
        ("Margarete.Hollerbach", PasswordError::Common),
        ("margarete.hollerbachmargarete.hollerbach", PasswordError::Common),
        ("app.example.com", PasswordError::Common),
        ("ephemintephemint", PasswordError::Common),
    ] {
        let set = accounts.set_password("margarete.hollerbach", password(poor)).await;
        assert!(matches!(set, Err(AccountError::Password(found)) if found == expected), "{poor}: {set:?}");
        let added = accounts.add("other", None, password(poor)).await;
        let own_name = poor.to_lowercase().starts_with("margarete");
        assert_eq!(added.is_ok(), own_name, "{poor}: {added:?}");
        if own_name {
            accounts.remove("other").await.unwrap();
        }
    }
    assert_eq!(outcome(&app, "margarete.hollerbach", PASSWORD, HERE).await, "success");
}
