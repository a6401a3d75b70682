//! What a successful sign-in makes of the session that the browser presents: step-up, replacement, or a new one; never adoption.

use std::time::Duration;

use ephemint::{clock::Clock as _, domain::session_token::SessionToken, service::sessions::StartError};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{
    app::{TestApp, bearer, payload, sample},
    audit::Audit,
    browser::{AT_HOME, AWAY, Browser, CHROME, HOME, LATER_FIREFOX, cookie, held, record},
};

async fn exchange_status(app: &TestApp, token: &str) -> u16 {
    app.exchange(&cookie(token)).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_inside_a_session_steps_it_up_under_a_new_token() {
    let app = TestApp::spawn().await;
    let first = AT_HOME.sign_in(&app, "alice", None).await;
    assert!(!first.stepped_up);
    let old = held(&first);
    let before = payload(&app.access_token("orders", &old).await);
    app.advance(Duration::from_secs(400)).await;
    assert_eq!(app.exchange_for("sensitive", &old.cookie()).await.status(), StatusCode::FORBIDDEN, "too long ago");

    let stepped_up = AT_HOME.try_sign_in(&app, "alice", "otp", Some(&old.token)).await.unwrap();
    assert!(stepped_up.stepped_up);
    let new = held(&stepped_up);
    assert_eq!(new.id, old.id);
    assert_ne!(new.token, old.token);
    assert_eq!(exchange_status(&app, &old.token).await, 401, "dead at once");
    let response = app.exchange_for("sensitive", &new.cookie()).await;
    assert_eq!(response.status(), StatusCode::OK, "recent enough now");
    let after = payload(&bearer(&response));
    assert_eq!(after["sid"], before["sid"]);
    assert_eq!(after["auth_time"].as_i64().unwrap() - before["auth_time"].as_i64().unwrap(), 400);
    assert_eq!(after["auth_time"].as_i64().unwrap(), app.clock.now().unix_timestamp());
    assert_eq!(payload(&app.access_token("orders", &new).await)["amr"], json!(["pwd", "otp"]));
    let shown = record(&app, &new.id).await;
    assert_eq!(shown["expires_at"], crate::support::app::rfc3339(first.session.expires_at), "no end moves");
    assert_eq!(stepped_up.session.amr, ["pwd", "otp"]);

    // What was on its way when the token changed is refused and no theft; what comes later is one.
    app.advance(Duration::from_millis(9_999)).await;
    assert_eq!(exchange_status(&app, &old.token).await, 401);
    assert_eq!(exchange_status(&app, &new.token).await, 200);
    app.advance(Duration::from_millis(1)).await;
    assert_eq!(exchange_status(&app, &old.token).await, 401);
    assert_eq!(exchange_status(&app, &new.token).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_ends_the_grace_of_earlier_tokens() {
    let app = TestApp::spawn().await;
    let first = held(&AT_HOME.sign_in(&app, "alice", None).await);
    let renewed = AT_HOME.send(&app, Method::POST, "/session/renew", &first.token).await;
    let second = crate::support::browser::given(&renewed);
    // A token in its grace is still its owner's.
    let third = AT_HOME.sign_in(&app, "alice", Some(&first.token)).await;
    assert!(third.stepped_up);
    for dead in [&first.token, &second] {
        assert_eq!(exchange_status(&app, dead).await, 401);
    }
    assert_eq!(exchange_status(&app, &third.token.expose()).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_session_on_the_same_browser_ends() {
    let app = TestApp::spawn().await;
    let bob = held(&AT_HOME.sign_in(&app, "bob", None).await);
    let elsewhere = held(&AT_HOME.sign_in(&app, "bob", None).await);
    let alice = AT_HOME.sign_in(&app, "alice", Some(&bob.token)).await;
    assert!(!alice.stepped_up);
    assert_ne!(alice.session.id.to_string(), bob.id);
    assert_eq!(exchange_status(&app, &bob.token).await, 401);
    assert_eq!(exchange_status(&app, &elsewhere.token).await, 200);
    assert_eq!(payload(&app.access_token("orders", &held(&alice)).await)["sub"], "alice");
    assert_eq!(app.database.count("SELECT count(*) FROM session WHERE revoke_reason = 'replaced'").await, 1);
    let ended = sample(&app.metrics().await, "ephemint_sessions_ended_total", &["reason=\"replaced\""]);
    assert!((ended - 1.0).abs() < f64::EPSILON, "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presented_token_is_never_adopted() {
    let app = TestApp::spawn().await;
    let unknown = SessionToken::generate().unwrap().expose();
    let revoked = app.given_session("alice").await;
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).send().await.unwrap();
    let idle = app.given_session("alice").await;
    app.advance(Duration::from_secs(3_600)).await;
    for presented in [unknown.as_str(), "", "junk", &revoked.token, &idle.token] {
        let signed_in = AT_HOME.sign_in(&app, "alice", Some(presented)).await;
        assert!(!signed_in.stepped_up, "{presented}");
        let session = held(&signed_in);
        assert!(session.token != presented && session.id != revoked.id && session.id != idle.id);
        assert_eq!(exchange_status(&app, &session.token).await, 200);
        assert_eq!(exchange_status(&app, presented).await, 401, "{presented}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_subject_gets_no_session_and_nothing_changes() {
    let app = TestApp::spawn().await;
    let bob = app.given_session("bob").await;
    app.database.execute("INSERT INTO subject_state (subject, disabled_at) VALUES ('alice', '2026-01-01')").await;
    let refused = AT_HOME.try_sign_in(&app, "alice", "pwd", Some(&bob.token)).await;
    assert!(matches!(refused, Err(StartError::SubjectDisabled)), "{refused:?}");
    assert_eq!(app.database.count("SELECT count(*) FROM session").await, 1);
    assert_eq!(exchange_status(&app, &bob.token).await, 200);
}

#[tokio::test]
async fn each_sign_in_is_told_and_new_devices_are_named() {
    let app = TestApp::spawn().await;
    // An older version remembered nothing: that makes no device new.
    app.given(json!({ "subject": "alice", "device": "A browser" })).await;
    let audit = Audit::listen();
    let first = held(&AT_HOME.sign_in(&app, "alice", None).await);
    assert_eq!(audit.names(), ["session_started"], "the first that is known is not new");
    AT_HOME.sign_in(&app, "alice", Some(&first.token)).await;
    assert_eq!(audit.names(), ["session_stepped_up"]);
    for (browser, new) in [
        (Browser { agent: LATER_FIREFOX, address: "203.0.113.77" }, None),
        (Browser { agent: CHROME, address: HOME }, Some("user_agent")),
        (Browser { agent: CHROME, address: HOME }, None),
        (Browser { agent: LATER_FIREFOX, address: AWAY }, Some("network")),
        (Browser { agent: "OrdersApp/4.2", address: "2001:db8::1" }, Some("user_agent_and_network")),
    ] {
        let signed_in = browser.sign_in(&app, "alice", None).await;
        let told = audit.take();
        let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
        match new {
            None => assert_eq!(names, ["session_started"], "{browser:?}"),
            Some(new) => {
                assert_eq!(names, ["session_started", "new_device"], "{browser:?}");
                let line = &told[1].1;
                assert_eq!((&line["changed"], &line["subject"]), (&json!(new), &json!("alice")), "{line}");
                assert_eq!(line["address"], browser.address, "{line}");
                assert_eq!(line["session.id"], signed_in.session.id.to_string(), "{line}");
            }
        }
    }
    AT_HOME.sign_in(&app, "bob", None).await;
    assert_eq!(audit.names(), ["session_started"], "known by subject");
}
