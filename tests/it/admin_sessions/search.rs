//! Finding sessions by a filter: what each member means, and that a page takes the same work however many rows there are.

use std::time::Duration;

use ephemint::{
    clock::Clock as _,
    domain::{session::SessionStatus, session_filter::FilterMember},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{encoded, ids_of, ok, rfc3339};
use crate::support::{answer::problem, app::TestApp, rows::Rows};

/// The ids that a query finds, page by page, and how many pages that took.
async fn found(app: &TestApp, query: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = ok(app, Method::GET, &format!("/admin/sessions?{query}{cursor}")).await;
        ids.extend(ids_of(&page));
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { return (ids, pages) };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_narrows_and_all_together_narrow_most() {
    let app = TestApp::spawn().await;
    let old = app.given(json!({ "subject": "alice", "amr": ["pwd"], "ip": "203.0.113.9", "device": "x" })).await;
    let start = app.clock.now();
    app.advance(Duration::from_secs(600)).await;
    let middle = app.given(json!({ "subject": "bob", "amr": ["pwd", "otp"], "ip": "203.0.113.77" })).await;
    app.database
        .execute("UPDATE session SET user_agent = 'Firefox', network = '192.0.2.0/24' WHERE subject = 'bob'")
        .await;
    app.advance(Duration::from_secs(600)).await;
    let new = app.given(json!({ "subject": "alice", "ip": "2001:db8::7" })).await;
    app.database.execute("UPDATE session SET start_method = 'password' WHERE ip = '2001:db8::7'").await;
    let at = |seconds| encoded(&rfc3339(start + Duration::from_secs(seconds)));
    let seconds = (start + Duration::from_secs(1_200)).unix_timestamp();
    let all = [&new, &middle, &old];
    for (query, expected) in [
        (String::new(), &all[..]),
        ("subject=alice".to_owned(), &[&new, &old]),
        (format!("started_after={}", at(600)), &[&new, &middle]),
        (format!("started_before={}", at(600)), &[&old]),
        (format!("started_after={}&started_before={}", at(1), at(1_200)), &[&middle]),
        (format!("started_after={seconds}"), &[&new]),
        (format!("seen_after={}", at(600)), &[&new, &middle]),
        (format!("seen_before={}", at(600)), &[&old]),
        ("ip=203.0.113.9".to_owned(), &[&old]),
        ("ip=203.0.113.0/24".to_owned(), &[&middle, &old]),
        ("ip=192.0.2.0/24".to_owned(), &[&middle]),
        ("ip=192.0.2.4".to_owned(), &[]),
        ("ip=::/0".to_owned(), &[&new]),
        ("start_method=password".to_owned(), &[&new]),
        ("start_method=admin_api".to_owned(), &[&middle, &old]),
        ("user_agent=Firefox".to_owned(), &[&middle]),
        ("user_agent=fire".to_owned(), &[]),
        ("amr=pwd".to_owned(), &[&middle, &old]),
        ("amr=otp".to_owned(), &[&middle]),
        ("amr=ot".to_owned(), &[]),
        (format!("amr=pwd&ip=203.0.113.0/24&started_before={}&subject=bob", at(1_300)), &[&middle]),
        ("amr=otp&subject=alice".to_owned(), &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|session| session.id.clone()).collect();
        for limit in ["", "&limit=1"] {
            assert_eq!(found(&app, &format!("{query}{limit}")).await.0, expected, "{query}{limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_in_the_filter_is_the_status_that_is_shown() {
    let app = TestApp::spawn_with("session.idle_timeout = '10m'\nsession.absolute_timeout = '1h'").await;
    let past = app.clock.now() - Duration::from_mins(70);
    // Started one a minute, of eleven subjects; those of the last ten minutes are alive unless something else is said of them.
    let mut rows = Rows::of(71, past);
    (rows.apart, rows.lifetime) = (Duration::from_mins(1), Duration::from_hours(1));
    (rows.subject, rows.seen) =
        ("'subject-' || i % 11", "CASE WHEN i % 3 = 0 THEN t ELSE t + interval '59 minutes' END");
    rows.revoked = "CASE WHEN i % 7 = 0 THEN t END";
    rows.store(&app.database).await;
    app.database
        .execute(
            "UPDATE session SET reauthenticate_since = auth_time WHERE subject = 'subject-4';
             INSERT INTO subject_state (subject, revocation_epoch, revoked_at) VALUES ('subject-5', 1, '2026-01-01');
             INSERT INTO subject_state (subject, disabled_at) VALUES ('subject-6', '2026-01-01');",
        )
        .await;

    let (all, _) = found(&app, "limit=200").await;
    let mut seen = 0;
    let mut by_status = std::collections::HashMap::<String, Vec<String>>::new();
    for id in &all {
        let shown = ok(&app, Method::GET, &format!("/admin/sessions/{id}")).await;
        by_status.entry(shown["status"].as_str().unwrap().to_owned()).or_default().push(id.clone());
    }
    for status in SessionStatus::ALL.map(SessionStatus::as_str) {
        let expected = by_status.remove(status).unwrap_or_default();
        assert!(!expected.is_empty(), "nothing is {status}: the test says nothing of it");
        assert_eq!(found(&app, &format!("status={status}&limit=200")).await.0, expected, "{status}");
        seen += expected.len();
    }
    assert_eq!((seen, by_status.len()), (71, 0));
    let (live, ended) = (found(&app, "status=live&limit=200").await.0, found(&app, "status=ended&limit=200").await.0);
    let mut together: Vec<_> = live.iter().chain(&ended).cloned().collect();
    together.sort();
    together.reverse();
    assert_eq!(together, all);
    app.database.execute("UPDATE global_state SET revocation_epoch = 1, revoked_at = '2026-01-01'").await;
    assert_eq!(found(&app, "status=live").await.0, Vec::<String>::new());
    assert_eq!(found(&app, "status=revoked&limit=200").await.0.len(), 71);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_few_rows_fit_is_found_over_several_short_pages_and_never_missed() {
    let app = TestApp::spawn().await;
    let mut rows = Rows::of(100_000, app.clock.now() - Duration::from_hours(1));
    rows.ip = "CASE WHEN i IN (2, 50000, 99999) THEN '203.0.113.9' ELSE '198.51.100.1' END";
    rows.store(&app.database).await;
    let (ids, pages) = found(&app, "ip=203.0.113.9").await;
    assert_eq!((ids.len(), pages), (3, 3), "41 000 rows are looked at for one page");
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    let (ids, pages) = found(&app, "ip=203.0.113.9&subject=subject-99").await;
    assert_eq!((ids.len(), pages), (1, 1), "a subject has few rows");
    let from = encoded(&rfc3339(app.clock.now() - Duration::from_hours(1) + Duration::from_millis(99_000)));
    let (ids, pages) = found(&app, &format!("ip=203.0.113.9&started_after={from}")).await;
    assert_eq!((ids.len(), pages), (1, 1), "the time of the start bounds the search");
    let page = ok(&app, Method::GET, "/admin/sessions?limit=200&status=revoked").await;
    assert_eq!(page["sessions"], json!([]));
    assert!(page["next_cursor"].is_string(), "an empty page may have a successor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_not_understood_is_named() {
    let app = TestApp::spawn().await;
    for member in FilterMember::ALL {
        let response = app.admin(Method::GET, &format!("/admin/sessions?{}=", member.as_str())).send().await.unwrap();
        let document = problem(response, 400, "invalid-field").await;
        assert!(document["detail"].as_str().unwrap().starts_with(&format!("{}: ", member.as_str())), "{document}");
    }
    for (name, said) in [
        ("stauts", "unknown query parameter stauts; this route takes subject, started_after"),
        ("Status", "unknown query parameter; "),
    ] {
        let response = app.admin(Method::GET, &format!("/admin/sessions?{name}=live")).send().await.unwrap();
        let document = problem(response, 400, "bad-request").await;
        assert!(document["detail"].as_str().unwrap().starts_with(said), "{document}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_filter_asks_about_is_shown() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    app.database.execute("UPDATE session SET user_agent = 'Firefox', network = '192.0.2.0/24'").await;
    let path = format!("/admin/sessions/{}", session.id);
    let told =
        |shown: &Value| ["start_method", "user_agent", "network", "revoke_reason"].map(|name| shown[name].clone());
    let shown = ok(&app, Method::GET, &path).await;
    assert_eq!(told(&shown), [json!("admin_api"), json!("Firefox"), json!("192.0.2.0/24"), Value::Null]);
    assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(ok(&app, Method::GET, &path).await["revoke_reason"], "admin");
}
