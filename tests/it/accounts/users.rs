//! `ephemint users`, through the real program, and what it does to sessions that are alive.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::Value;

use super::{HERE, PASSWORD, attempt, outcome};
use crate::support::{
    app::{Started, TestApp},
    database::{TestDatabase, eventually},
    program::{complaint, config_file, run, run_with},
};

async fn done(config: &Path, arguments: &[&str], input: &str) -> String {
    let output = run_with(config, arguments, input.as_bytes()).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", complaint(&output));
    let log = complaint(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(input.is_empty() || !format!("{said}{log}").contains(input.trim()), "{arguments:?} repeats the password");
    said
}

async fn listed(config: &Path) -> Value {
    serde_json::from_str(&done(config, &["users", "list", "--json"], "").await).unwrap()
}

async fn is_alive(app: &TestApp, session: &Started) -> bool {
    match app.exchange(&session.cookie()).await.status() {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

/// Waits until a change that another process has made reaches this one, as it does within `exchange.max_staleness`.
async fn has_ended(app: &TestApp, session: &Started, otherwise: &str) {
    eventually(otherwise, async || (!is_alive(app, session).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_live_their_life_and_their_sessions_end_with_each_change() {
    let app = TestApp::spawn().await;
    let file = config_file(&app.database.url, "");
    let config = file.path();
    let accounts = &app.state.accounts;
    let line = format!("{PASSWORD}\n");
    let said = done(config, &["users", "add", "Alice"], &line).await;
    assert_eq!(said, "added alice (subject alice)\n");
    done(config, &["users", "add", "bob", "--subject", "emp:4711"], PASSWORD).await;
    let list = listed(config).await;
    assert_eq!((&list[0]["username"], &list[0]["subject"]), (&"alice".into(), &"alice".into()));
    assert_eq!((&list[0]["display_name"], &list[0]["disabled"]), (&"Alice".into(), &false.into()));
    assert_eq!((&list[1]["username"], &list[1]["subject"]), (&"bob".into(), &"emp:4711".into()));
    for key in ["created_at", "password_changed_at"] {
        assert!(list[0][key].as_str().unwrap().ends_with('Z'), "{list}");
    }
    assert_eq!(list[0].as_object().unwrap().len(), 6);
    assert!(!list.to_string().contains("argon2"));

    let bystander = app.given_session("emp:4711").await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "success");
    let session = app.given_session("alice").await;
    assert!(is_alive(&app, &session).await);
    let said = done(config, &["users", "set-password", "ALICE"], "hollow river paints\n").await;
    assert!(said.starts_with("password set; 1 live session of alice ended, everywhere by 2"), "{said}");
    has_ended(&app, &session, "a session has outlived the password it was started with").await;
    assert_eq!(outcome(&app, "alice", PASSWORD, HERE).await, "bad_credentials");
    assert_eq!(attempt(accounts, "alice", "hollow river paints", HERE).await.unwrap(), "alice");

    let session = app.given_session("alice").await;
    let said = done(config, &["users", "disable", "alice"], "").await;
    assert!(said.starts_with("disabled; 1 live session of alice ended, everywhere by 2"), "{said}");
    has_ended(&app, &session, "a session has outlived its account's disabling").await;
    assert_eq!(outcome(&app, "alice", "hollow river paints", HERE).await, "disabled");
    assert_eq!(listed(config).await[0]["disabled"], true);
    assert!(done(config, &["users", "list"], "").await.contains("disabled"));
    done(config, &["users", "enable", "alice"], "").await;
    assert_eq!(attempt(accounts, "alice", "hollow river paints", HERE).await.unwrap(), "alice");
    assert!(!is_alive(&app, &session).await, "enabling has revived a session");

    let session = app.given_session("alice").await;
    let said = done(config, &["users", "delete", "alice"], "").await;
    assert!(said.starts_with("deleted; 1 live session of alice ended, everywhere by 2"), "{said}");
    has_ended(&app, &session, "a session has outlived its account").await;
    assert_eq!(outcome(&app, "alice", "hollow river paints", HERE).await, "bad_credentials");
    // Whoever gets the name next gets none of the sessions.
    done(config, &["users", "add", "alice"], PASSWORD).await;
    assert!(!is_alive(&app, &session).await);
    assert!(is_alive(&app, &bystander).await, "somebody else's session has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_explained() {
    let database = TestDatabase::migrated().await;
    let file = config_file(&database.url, "");
    let config = file.path();
    done(config, &["users", "add", "alice"], PASSWORD).await;
    let long = "gravel otters sing ".repeat(100);
    for (arguments, input, code, expected) in [
        (&["users", "add", "ALICE"][..], PASSWORD, 1, "an account of that name exists already"),
        (&["users", "add", "bob", "--subject", "alice"], PASSWORD, 1, "another account has that subject"),
        (
            &["users", "add", "bob"],
            "short",
            2,
            "a password has 15 characters or more; a few words are easy to remember",
        ),
        (&["users", "add", "bob"], &long, 2, "at most 1024 bytes"),
        (&["users", "add", "bob"], "passwordpassword", 2, "among the first that others would try"),
        (&["users", "add", "bob"], "", 2, "no password came on standard input"),
        (&["users", "add", "two words"], PASSWORD, 2, "a username is made of letters"),
        (&["users", "add", ""], PASSWORD, 2, "at least one character"),
        (&["users", "add", "bob", "--subject", " x"], PASSWORD, 2, "no white space"),
        (&["users", "add", "bob", PASSWORD], PASSWORD, 2, "unexpected argument"),
        (&["users", "add", "bob", "--password", PASSWORD], PASSWORD, 2, "unexpected argument"),
        (&["users", "set-password", "bob"], PASSWORD, 1, "there is no account of that name"),
        (&["users", "set-password", "alice"], "alicealicealice", 2, "among the first"),
        (&["users", "disable", "bob"], "", 1, "there is no account of that name"),
        (&["users", "enable", "bob"], "", 1, "there is no account of that name"),
        (&["users", "delete", "bob"], "", 1, "there is no account of that name"),
    ] {
        let output = run_with(config, arguments, input.as_bytes()).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", complaint(&output));
        assert!(complaint(&output).contains(expected), "{arguments:?}: {}", complaint(&output));
    }
    let output = run_with(config, &["users", "add", "bob"], b"otters\xff otters otters").await;
    assert!(output.status.code() == Some(2) && complaint(&output).contains("not UTF-8"), "{}", complaint(&output));
    assert_eq!(listed(config).await.as_array().unwrap().len(), 1);
    assert_eq!(run(config, &["users"]).await.status.code(), Some(2));
}
