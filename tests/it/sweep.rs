//! What is over goes, after its time and no earlier, and nothing grows for ever.

use std::time::Duration;

use ephemint::{
    clock::{Clock as _, ManualClock},
    domain::{
        event::{Changed, Event, Place},
        session::SessionId,
        subject::Subject,
    },
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use time::OffsetDateTime;

use crate::support::{
    app::{TestApp, rfc3339, sample},
    database::TestDatabase,
    rows::Rows,
};

const DAY: Duration = Duration::from_hours(24);
const LOGGED: &str = "SELECT count(*) FROM revocation_log";
const STORED: &str = "SELECT count(*) FROM session";
const TABLES: [&str; 4] = ["session", "former_token", "revocation_log", "login_throttle"];

async fn swept(app: &TestApp, table: &str) -> f64 {
    sample(&app.metrics().await, "ephemint_rows_swept_total", &[&format!("table=\"{table}\"")])
}

async fn sweep(app: &TestApp) {
    while app.sweep.step().await.unwrap() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_session_is_kept_for_its_time_and_then_forgotten_with_its_tokens() {
    let app =
        TestApp::spawn_with("session.keep_ended = '10d'\nsession.absolute_timeout = '1d'\nsession.idle_timeout = '1d'")
            .await;
    let [expires, revoked] = [app.given_session("alice").await, app.given_session("bob").await];
    let renewed = app
        .public(Method::POST, "/session/renew")
        .header("cookie", revoked.cookie())
        .header("origin", "https://app.example.com")
        .send();
    assert_eq!(renewed.await.unwrap().status(), StatusCode::OK);
    let path = format!("/admin/sessions/{}", revoked.id);
    assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
    let logged = app.database.count(LOGGED).await;

    // Revoked today: kept until the tenth day is over. Expired tomorrow: a day longer.
    for (days, stored) in [(9, 2), (2, 1), (1, 0)] {
        app.advance(DAY * days).await;
        sweep(&app).await;
        assert_eq!(app.database.count(STORED).await, stored, "after {days} more days");
    }
    assert_eq!(app.database.count("SELECT count(*) FROM former_token").await, 0);
    assert_eq!(app.database.count(LOGGED).await, logged, "what ended long ago is no news");
    let counted = [swept(&app, "session").await, swept(&app, "former_token").await];
    assert!((counted[0] - 2.0).abs() < 0.1 && (counted[1] - 1.0).abs() < 0.1, "{counted:?}");
    let response = app.admin(Method::GET, &format!("/admin/sessions/{}", expires.id)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_person_deletes_is_news_even_beside_a_sweep() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    let client = app.database.client().await;
    // On a connection that has swept, and in the very transaction of one.
    let begin =
        "BEGIN; SELECT set_config('ephemint.swept_before', extract(epoch FROM now() - interval '1 day')::text, true)";
    client.batch_execute(&format!("{begin}; COMMIT; DELETE FROM session")).await.unwrap();
    assert_eq!(app.database.count(LOGGED).await, 1);
    app.follower.poll().await.unwrap();
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED, "it was kept in memory");
    app.given_session("alice").await;
    client.batch_execute(&format!("{begin}; DELETE FROM session; COMMIT")).await.unwrap();
    assert_eq!(app.database.count(LOGGED).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_go_in_batches_past_rows_that_somebody_holds_and_replicas_may_sweep_together() {
    let app = TestApp::spawn_with("session.keep_ended = '1h'").await;
    Rows::of(3_000, app.clock.now()).store(&app.database).await;
    let other =
        TestApp::spawn_at(app.clock.clone(), app.database.clone(), &app.database.url, "session.keep_ended = '1h'")
            .await;
    let holder = app.database.client().await;
    holder.batch_execute("BEGIN; SELECT 1 FROM session WHERE subject = 'subject-7' FOR UPDATE").await.unwrap();
    app.advance(DAY).await;
    let alive = app.given_session("alice").await;
    tokio::join!(sweep(&app), sweep(&other));
    assert_eq!(app.database.count(STORED).await, 31, "30 are held, one is alive");
    holder.batch_execute("COMMIT").await.unwrap();
    sweep(&app).await;
    assert_eq!(app.database.count(STORED).await, 1);
    assert_eq!(app.database.count(LOGGED).await, 0);
    assert_eq!(app.exchange(&alive.cookie()).await.status(), StatusCode::OK);
    let total = swept(&app, "session").await + swept(&other, "session").await;
    assert!((total - 3_000.0).abs() < 0.1, "{total}");
    assert!(sample(&app.metrics().await, "ephemint_sweep_duration_seconds_count", &["table=\"session\""]) > 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_nobody_has_taken_are_forgotten_too() {
    let hooks = "session.keep_ended = '1h'\n[hooks]\nurl = 'http://127.0.0.1:1/'\nsecret = 'whsec_dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0'";
    let app = TestApp::spawn_with(hooks).await;
    let event = Event::NewDevice {
        at: app.clock.now(),
        subject: Subject::parse("alice").unwrap(),
        session_id: SessionId::generate(app.clock.now()).unwrap(),
        new: Changed::Network,
        place: Place::default(),
    };
    app.events.record(&event).await;
    let waiting = "SELECT count(*) FROM hook_delivery";
    sweep(&app).await;
    assert_eq!(app.database.count(waiting).await, 1);
    app.clock.advance(Duration::from_hours(2));
    sweep(&app).await;
    assert_eq!(app.database.count(waiting).await, 0);
    assert!((swept(&app, "hook_delivery").await - 1.0).abs() < 0.1);
}

/// Bytes of a table with its indexes, and its dead rows as far as the server has counted them.
async fn size(client: &tokio_postgres::Client, table: &str) -> (i64, i64) {
    let sql = "SELECT pg_total_relation_size(relid), n_dead_tup FROM pg_stat_user_tables WHERE relname = $1";
    let row = client.query_one(sql, &[&table]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Five weeks in which three hundred people sign in each day, use their sessions, and leave in every way; kept for a week.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the sizes are for people to look at")]
async fn a_month_of_coming_and_going_leaves_the_tables_as_large_as_a_week_of_it() {
    let clock = std::sync::Arc::new(ManualClock::at(OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()));
    let database = TestDatabase::migrated().await;
    let url = database.url.clone();
    let app = TestApp::spawn_at(clock, database, &url, "session.keep_ended = '7d'").await;
    let client = app.database.client().await;
    let mut sizes = Vec::new();
    println!("day  sessions   {}", TABLES.map(|table| format!("{table:>14} KiB (dead)")).join("  "));
    for day in 0..35 {
        let mut rows = Rows::of(300, app.clock.now());
        rows.apart = Duration::from_mins(4);
        rows.store(&app.database).await;
        let today = rfc3339(app.clock.now());
        app.database.execute(&a_day(&today)).await;
        // Some are ended by an operator, the others go idle or have signed out.
        app.advance(DAY / 2).await;
        let body = json!({ "user_agent": "Firefox", "subject": format!("subject-{day}") });
        let ended = app.admin(Method::POST, "/admin/sessions/revoke").json(&body).send().await.unwrap();
        assert_eq!(ended.status(), StatusCode::OK);
        app.advance(DAY / 2).await;
        sweep(&app).await;
        client.batch_execute("DELETE FROM revocation_log").await.unwrap();
        let (mut line, mut bytes_today) = (Vec::new(), Vec::new());
        for table in TABLES {
            let (bytes, dead) = size(&client, table).await;
            line.push(format!("{:>14} KiB ({dead:>4})", bytes / 1_024));
            bytes_today.push(bytes);
            // What autovacuum does in its own rhythm, which is no part of the claim.
            client.batch_execute(&format!("VACUUM {table}")).await.unwrap();
        }
        println!("{day:>3}  {:>8}   {}", app.database.count(STORED).await, line.join("  "));
        sizes.push(bytes_today);
    }
    for (column, table) in TABLES.iter().enumerate() {
        let (week, month) = (sizes[12][column], sizes[34][column]);
        assert!(month <= week + week / 4 + 65_536, "{table}: {week} bytes after 12 days, {month} after 35");
    }
    let stored = app.database.count(STORED).await;
    assert!((1_800..=2_700).contains(&stored), "eight days of 300 each, less those revoked earlier: {stored}");
    let options = "SELECT count(*) FROM pg_class WHERE relname = 'session'
                      AND reloptions @> ARRAY['autovacuum_vacuum_scale_factor=0.02', 'fillfactor=80']";
    assert_eq!(app.database.count(options).await, 1);
}

/// What happens to the sessions that were started on a day: each is used six times, every third changes its token twice, half are
/// signed out; and three hundred attempts to sign in fail.
fn a_day(today: &str) -> String {
    let uses = (1..=6).map(|hour| {
        format!("UPDATE session SET last_seen_at = created_at + interval '{hour} hours' WHERE created_at >= '{today}';")
    });
    let renewals = (0..2).map(|round| {
        format!(
            "WITH old AS (SELECT session_id, token_digest, created_at FROM session
                           WHERE created_at >= '{today}' AND hashtext(session_id::text) % 3 = 0),
                  kept AS (INSERT INTO former_token (token_digest, session_id, replaced_at, valid_until)
                           SELECT token_digest, session_id, created_at, created_at FROM old)
             UPDATE session AS s SET token_digest = sha256(old.token_digest || '{round}'::bytea)
               FROM old WHERE s.session_id = old.session_id;"
        )
    });
    let rest = format!(
        "INSERT INTO login_throttle (key_digest, kind, failures, counted_at, forgotten_at)
         SELECT sha256(('{today}' || i)::bytea), 'account', 1, '{today}', '{today}'::timestamptz + interval '10 hours'
           FROM generate_series(1, 300) AS i;
         UPDATE session SET revoked_at = created_at + interval '1 hour', revoke_reason = 'logout'
          WHERE created_at >= '{today}' AND hashtext(session_id::text) % 2 = 0;"
    );
    uses.chain(renewals).chain([rest]).collect()
}
