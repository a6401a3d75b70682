//! Where events come from: what sign-ins, uses of a session and changes of accounts tell the receiver.

use std::{net::IpAddr, time::Duration};

use ephemint::domain::{
    cookie_header::Presented,
    device::{AddressPrecision, Seen},
    password::Password,
    session_token::SessionToken,
};
use ephemint::service::sessions::{SignIn, SignedIn};
use serde_json::{Value, json};

use super::{hooks, receiver::HookReceiver, subject, wait_for_outcomes};
use crate::support::app::TestApp;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/17.4 Safari/605.1.15";

fn seen(user_agent: &str) -> Seen {
    Seen::of(Some(user_agent), Some(IpAddr::from([192, 0, 2, 7])), AddressPrecision::Full)
}

async fn sign_in(app: &TestApp, user_agent: &str) -> SignedIn {
    let sign_in = SignIn {
        subject: subject("alice"),
        authenticated_under: None,
        amr: vec!["pwd".to_owned()],
        presented: Presented::Absent,
        seen: seen(user_agent),
        method: "password",
    };
    app.state.sessions.sign_in(sign_in).await.unwrap()
}

/// Uses a session from a browser.
async fn used(app: &TestApp, token: &SessionToken, user_agent: &str) -> bool {
    let text = token.expose();
    let presented = Presented::Value(text.as_bytes());
    app.state.sessions.authenticate_seen(presented, &seen(user_agent)).await.is_ok()
}

/// The message of that number, from 1: its type and data.
async fn told(receiver: &HookReceiver, number: usize) -> (String, Value) {
    let message = receiver.wait_for(number).await[number - 1].json();
    (message["type"].as_str().unwrap().to_owned(), message["data"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_from_elsewhere_is_told_and_one_from_a_known_device_is_not() {
    let receiver = HookReceiver::listening();
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    sign_in(&app, FIREFOX).await;
    sign_in(&app, FIREFOX).await;
    let other = sign_in(&app, SAFARI).await;
    let (name, data) = told(&receiver, 1).await;
    let expected = json!({
        "subject": "alice",
        "session_id": other.session.id.to_string(),
        "device": other.session.device,
        "address": "192.0.2.7",
        "changed": "user_agent",
    });
    assert_eq!((name.as_str(), data), ("new_device", expected));
    wait_for_outcomes(&app, "delivered", 1).await;
    assert_eq!(receiver.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_used_after_its_grace_is_told_once() {
    let receiver = HookReceiver::listening();
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    let signed_in = sign_in(&app, FIREFOX).await;
    let old = signed_in.token.expose();
    let renewed = app.state.sessions.renew(Presented::Value(old.as_bytes()), &seen(FIREFOX)).await.unwrap();
    assert!(renewed.token.is_some());
    app.advance(Duration::from_secs(11)).await;
    for _ in 0..3 {
        assert!(!used(&app, &signed_in.token, SAFARI).await);
    }
    let (name, data) = told(&receiver, 1).await;
    assert_eq!(name, "session_token_reused");
    assert_eq!((data["consequence"].as_str(), data["subject"].as_str()), (Some("end"), Some("alice")));
    assert_eq!(data["session_id"], signed_in.session.id.to_string());
    wait_for_outcomes(&app, "delivered", 1).await;
    assert_eq!(receiver.arrived().len(), 1);
    assert!(!receiver.arrived()[0].body.contains(&old[4..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_used_from_another_browser_is_told_with_what_follows() {
    let receiver = HookReceiver::listening();
    let settings = format!("session.on_user_agent_change = 'reauthenticate'\n{}", hooks(&receiver, ""));
    let app = TestApp::spawn_with(&settings).await;
    let signed_in = sign_in(&app, FIREFOX).await;
    assert!(used(&app, &signed_in.token, FIREFOX).await);
    assert!(!used(&app, &signed_in.token, SAFARI).await);
    let (name, data) = told(&receiver, 1).await;
    let expected = json!({
        "subject": "alice",
        "session_id": signed_in.session.id.to_string(),
        "device": seen(SAFARI).device,
        "address": "192.0.2.7",
        "changed": "user_agent",
        "previous_device": "Firefox",
        "previous_address": "192.0.2.0",
        "consequence": "reauthenticate",
    });
    assert_eq!((name.as_str(), data), ("unusual_activity", expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_an_account_is_told() {
    let receiver = HookReceiver::listening();
    let app = TestApp::spawn_with(&hooks(&receiver, "")).await;
    let accounts = &app.state.accounts;
    let password = |text: &str| Password::from(text.to_owned());
    let subject = Some(subject("user-17"));
    accounts.add("Alice", subject, password("seven otters juggle marbles")).await.unwrap();
    assert_eq!(
        told(&receiver, 1).await,
        ("account_added".to_owned(), json!({ "subject": "user-17", "account": "alice" }))
    );
    accounts.set_password("alice", password("marbles juggle seven herons")).await.unwrap();
    assert_eq!(told(&receiver, 2).await.0, "password_changed");
    accounts.disable("alice").await.unwrap();
    assert_eq!(told(&receiver, 3).await.0, "account_disabled");
    accounts.enable("alice").await.unwrap();
    accounts.enable("alice").await.unwrap();
    assert_eq!(told(&receiver, 4).await.0, "account_enabled");
    assert!(accounts.disable("nobody").await.is_err());
    accounts.remove("alice").await.unwrap();
    assert_eq!(
        told(&receiver, 5).await,
        ("account_deleted".to_owned(), json!({ "subject": "user-17", "account": "alice" }))
    );
    wait_for_outcomes(&app, "delivered", 5).await;
    for message in receiver.arrived() {
        assert!(!message.body.contains("marbles"), "{}", message.body);
    }
}
