//! However many end, memory and bytes are bounded, and beyond the bound the feed says that it cannot say.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{feed, get, refuses, revoke};
use crate::support::{app::TestApp, database::eventually};

/// Sessions of one subject each, made behind the service's back; ids as if they had started at the beginning of 2026.
async fn given_many(app: &TestApp, count: u32) {
    let insert = format!(
        "INSERT INTO session (session_id, token_digest, subject, created_at, auth_time, last_seen_at, expires_at, subject_epoch,
                              global_epoch, start_method, amr, claims)
         SELECT ('019b7a00-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, sha256(n::text::bytea), 'mass' || n, now(), now(),
                now(), now() + interval '12 hours', 0, 0, 'admin_api', '{{}}', '{{}}'
           FROM generate_series(1, {count}) AS n"
    );
    app.database.execute(&insert).await;
}

const REVOKE_ALL: &str = "UPDATE session SET revoked_at = created_at, revoke_reason = 'admin' WHERE subject LIKE 'mass%' AND revoked_at IS NULL";

async fn named(app: &TestApp) -> Option<Value> {
    (get(app, "", None).await.status() == StatusCode::OK).then_some(())?;
    Some(feed(app).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_sessions_revoked_one_by_one_are_all_named() {
    let app = TestApp::spawn_with("database.query_timeout = '20s'\nexchange.max_staleness = '20s'").await;
    given_many(&app, 100_000).await;
    let (ended, alive) = (app.given_session("alice").await, app.given_session("bob").await);
    feed(&app).await;
    app.database.execute(REVOKE_ALL).await;
    revoke(&app, &ended).await;
    let whole = async || {
        let feed = named(&app).await?;
        (feed["sessions"].as_array().unwrap().len() == 100_001).then_some(feed)
    };
    let feed = eventually("all are named", whole).await;
    assert!(refuses(&feed, &ended.id) && !refuses(&feed, &alive.id));
    // The follower goes on as before.
    assert_eq!(app.exchange(&alive.cookie()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_bound_the_feed_cannot_say_and_comes_back_by_itself() {
    let app = TestApp::spawn_with("revocations.max_entries = 100\ntoken.ttl = '5s'\nrevocations.leeway = '0s'").await;
    given_many(&app, 101).await;
    let alive = app.given_session("alice").await;
    feed(&app).await;
    app.database.execute(REVOKE_ALL).await;
    let status = async || get(&app, "", None).await.status();
    eventually("it cannot say", async || (status().await == StatusCode::SERVICE_UNAVAILABLE).then_some(())).await;
    assert_eq!(app.exchange(&alive.cookie()).await.status(), StatusCode::OK, "exchanges go on");
    // Past the window and the time that transactions may take; the log is dated by the database's clock.
    app.database.execute("UPDATE revocation_log SET logged_at = logged_at - interval '307 seconds'").await;
    app.advance(Duration::from_secs(10)).await;
    let alive = app.given_session("bob").await;
    eventually("it can again", async || (status().await == StatusCode::OK).then_some(())).await;
    revoke(&app, &alive).await;
    assert!(refuses(&feed(&app).await, &alive.id));
}
