//! What is posted: the message field by field, and its signature as others verify it.

use std::{collections::BTreeSet, process::Stdio};

use ephemint::{
    clock::Clock as _,
    domain::{
        event::{Event, EventName},
        username::Username,
    },
};
use serde_json::json;
use tokio::process::Command;

use super::{
    SECRET, account_disabled, hooks, outcomes, pending,
    receiver::{Arrived, HookReceiver, status},
    subject, unusual_activity, wait_for_outcomes,
};
use crate::{
    support::app::TestApp,
    tree::{file, files},
};

const OTHER_SECRET: &str = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=";

/// Runs the `verify` of the documentation over a message; tells what it says.
async fn verified(language: &str, secret: &str, message: &Arrived) -> bool {
    let page = file("docs/events.md").text;
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("an example in the documentation");
    let (example, _) = rest.split_once("```").unwrap();
    let headers = serde_json::to_string(&message.headers).unwrap();
    let (program, flag, call) = match language {
        "python" => (
            "python3",
            "-c",
            "import json, sys\nprint(verify(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3].encode()))",
        ),
        _ => (
            "node",
            "-e",
            "const [secret, headers, body] = process.argv.slice(1);\n\
             console.log(verify(secret, JSON.parse(headers), Buffer.from(body)));",
        ),
    };
    let output = Command::new(program)
        .args([flag, &format!("{example}\n{call}"), secret, &headers, &message.body])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = output.await.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    match String::from_utf8(output.stdout).unwrap().trim() {
        "True" | "true" => true,
        "False" | "false" => false,
        _ => panic!("{language}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_as_the_documentation_describes_it() {
    let receiver = HookReceiver::listening();
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    let event = unusual_activity(&app);
    app.events.record(&event).await;

    let [message] = receiver.wait_for(1).await.try_into().unwrap();
    assert_eq!(message.request_line, "POST /in?room=1 HTTP/1.1");
    assert_eq!(message.headers["content-type"], "application/json");
    assert_eq!(message.headers["host"], receiver.address.to_string());
    assert_eq!(message.headers["webhook-timestamp"], app.clock.now().unix_timestamp().to_string());
    let session_id = event.details().session_id.unwrap();
    let expected = json!({
        "id": message.id(),
        "type": "unusual_activity",
        "timestamp": ephemint::domain::instant::rfc3339(app.clock.now()),
        "data": {
            "subject": "alice",
            "session_id": session_id.to_string(),
            "device": "Safari on \"iOS\"",
            "address": "2001:db8::1",
            "changed": "user_agent_and_network",
            "previous_device": "Firefox on Linux",
            "previous_address": "192.0.2.7",
            "consequence": "end",
        }
    });
    assert_eq!(message.json(), expected);
    assert!(message.body.starts_with(&format!(r#"{{"id":"{}","type":"#, message.id())), "{}", message.body);
    assert!(!message.headers.contains_key("authorization") && !message.headers.contains_key("cookie"));
    wait_for_outcomes(&app, "delivered", 1).await;
    assert_eq!(pending(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_documentation_accept_our_messages_and_no_others() {
    let receiver = HookReceiver::listening();
    let secrets = format!("{OTHER_SECRET} {SECRET}");
    let app = TestApp::spawn_with(&hooks(&receiver, "").replace(SECRET, &secrets)).await;
    app.events.record(&unusual_activity(&app)).await;
    let [message] = receiver.wait_for(1).await.try_into().unwrap();

    let mut changed = message.clone();
    changed.body = changed.body.replace("alice", "mallory");
    let mut renamed = message.clone();
    renamed.headers.insert("webhook-id".to_owned(), "another".to_owned());
    let mut old = message.clone();
    let before = app.clock.now().unix_timestamp() - 301;
    old.headers.insert("webhook-timestamp".to_owned(), before.to_string());
    for language in ["python", "js"] {
        assert!(verified(language, SECRET, &message).await, "{language}");
        assert!(verified(language, OTHER_SECRET, &message).await, "{language}: while one secret replaces the other");
        assert!(!verified(language, &SECRET.replace("whsec_a2", "whsec_a3"), &message).await, "{language}");
        for (what, forged) in [("body", &changed), ("id", &renamed), ("time", &old)] {
            assert!(!verified(language, SECRET, forged).await, "{language}: {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_nobody_asked_for_stay_in_the_log() {
    let receiver = HookReceiver::listening();
    let app = TestApp::spawn_with(&hooks(&receiver, "events = ['password_changed']")).await;
    app.events.record(&account_disabled(&app, "alice")).await;
    let account = Username::parse("bob").unwrap();
    app.events.record(&Event::PasswordChanged { at: app.clock.now(), subject: subject("bob"), account }).await;
    let messages = receiver.wait_for(1).await;
    wait_for_outcomes(&app, "delivered", 1).await;
    assert_eq!(messages[0].json()["type"], "password_changed");
    assert_eq!((receiver.arrived().len(), pending(&app).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_webhook_an_event_leaves_no_trace_in_the_database() {
    let app = TestApp::spawn().await;
    app.events.record(&account_disabled(&app, "alice")).await;
    assert!(app.events.webhook().is_none());
    assert_eq!(pending(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_posted_at_once_and_not_at_the_next_round() {
    let receiver = HookReceiver::listening();
    receiver.conduct(status(204));
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    let clock = ephemint::clock::SystemClock::new();
    for number in 1..=10 {
        app.events.record(&account_disabled(&app, "alice")).await;
        receiver.wait_for(number).await;
    }
    // Ten rounds of the background would take 20 s.
    assert!(clock.monotonic().as_secs() < 10, "{:?}", clock.monotonic());
    wait_for_outcomes(&app, "delivered", 10).await;
    assert!(outcomes(&app, "retried").await < 1.0);
}

#[test]
fn the_page_lists_every_event_and_nothing_else() {
    let page = file("docs/events.md").text;
    let (_, table) = page.split_once("## The events\n").unwrap();
    let (table, _) = table.split_once("\n| field |").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: Vec<_> = rows.map(|(name, rest)| (name, rest.split(" |").next().unwrap())).collect();
    assert_eq!(listed, EventName::ALL.map(|name| (name.as_str(), name.meaning())));
}

#[test]
fn the_page_on_logs_lists_every_audit_event_and_nothing_else() {
    let mut written: BTreeSet<String> = EventName::ALL.map(|name| name.as_str().to_owned()).into();
    for source in files("src", ".rs") {
        // Names of events are literals, but for those of the closed set above.
        written.extend(source.text.split("event = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(written.len() > 20, "the search itself is broken: {written:?}");
    let page = file("docs/logging.md").text;
    let (_, table) = page.split_once("## Audit events\n").unwrap();
    let cells = table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned);
    assert_eq!(names.collect::<BTreeSet<_>>(), written);
}
