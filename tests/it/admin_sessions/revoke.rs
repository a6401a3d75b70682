//! Ending sessions by a filter: preview, batches, and what is refused.

use std::time::Duration;

use ephemint::{clock::Clock as _, domain::client::Scope};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::rfc3339;
use crate::support::{
    answer::problem,
    app::{TestApp, sample},
    rows::Rows,
};

async fn asked(app: &TestApp, body: &Value) -> Response {
    app.admin(Method::POST, "/admin/sessions/revoke").json(body).send().await.unwrap()
}

async fn revoke(app: &TestApp, body: Value) -> Value {
    let response = asked(app, &body).await;
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}: {answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_counts_what_the_revocation_then_ends_and_nothing_else() {
    let app = TestApp::spawn().await;
    let mut here = Vec::new();
    for subject in ["alice", "bob", "carol"] {
        here.push(app.given(json!({ "subject": subject, "ip": "203.0.113.9", "amr": ["pwd"] })).await);
    }
    let elsewhere = app.given(json!({ "subject": "alice", "ip": "198.51.100.1", "amr": ["pwd"] })).await;
    app.admin(Method::DELETE, &format!("/admin/sessions/{}", here[2].id)).send().await.unwrap();
    for session in [&here[0], &here[1], &elsewhere] {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    }

    let preview = revoke(&app, json!({ "ip": "203.0.113.0/24", "dry_run": true })).await;
    assert_eq!(preview, json!({ "dry_run": true, "revoked": 2, "effective_by": null }));
    assert_eq!(app.exchange(&here[0].cookie()).await.status(), StatusCode::OK, "a preview ends nothing");
    let answer = revoke(&app, json!({ "ip": "203.0.113.0/24", "dry_run": false })).await;
    let effective_by = rfc3339(app.clock.now() + Duration::from_secs(2));
    assert_eq!(answer, json!({ "revoked": 2, "effective_by": effective_by }));
    for session in &here {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(app.exchange(&elsewhere.cookie()).await.status(), StatusCode::OK);
    assert_eq!(revoke(&app, json!({ "ip": "203.0.113.0/24" })).await["revoked"], 0);

    // With a subject the search takes another way.
    let other = app.given(json!({ "subject": "alice", "ip": "198.51.100.2", "amr": ["otp"] })).await;
    assert_eq!(revoke(&app, json!({ "subject": "alice", "amr": "pwd" })).await["revoked"], 1);
    assert_eq!(app.exchange(&elsewhere.cookie()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.exchange(&other.cookie()).await.status(), StatusCode::OK);
    let ended = sample(&app.metrics().await, "ephemint_sessions_ended_total", &["reason=\"admin\""]);
    assert!((ended - 4.0).abs() < 0.5, "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_alone_and_everyone_end_with_one_row() {
    let app = TestApp::spawn().await;
    let [alice, bob] = [app.given_session("alice").await, app.given_session("bob").await];
    let revoked_rows = "SELECT count(*) FROM session WHERE revoked_at IS NOT NULL";
    for (body, subject) in [(json!({ "subject": "alice" }), &alice), (json!({ "all": true }), &bob)] {
        let mut preview = body.clone();
        preview["dry_run"] = json!(true);
        assert_eq!(revoke(&app, preview).await["revoked"], 1, "{body}");
        assert_eq!(app.exchange(&subject.cookie()).await.status(), StatusCode::OK);
        assert_eq!(revoke(&app, body).await["revoked"], 1);
        assert_eq!(app.exchange(&subject.cookie()).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(app.database.count(revoked_rows).await, 0, "epochs end them, however many they are");
    assert_eq!(app.database.count("SELECT count(*) FROM revocation_log").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_end_in_batches_that_are_logged_and_committed_one_by_one() {
    let app = TestApp::spawn().await;
    Rows::of(2_500, app.clock.now() - Duration::from_secs(60)).store(&app.database).await;
    let bystander = app.given_session("alice").await;
    let preview = revoke(&app, json!({ "start_method": "password", "dry_run": true })).await;
    assert_eq!(preview["revoked"], 2_500);
    assert_eq!(revoke(&app, json!({ "start_method": "password", "status": "live" })).await["revoked"], 2_500);
    let ended = "SELECT count(*) FROM session WHERE revoked_at IS NOT NULL AND revoke_reason = 'admin'";
    assert_eq!(app.database.count(ended).await, 2_500);
    assert_eq!(app.database.count("SELECT count(*) FROM revocation_log").await, 2_500);
    assert_eq!(app.database.count("SELECT count(DISTINCT xid::text) FROM revocation_log").await, 5, "batches of 500");
    assert_eq!(app.exchange(&bystander.cookie()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_or_says_nothing_ends_nothing() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    for (body, code, detail) in [
        (json!({}), "invalid-field", "all: "),
        (json!({ "all": false }), "invalid-field", "all: "),
        (json!({ "dry_run": true }), "invalid-field", "all: "),
        (json!({ "subject": null }), "invalid-field", "all: "),
        (json!({ "all": true, "subject": "alice" }), "invalid-field", "all: "),
        (json!({ "all": "true" }), "invalid-field", "all: true or false"),
        (json!({ "all": true, "dry_run": 1 }), "invalid-field", "dry_run: true or false"),
        (json!({ "subject": "" }), "invalid-field", "subject: "),
        (json!({ "subject": ["alice"] }), "invalid-field", "subject: "),
        (json!({ "ip": "everywhere" }), "invalid-field", "ip: "),
        (json!({ "amr": 7 }), "invalid-field", "amr: "),
        (json!({ "started_after": true }), "invalid-field", "started_after: "),
        (json!({ "status": "revoked" }), "invalid-field", "status: live"),
        (json!({ "status": "ended" }), "invalid-field", "status: live"),
        (
            json!({ "subject": "alice", "device": "x" }),
            "bad-request",
            "unknown field device; this route takes subject, ",
        ),
        (json!({ "subject": "alice", "ems_Secret": 1 }), "bad-request", "unknown field; this route takes subject, "),
        (json!({ "filter": { "subject": "alice" } }), "bad-request", "unknown field filter; "),
    ] {
        let document = problem(asked(&app, &body).await, 400, code).await;
        assert!(document["detail"].as_str().unwrap().starts_with(detail), "{body}: {document}");
    }
    for (path, status) in [("/admin/sessions/revoke?wait=1", 400), ("/admin/sessions/revoke?dry_run=true", 400)] {
        let response = app.admin(Method::POST, path).json(&json!({ "all": true })).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
    let response = app.admin(Method::GET, "/admin/sessions/revoke").send().await.unwrap();
    problem(response, 405, "method-not-allowed").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_sessions_is_not_enough_to_end_or_even_count_them_so() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let (_, secret) = app.given_client(&[Scope::SessionsRead, Scope::SessionsCreate]).await;
    for body in [json!({ "all": true }), json!({ "all": true, "dry_run": true }), json!({})] {
        let request = app.anonymous_admin(Method::POST, "/admin/sessions/revoke").bearer_auth(&secret).json(&body);
        problem(request.send().await.unwrap(), 403, "insufficient-scope").await;
    }
    let request = app.anonymous_admin(Method::POST, "/admin/sessions/revoke").json(&json!({ "all": true }));
    problem(request.send().await.unwrap(), 401, "no-credential").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
}
