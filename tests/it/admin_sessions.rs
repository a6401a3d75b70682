//! `/admin/sessions` when all is well: start, list, show, revoke.

mod access;
mod bodies;
mod transfer;

use std::{collections::HashSet, time::Duration};

use ephemint::clock::{Clock as _, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{
    answer::problem,
    app::{Started, TestApp, payload, sample},
    database::eventually,
};

/// The answer to a `GET` or `DELETE`, which must succeed.
async fn ok(app: &TestApp, method: Method, path: &str) -> Value {
    let response = app.admin(method, path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

fn rfc3339(instant: OffsetDateTime) -> String {
    instant.format(&Rfc3339).unwrap()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_answers_with_the_token_once_and_the_session_keeps_what_was_said() {
    let app = TestApp::spawn().await;
    let now = app.clock.now();
    let body = json!({
        "subject": "alice", "amr": ["pwd", "otp"], "acr": "aal2", "auth_time": now.unix_timestamp() - 60,
        "claims": {"role": "admin", "nested": {"list": [1, -2, 2.5, true, null]}}, "device": "Firefox on Linux",
        "ip": "::ffff:203.0.113.9",
    });
    let response = app.admin(Method::POST, "/admin/sessions").json(&body).send().await.unwrap();

    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("set-cookie"), "the cookie is the browser's, not the caller's");
    let started: Value = response.json().await.unwrap();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    let (id, token) = (text("session_id"), text("session_token"));
    assert!(token.starts_with("ems_") && token.len() == 47, "{token}");
    let expires_at = rfc3339(now + Duration::from_secs(12 * 3_600));
    let expected = json!({
        "session_id": id, "session_token": token, "expires_at": expires_at,
        "set_cookie": format!("__Host-session={token}; Path=/; Secure; HttpOnly; SameSite=Lax"),
    });
    assert_eq!(started, expected);

    let shown = ok(&app, Method::GET, &format!("/admin/sessions/{id}")).await;
    let auth_time = OffsetDateTime::from_unix_timestamp(now.unix_timestamp() - 60).unwrap();
    let expected = json!({
        "session_id": id, "subject": "alice", "status": "active", "created_at": rfc3339(now),
        "auth_time": rfc3339(auth_time), "last_seen_at": rfc3339(now),
        "idle_expires_at": rfc3339(now + Duration::from_secs(30 * 60)), "expires_at": expires_at, "revoked_at": null, "reauthenticate_since": null,
        "amr": ["pwd", "otp"], "acr": "aal2",
        "claims": {"role": "admin", "nested": {"list": [1, -2, 2.5, true, null]}}, "device": "Firefox on Linux",
        "ip": "203.0.113.9",
    });
    assert_eq!(shown, expected);
    let claims = payload(&app.access_token("orders", &Started { id, token }).await);
    assert_eq!((&claims["sub"], &claims["role"]), (&json!("alice"), &json!("admin")));
    assert_eq!(claims["auth_time"], now.unix_timestamp() - 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_enough_and_null_counts_as_absent() {
    let app = TestApp::spawn().await;
    let nulls = json!({
        "subject": "bob", "amr": null, "acr": null, "auth_time": null, "claims": null, "device": null, "ip": null,
    });
    for body in [json!({ "subject": "bob" }), nulls] {
        let session = app.given(body).await;
        let shown = ok(&app, Method::GET, &format!("/admin/sessions/{}", session.id)).await;
        let defaults = ["amr", "acr", "claims", "device", "ip"].map(|field| shown[field].clone());
        assert_eq!(defaults, [json!([]), json!(null), json!({}), json!(null), json!(null)]);
        assert_eq!(shown["auth_time"], shown["created_at"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_follows_the_settings() {
    let more = "session.cookie_name = '__Host-id'\nsession.same_site = 'strict'\nsession.persistent = true";
    let app = TestApp::spawn_with(more).await;
    let body = json!({ "subject": "alice" });
    let response = app.admin(Method::POST, "/admin/sessions").json(&body).send().await.unwrap();
    let started: Value = response.json().await.unwrap();
    let (cookie, token) = (started["set_cookie"].as_str().unwrap(), started["session_token"].as_str().unwrap());
    assert_eq!(cookie, format!("__Host-id={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200"));
    assert_eq!(app.exchange(&format!("__Host-id={token}")).await.status(), StatusCode::OK);
    assert_eq!(app.exchange(&format!("__Host-session={token}")).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_texts_are_stored_and_returned_as_they_are() {
    let app = TestApp::spawn().await;
    for text in [
        "'; DROP TABLE session; --",
        "\" OR 1=1 --",
        "$1 %s %n \\x00 \\u0000",
        "*)(uid=*))(|(uid=*",
        "{{7*7}} ${jndi:ldap://x/a} <%= 1 %>",
        "<script>alert(1)</script>&amp;",
        "../../etc/passwd%00",
        "\u{202e}\u{2028}\u{fffd}\u{1f600}é\u{301}",
    ] {
        let body = json!({ "subject": text, "acr": text, "device": text, "claims": { "role": text, text: text } });
        let session = app.given(body).await;
        let shown = ok(&app, Method::GET, &format!("/admin/sessions/{}", session.id)).await;
        let stored = [&shown["subject"], &shown["acr"], &shown["device"], &shown["claims"]["role"]];
        assert_eq!(stored, [text; 4], "{shown}");
        assert_eq!(shown["claims"][text], text);
        let claims = payload(&app.access_token("orders", &session).await);
        assert_eq!([&claims["sub"], &claims["role"]], [text; 2]);
        if text.contains('\u{fffd}') {
            continue;
        }
        let listed = ok(&app, Method::GET, &format!("/admin/sessions?subject={}", encoded(text))).await;
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "{text}");
        assert_eq!(listed["sessions"][0], shown);
    }
    let methods = json!(["';--", "*)(|", "{{7*7}}", "$1"]);
    let session = app.given(json!({ "subject": "%", "amr": methods })).await;
    assert_eq!(ok(&app, Method::GET, &format!("/admin/sessions/{}", session.id)).await["amr"], methods);
    let listed = ok(&app, Method::GET, "/admin/sessions?subject=%25").await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "a percent sign is no wildcard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_newest_first_without_gap_or_overlap() {
    let app = TestApp::spawn().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(app.given_session(if number % 2 == 0 { "even" } else { "odd" }).await.id);
        app.clock.advance(Duration::from_millis(1));
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/admin/sessions?limit=3".to_owned();
    let mut pages = 0;
    loop {
        let page = ok(&app, Method::GET, &path).await;
        seen.extend(ids_of(&page));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/admin/sessions?limit=3&cursor={cursor}");
        // What is started between two pages is newer than the cursor and shifts nothing.
        app.given_session("late").await;
    }
    assert_eq!((seen, pages), (ids.clone(), 3));

    let even = ok(&app, Method::GET, "/admin/sessions?subject=even").await;
    assert_eq!(ids_of(&even), ids.iter().step_by(2).cloned().collect::<Vec<_>>());
    let full = ok(&app, Method::GET, "/admin/sessions?subject=even&limit=4").await;
    assert_eq!(
        (ids_of(&full).len(), &full["next_cursor"]),
        (4, &Value::Null),
        "the last page is full and yet the last"
    );
    let none = ok(&app, Method::GET, "/admin/sessions?subject=nobody").await;
    assert_eq!(none, json!({ "sessions": [], "next_cursor": null }));
}

fn ids_of(page: &Value) -> Vec<String> {
    let sessions = page["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["session_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_not_understood_is_refused_by_name() {
    let app = TestApp::spawn().await;
    app.given_session("alice").await;
    for limit in ["1", "200"] {
        ok(&app, Method::GET, &format!("/admin/sessions?limit={limit}")).await;
    }
    let page = ok(&app, Method::GET, "/admin/sessions").await;
    assert!(!page.to_string().contains("ems_"), "no token is ever shown again");
    for (query, code, detail) in [
        ("limit=0", "invalid-field", "limit: "),
        ("limit=201", "invalid-field", "limit: "),
        ("limit=-1", "invalid-field", "limit: "),
        ("limit=", "invalid-field", "limit: "),
        ("limit=1.5", "invalid-field", "limit: "),
        ("limit=99999999999999999999", "invalid-field", "limit: "),
        ("cursor=", "invalid-field", "cursor: "),
        ("cursor=%27%20OR%201=1", "invalid-field", "cursor: "),
        ("cursor=0190A0B0-0000-7000-8000-000000000000", "invalid-field", "cursor: "),
        ("subject=", "invalid-field", "subject: "),
        ("subject=%20alice", "invalid-field", "subject: "),
        ("subject=a%0Ab", "invalid-field", "subject: "),
        ("subject=%00", "bad-request", "a query parameter"),
        ("subject=%ff", "bad-request", "a query parameter"),
        ("subject=alice&subject=bob", "bad-request", "a query parameter occurs twice"),
        ("status=active", "bad-request", "unknown query parameter"),
        ("Subject=alice", "bad-request", "unknown query parameter"),
    ] {
        let response = app.admin(Method::GET, &format!("/admin/sessions?{query}")).send().await.unwrap();
        let document = problem(response, 400, code).await;
        assert!(document["detail"].as_str().unwrap().starts_with(detail), "{query}: {document}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_says_how_it_ended_and_an_unknown_one_is_404() {
    let app = TestApp::spawn_with("session.idle_timeout = '10m'\nsession.absolute_timeout = '20m'").await;
    let [used, unused, revoked] = ["used", "unused", "revoked"].map(|subject| app.given_session(subject));
    let (used, unused, revoked) = (used.await, unused.await, revoked.await);
    let status = async |session: &Started| {
        let shown = ok(&app, Method::GET, &format!("/admin/sessions/{}", session.id)).await;
        shown["status"].as_str().unwrap().to_owned()
    };
    ok(&app, Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).await;
    assert_eq!(status(&revoked).await, "revoked");
    app.advance(Duration::from_secs(9 * 60)).await;
    app.access_token("orders", &used).await;
    assert_eq!([status(&used).await, status(&unused).await], ["active", "active"]);
    app.advance(Duration::from_secs(9 * 60)).await;
    assert_eq!([status(&used).await, status(&unused).await], ["active", "idle"]);
    app.advance(Duration::from_secs(2 * 60)).await;
    assert_eq!([status(&used).await, status(&unused).await, status(&revoked).await], ["expired", "expired", "revoked"]);

    for id in ["0190a0b0-0000-7000-8000-000000000000", &used.id.to_uppercase(), "x", "%27%3B--", "%00", &used.token] {
        for method in [Method::GET, Method::DELETE] {
            let response = app.admin(method, &format!("/admin/sessions/{id}")).send().await.unwrap();
            problem(response, 404, "unknown-session").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_dead_at_once_and_revoking_it_again_ends_nothing() {
    let app = TestApp::spawn().await;
    let [first, second] = [app.given_session("alice").await, app.given_session("alice").await];
    app.access_token("orders", &first).await;
    let path = format!("/admin/sessions/{}", first.id);
    let now = app.clock.now();
    let effective_by = rfc3339(now + Duration::from_secs(2));
    assert_eq!(ok(&app, Method::DELETE, &path).await, json!({ "revoked": 1, "effective_by": effective_by }));
    assert_eq!(app.exchange(&first.cookie()).await.status(), StatusCode::UNAUTHORIZED);

    app.advance(Duration::from_secs(60)).await;
    assert_eq!(ok(&app, Method::DELETE, &path).await["revoked"], 0);
    assert_eq!(ok(&app, Method::GET, &path).await["revoked_at"], rfc3339(now), "the first revocation stands");
    assert_eq!(app.exchange(&second.cookie()).await.status(), StatusCode::OK);
    for query in ["wait=none", "wait=", "wait=all&wait=all", "dry_run=true"] {
        let path = format!("/admin/sessions/{}?{query}", second.id);
        assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(app.exchange(&second.cookie()).await.status(), StatusCode::OK, "a refused revocation revokes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_wait_all_a_revoke_answers_only_when_it_is_effective_everywhere() {
    let app = TestApp::spawn_with("exchange.max_staleness = '300ms'\nexchange.timeout = '100ms'").await;
    // Another replica, which does not notice.
    app.database.execute("INSERT INTO replica VALUES (gen_random_uuid(), 0, 0, 60)").await;
    let [one, other] = [app.given_session("alice").await, app.given_session("alice").await];
    let one = format!("/admin/sessions/{}?wait=all", one.id);
    for path in [one.as_str(), "/admin/sessions?subject=alice&wait=all"] {
        let clock = SystemClock::new();
        let answer = ok(&app, Method::DELETE, path).await;
        assert!(clock.monotonic() >= Duration::from_millis(300), "{path}");
        assert_eq!(answer, json!({ "revoked": 1, "effective_by": rfc3339(app.clock.now()) }), "not in the future");
    }
    assert_eq!(app.exchange(&other.cookie()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_subject_counts_the_live_and_ends_all_that_came_before() {
    let app = TestApp::spawn_with("session.idle_timeout = '10m'\nsession.absolute_timeout = '20m'").await;
    let expired = app.given_session("alice").await;
    app.advance(Duration::from_secs(11 * 60)).await;
    let idle = app.given_session("alice").await;
    app.advance(Duration::from_secs(11 * 60)).await;
    let [live, other, revoked] = ["alice", "alice", "alice"].map(|subject| app.given_session(subject));
    let (live, other, revoked) = (live.await, other.await, revoked.await);
    let bystander = app.given_session("alice2").await;
    ok(&app, Method::DELETE, &format!("/admin/sessions/{}", revoked.id)).await;

    let none = ok(&app, Method::DELETE, "/admin/sessions?subject=al%25").await;
    assert_eq!(none["revoked"], 0, "a subject is no pattern");
    let answer = ok(&app, Method::DELETE, "/admin/sessions?subject=alice").await;
    let effective_by = rfc3339(app.clock.now() + Duration::from_secs(2));
    assert_eq!(answer, json!({ "revoked": 2, "effective_by": effective_by }));

    // In the same instant: what ends is decided by order, not by the clock.
    let fresh = app.given_session("alice").await;
    for session in [&expired, &idle, &live, &other, &revoked] {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
    }
    for session in [&fresh, &bystander] {
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    }
    let listed = ok(&app, Method::GET, "/admin/sessions?subject=alice").await;
    let revoked: HashSet<_> = ids_of(&listed).into_iter().filter(|id| *id != fresh.id).collect();
    assert_eq!(revoked.len(), 5);
    assert_eq!(ok(&app, Method::DELETE, "/admin/sessions?subject=alice").await["revoked"], 1, "only the fresh one");

    for (query, field) in [("", "subject: "), ("?subject=", "subject: "), ("?subject=alice2&wait=1", "wait: ")] {
        let response = app.admin(Method::DELETE, &format!("/admin/sessions{query}")).send().await.unwrap();
        let document = problem(response, 400, "invalid-field").await;
        assert!(document["detail"].as_str().unwrap().starts_with(field), "{document}");
    }
    let response = app.admin(Method::DELETE, "/admin/sessions?subject=alice2&all=true").send().await.unwrap();
    problem(response, 400, "bad-request").await;
    assert_eq!(app.exchange(&bystander.cookie()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_whose_client_hangs_up_is_carried_through_and_recorded() {
    let app = TestApp::spawn_with("database.query_timeout = '10s'").await;
    let session = app.given_session("alice").await;
    // Holds the row, so that the revocation waits in the middle of its statement.
    let holder = app.database.client().await;
    holder.batch_execute("BEGIN; SELECT 1 FROM session FOR UPDATE").await.unwrap();
    let mut client = TcpStream::connect(app.addresses.admin).await.unwrap();
    let (id, secret) = (&session.id, &app.secret);
    let request = format!("DELETE /admin/sessions/{id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    app.database.blocked("UPDATE session").await;

    // Hangs up with a reset, which drops the handler; the listener's one worker has seen it once it has answered others.
    client.set_zero_linger().unwrap();
    drop(client);
    for _ in 0..10 {
        assert_eq!(app.anonymous_admin(Method::GET, "/livez").send().await.unwrap().status(), StatusCode::OK);
    }
    holder.batch_execute("COMMIT").await.unwrap();

    eventually("the revocation is counted", async || {
        (sample(&app.metrics().await, "ephemint_sessions_ended_total", &["reason=\"admin\""]) >= 1.0).then_some(())
    })
    .await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
}
