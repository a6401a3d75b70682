//! A master key that does not fit stops the start and changes nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    app::{MASTER_KEY, TestApp},
    database::TestDatabase,
    hex,
    program::{Serving, complaint, config_file, run},
};

/// 32 bytes that are nobody's secret either.
const WRONG: &str = "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd28=";

/// A database that has been served: keys, a client and a session.
async fn used() -> (TestDatabase, Vec<String>) {
    let mut app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    app.access_token("orders", &session).await;
    app.stop().await;
    let keys = app.state.keys.ring().keys();
    (app.database.clone(), keys.iter().map(|key| key.key.kid().to_string()).collect())
}

/// Every command that makes or opens something refuses, says why, tells no secret and leaves everything as it was.
async fn refused(database: &TestDatabase, more: &str, expected: &[&str]) {
    let before = database.dump().await;
    let file = config_file(&database.url, more);
    for arguments in [
        &["serve"][..],
        &["keys", "list"],
        &["keys", "rotate"],
        &["keys", "rotate", "--compromised"],
        &["clients", "add", "another", "--scope", "keys:read"],
        &["clients", "rotate", "test-0"],
    ] {
        let output = run(file.path(), arguments).await;
        let said = complaint(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty() || arguments == ["keys", "list"], "{arguments:?}");
        for part in expected {
            assert!(said.contains(part), "{arguments:?}: {part} is not in {said}");
        }
        for secret in [WRONG, MASTER_KEY] {
            assert!(!said.contains(secret) && !said.contains(&hex(&STANDARD.decode(secret).unwrap())), "{said}");
        }
        assert_eq!(database.dump().await, before, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_master_key_stops_the_start_and_changes_nothing() {
    let (database, kids) = used().await;
    let more = format!("secrets.master_key = '{WRONG}'");
    refused(&database, &more, &["secrets.master_key", "signing key ", "is sealed under master key"]).await;
    let file = config_file(&database.url, &more);
    let said = complaint(&run(file.path(), &["serve"]).await);
    assert!(kids.iter().any(|kid| said.contains(kid)), "{said}");

    // The right one works as before; so does the wrong one beside it.
    drop(Serving::start(config_file(&database.url, "").path()).await);
    let both = format!("{more}\nsecrets.previous_master_keys = ['{MASTER_KEY}']");
    drop(Serving::start(config_file(&database.url, &both).path()).await);
    // By now the keys are sealed under the new one alone.
    refused(&database, "", &["secrets.previous_master_keys"]).await;
    drop(Serving::start(config_file(&database.url, &more).path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_two_steps_signs_nobody_out_at_any_moment() {
    let first = TestApp::spawn().await;
    let settings = |current: &str, previous: &str| {
        format!("secrets.master_key = '{current}'\nsecrets.previous_master_keys = ['{previous}']")
    };
    let beside = async |more: &str| {
        TestApp::spawn_at(first.clock.clone(), first.database.clone(), &first.database.url, more).await
    };
    let mut sessions = vec![first.given_session("alice").await];
    // Every replica learns the new key, then each in turn writes under it.
    let (learned, moved) = (settings(MASTER_KEY, WRONG), settings(WRONG, MASTER_KEY));
    for stages in [[&learned, &learned], [&learned, &moved], [&moved, &moved]] {
        let apps = [beside(stages[0]).await, beside(stages[1]).await];
        for app in &apps {
            sessions.push(app.given_session("alice").await);
        }
        for session in &sessions {
            for app in apps.iter().chain(apps.iter().rev()) {
                app.access_token("orders", session).await;
            }
        }
        for app in &apps {
            app.state.keys.rotate_compromised().await.unwrap();
        }
        for app in &apps {
            app.state.keys.refresh().await.unwrap();
            app.access_token("legacy", &sessions[0]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_changed_bit_of_a_sealed_key_stops_the_start() {
    let (database, kids) = used().await;
    let kid = &kids[0];
    let flip = |at: &str| {
        format!(
            "UPDATE signing_key SET sealed_private_key =
                 set_byte(sealed_private_key, {at}, get_byte(sealed_private_key, {at}) # 1) WHERE kid = '{kid}'"
        )
    };
    // The version, the name of the master key, the nonce, the key, the tag.
    for at in ["0", "1", "9", "40", "octet_length(sealed_private_key) - 1"] {
        database.execute(&flip(at)).await;
        refused(&database, "", &["secrets.master_key", kid]).await;
        database.execute(&flip(at)).await;
    }
    drop(Serving::start(config_file(&database.url, "").path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_key_in_the_row_of_another_stops_the_start() {
    let (database, _) = used().await;
    let swap = "UPDATE signing_key AS one SET sealed_private_key = other.sealed_private_key
                  FROM signing_key AS other WHERE one.algorithm = other.algorithm AND one.kid <> other.kid";
    database.execute(swap).await;
    refused(&database, "", &["secrets.master_key", "corrupted or belong to another key"]).await;
    database.execute(swap).await;
    drop(Serving::start(config_file(&database.url, "").path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_right_master_key_under_another_kid_or_algorithm_stops_the_start() {
    let (database, _) = used().await;
    for meddling in [
        "UPDATE signing_key SET kid = 'x' || substr(kid, 2) WHERE algorithm = 'ES256' AND activates_at IS NULL",
        "UPDATE signing_key SET algorithm = 'EdDSA' WHERE algorithm = 'ES256'",
    ] {
        database.execute(meddling).await;
        refused(&database, "", &["secrets.master_key", "corrupted or belong to another key"]).await;
    }
}
