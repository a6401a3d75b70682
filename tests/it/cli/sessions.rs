//! `ephemint sessions`: what an operator types in an incident.

use std::{process::Output, time::Duration};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{json, said};
use crate::support::{
    app::{Started, TestApp},
    database::eventually,
    program::{complaint, config_file, run},
};

/// The options of `sessions list`.
pub(super) const LIST: &[&str] = &[
    "--all",
    "--amr",
    "--id",
    "--ip",
    "--json",
    "--limit",
    "--seen-after",
    "--seen-before",
    "--start-method",
    "--started-after",
    "--started-before",
    "--status",
    "--subject",
    "--user-agent",
];
/// The options of `sessions revoke`.
pub(super) const REVOKE: &[&str] = &[
    "--all",
    "--amr",
    "--dry-run",
    "--id",
    "--ip",
    "--json",
    "--seen-after",
    "--seen-before",
    "--start-method",
    "--started-after",
    "--started-before",
    "--status",
    "--subject",
    "--user-agent",
    "--wait",
    "--yes",
];

async fn is_alive(app: &TestApp, session: &Started) -> bool {
    app.exchange(&session.cookie()).await.status() == StatusCode::OK
}

/// Waits until what another process has ended has ended here too.
async fn has_ended(app: &TestApp, session: &Started) {
    eventually("a session ends", async || (!is_alive(app, session).await).then_some(())).await;
}

fn ids(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|session| session["session_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_found_previewed_and_ended() {
    let app = TestApp::spawn().await;
    let file = config_file(&app.database.url, "exchange.max_staleness = '300ms'\nexchange.timeout = '100ms'");
    let run = async |line: &str| {
        let arguments: Vec<_> = ["sessions"].into_iter().chain(line.split(' ')).collect();
        run(file.path(), &arguments).await
    };
    let mut sessions = Vec::new();
    for (subject, ip) in
        [("alice", "203.0.113.9"), ("alice", "198.51.100.1"), ("bob", "203.0.113.77"), ("carol", "192.0.2.1")]
    {
        sessions.push(app.given(json!({ "subject": subject, "ip": ip, "amr": ["pwd"] })).await);
        app.clock.advance(Duration::from_millis(1));
    }
    let [first, second, bob, carol] = &sessions[..] else { unreachable!() };

    let listed = json(&run("list --json").await);
    assert_eq!(ids(&listed).len(), 4);
    assert_eq!(listed[0].as_object().unwrap().len(), 19, "as the admin API shows them");
    for (options, expected) in [
        ("--subject alice", vec![&second.id, &first.id]),
        ("--ip 203.0.113.0/24 --limit 1", vec![&bob.id]),
        ("--ip 203.0.113.0/24 --started-after 1h --all", vec![&bob.id, &first.id]),
        ("--started-before 1h", vec![]),
        ("--status ended", vec![]),
        ("--amr pwd --subject bob --status live", vec![&bob.id]),
    ] {
        assert_eq!(ids(&json(&run(&format!("list --json {options}")).await)), expected, "{options}");
    }
    assert_eq!(ids(&json(&run(&format!("list --json --id {} --id {}", bob.id, first.id)).await)), [&bob.id, &first.id]);
    let table = said(&run("list --limit 3").await);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 5 && lines[0].starts_with("SESSION") && lines[1].contains(&carol.id), "{table}");
    assert!(
        lines[1].ends_with("carol") && lines[4] == "3 shown, there are more; --limit or --all shows them",
        "{table}"
    );
    assert_eq!(said(&run("list --subject nobody").await), "no session fits\n");

    assert_eq!(said(&run("revoke --ip 203.0.113.0/24 --dry-run").await), "2 live sessions would end\n");
    let preview = json(&run(&format!("revoke --id {} --dry-run --json", bob.id)).await);
    assert_eq!(preview, json!({ "dry_run": true, "revoked": 1, "effective_by": null }));
    assert!(is_alive(&app, first).await && is_alive(&app, bob).await);
    let answer = json(&run("revoke --ip 203.0.113.0/24 --json").await);
    assert!(answer["revoked"] == 2 && answer["effective_by"].as_str().unwrap().ends_with('Z'), "{answer}");
    has_ended(&app, first).await;
    has_ended(&app, bob).await;
    assert!(is_alive(&app, second).await);
    let line = said(&run(&format!("revoke --id {} --id {}", second.id, bob.id)).await);
    assert!(line.starts_with("1 live sessions ended, everywhere by 2"), "{line}");
    has_ended(&app, second).await;
    assert!(is_alive(&app, carol).await);
    assert_eq!(json(&run("revoke --all --dry-run --json").await)["revoked"], 1);
    assert_eq!(json(&run("revoke --all --json --wait").await)["revoked"], 1);
    assert!(!is_alive(&app, carol).await, "it has waited until that holds everywhere");
    assert_eq!(json(&run("revoke --subject carol --json").await)["revoked"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_could_be_a_slip_is_refused() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let file = config_file(&app.database.url, "");
    let unknown = "0190a0b0-0000-7000-8000-000000000000";
    let refused = |output: &Output, code: i32, said: &str, line: &str| {
        assert_eq!(output.status.code(), Some(code), "{line}: {}", complaint(output));
        assert!(complaint(output).contains(said), "{line}: {}", complaint(output));
    };
    for (line, code, said) in [
        ("revoke", 2, "say which sessions"),
        ("revoke --dry-run --yes", 2, "say which sessions"),
        ("revoke --all --subject alice", 2, "say which sessions"),
        (&format!("revoke --all --id {}", session.id), 2, "say which sessions"),
        (&format!("revoke --subject alice --id {}", session.id), 2, "cannot be used with"),
        ("revoke --id alice", 2, "a session id is a UUID"),
        ("revoke --ip everywhere", 2, "--ip: an address such as"),
        ("revoke --started-after yesterday", 2, "--started-after: an instant"),
        ("revoke --status revoked", 2, "others have ended already"),
        ("revoke --device x", 2, "unexpected argument"),
        ("list --all --limit 3", 2, "cannot be used with"),
        (&format!("list --id {unknown}"), 1, "no session has the id"),
    ] {
        let arguments: Vec<_> = ["sessions"].into_iter().chain(line.split(' ')).collect();
        refused(&run(file.path(), &arguments).await, code, said, line);
    }
    assert!(is_alive(&app, &session).await);
}
