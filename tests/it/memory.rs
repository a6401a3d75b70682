//! Sessions and tokens in memory: what is reused, what ends it, and how little the database is asked.

mod on_its_way;

use std::{collections::HashSet, time::Duration};

use ephemint::{service::session_count::SessionCount, storage::sessions::SessionStore};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{
    app::{COOKIE, Started, TestApp, bearer, header, payload, sample},
    database::{TestDatabase, eventually},
    proxy::DatabaseProxy,
};

const FIND: &str = "session/read_for_exchange";

/// How many statements have looked for presented tokens.
async fn lookups(app: &TestApp) -> f64 {
    sample(&app.metrics().await, "ephemint_database_queries_total", &[FIND])
}

async fn signatures(app: &TestApp) -> f64 {
    sample(&app.metrics().await, "ephemint_tokens_signed_total", &[])
}

async fn exchanges(app: &TestApp, source: &str) -> f64 {
    sample(&app.metrics().await, "ephemint_exchanges_total", &["outcome=\"issued\"", &format!("source=\"{source}\"")])
}

/// When the last reading for exchanges began that is in this state, in microseconds since 1970.
async fn last_reading(app: &TestApp, state: &str) -> i64 {
    let begun = "SELECT coalesce((extract(epoch FROM max(query_start)) * 1000000)::bigint, 0) FROM pg_stat_activity
                  WHERE datname = current_database() AND query LIKE '-- session/read_for_exchange%'";
    app.database.count(&format!("{begun} {state}")).await
}

/// A service that has read the revocation log, so that it believes its memory from the start.
async fn following(more: &str) -> TestApp {
    let app = TestApp::spawn_with(more).await;
    app.follower.poll().await.unwrap();
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_use_is_neither_read_nor_signed_for_again() {
    let app = following("").await;
    let session = app.given_session("alice").await;
    let token = app.access_token("orders", &session).await;
    let (reads, signed) = (lookups(&app).await, signatures(&app).await);
    for _ in 0..50 {
        assert_eq!(app.access_token("orders", &session).await, token);
    }
    assert!((lookups(&app).await - reads).abs() < 0.5);
    assert!((signatures(&app).await - signed).abs() < 0.5);
    assert!((exchanges(&app, "token_cache").await - 50.0).abs() < 0.5);
    assert!((exchanges(&app, "database").await - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_reused_until_half_of_its_life_is_gone() {
    let app = following("").await;
    let session = app.given_session("alice").await;
    let first = app.access_token("orders", &session).await;
    let (iat, exp) = (payload(&first)["iat"].as_i64().unwrap(), payload(&first)["exp"].as_i64().unwrap());
    let mut seen = HashSet::from([first]);
    for _ in 0..100 {
        app.advance(Duration::from_secs(1)).await;
        app.follower.poll().await.unwrap();
        let token = app.access_token("orders", &session).await;
        let left = payload(&token)["exp"].as_i64().unwrap() - app.clock_seconds();
        assert!(left * 2 >= exp - iat, "{left} s left of {}", exp - iat);
        seen.insert(token);
    }
    assert!((3..=6).contains(&seen.len()), "{} tokens in 100 s", seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_input_of_the_decision_has_its_own_token() {
    let app = following("").await;
    let [alice, bob] = [app.given_session("alice").await, app.given_session("bob").await];
    let orders = app.access_token("orders", &alice).await;
    assert_eq!(payload(&app.access_token("legacy", &alice).await)["aud"], "legacy");
    assert_eq!(payload(&app.access_token("orders", &bob).await)["sub"], "bob");
    assert_eq!(app.access_token("orders", &alice).await, orders);

    // Another key signs: what the old one signed is not handed out any more.
    let rotated = app.admin(Method::POST, "/admin/keys/rotate?compromised=true").send().await.unwrap();
    assert!(rotated.status().is_success(), "{}", rotated.status());
    let after = app.access_token("orders", &alice).await;
    assert_ne!(header(&after)["kid"], header(&orders)["kid"]);

    // The session itself changes.
    app.database.execute("UPDATE session SET amr = '{pwd,otp}', auth_time = auth_time + interval '1 second'").await;
    app.follower.poll().await.unwrap();
    let stronger = app.access_token("orders", &alice).await;
    assert_eq!(payload(&stronger)["amr"], json!(["pwd", "otp"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_a_session_ends_it_in_memory_too() {
    let app = following("").await;
    let ends = [
        "UPDATE session SET revoked_at = created_at, revoke_reason = 'admin' WHERE subject = 'alice'",
        "INSERT INTO subject_state (subject, revocation_epoch, revoked_at) VALUES ('alice', 1, TIMESTAMPTZ '2026-01-01')
             ON CONFLICT (subject) DO UPDATE SET revocation_epoch = subject_state.revocation_epoch + 1",
        "UPDATE global_state SET revocation_epoch = revocation_epoch + 1",
        "UPDATE subject_state SET disabled_at = TIMESTAMPTZ '2026-01-01' WHERE subject = 'alice'",
        "SET search_path = ''; UPDATE public.session SET revoked_at = created_at, revoke_reason = 'admin' WHERE subject = 'bob'",
        "DELETE FROM session WHERE subject = 'bob'",
        "TRUNCATE session CASCADE",
    ];
    for end in ends {
        app.database.execute("UPDATE subject_state SET disabled_at = NULL").await;
        let [alice, bob] = [app.given_session("alice").await, app.given_session("bob").await];
        for session in [&alice, &bob] {
            assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
            assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
        }
        // By hand, behind the service's back.
        app.database.execute(end).await;
        app.follower.poll().await.unwrap();
        let reads = lookups(&app).await;
        let statuses = [app.exchange(&alice.cookie()).await.status(), app.exchange(&bob.cookie()).await.status()];
        assert!(statuses.contains(&StatusCode::UNAUTHORIZED), "{end}");
        assert!(lookups(&app).await > reads, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_that_revokes_refuses_at_once() {
    let app = following("").await;
    for path in [None, Some("/admin/sessions?subject=alice")] {
        let session = app.given_session("alice").await;
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
        let path = path.map_or_else(|| format!("/admin/sessions/{}", session.id), str::to_owned);
        assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let session = app.given_session("alice").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    let logout = app.public(Method::POST, "/logout").header("cookie", session.cookie()).send().await.unwrap();
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_audience_reads_the_row_each_time() {
    let app = following("").await;
    let session = app.given_session("alice").await;
    let token = app.access_token("strict", &session).await;
    let (reads, signed) = (lookups(&app).await, signatures(&app).await);
    for _ in 0..5 {
        assert_eq!(app.access_token("strict", &session).await, token, "signed again for nothing");
    }
    assert!((lookups(&app).await - reads - 5.0).abs() < 0.5);
    assert!((signatures(&app).await - signed).abs() < 0.5);
    // Nobody tells this replica, and it need not be told.
    app.database.execute("ALTER TABLE session DISABLE TRIGGER session_changed").await;
    app.database.execute("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin'").await;
    assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_word_from_the_database_memory_is_believed_for_two_seconds_and_not_longer() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "keys.poll_interval = '60s'").await;
    app.follower.poll().await.unwrap();
    let session = app.given_session("alice").await;
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    let stranger = format!("{COOKIE}=ems_{}", "A".repeat(43));

    let healthy = async || sample(&app.metrics().await, "ephemint_invalidation_healthy", &[]) > 0.5;
    assert!(healthy().await);

    proxy.close();
    app.clock.advance(Duration::from_millis(1_999));
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
    assert_eq!(app.exchange(&stranger).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    app.clock.advance(Duration::from_millis(1));
    assert!(!healthy().await);
    assert!(sample(&app.metrics().await, "ephemint_invalidation_lag_seconds", &[]) > 1.5);
    let undecided = app.exchange(&session.cookie()).await;
    assert_eq!(undecided.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!undecided.headers().contains_key("authorization"));

    // Revoked where this replica cannot see it.
    app.database.execute("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin'").await;
    proxy.reopen();
    let status = eventually("a decision", async || {
        let status = app.exchange(&session.cookie()).await.status();
        assert_ne!(status, StatusCode::OK);
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some(status)
    })
    .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_requests_of_one_session_are_one_query_and_one_signature() {
    let app = following("exchange.timeout = '20s'\ndatabase.query_timeout = '20s'").await;
    let session = app.given_session("alice").await;
    let (reads, signed) = (lookups(&app).await, signatures(&app).await);
    let lock = app.database.client().await;
    lock.batch_execute("BEGIN; LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let cookie = session.cookie();
    let release = async {
        // All of them have arrived when they are counted as in flight.
        eventually("64 requests in flight", async || {
            (sample(&app.metrics().await, "ephemint_exchanges_in_flight", &[]) > 63.5).then_some(())
        })
        .await;
        lock.batch_execute("COMMIT").await.unwrap();
    };
    let (answers, ()) = tokio::join!(join_all((0..64).map(|_| app.exchange(&cookie))), release);
    let tokens: HashSet<_> = answers.iter().map(bearer).collect();
    assert_eq!(tokens.len(), 1);
    assert!((lookups(&app).await - reads - 1.0).abs() < 0.5, "more than one query");
    assert!((signatures(&app).await - signed - 1.0).abs() < 0.5, "more than one signature");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tokens_share_statements() {
    let app = following("exchange.timeout = '20s'\ndatabase.query_timeout = '20s'").await;
    let session = app.given_session("alice").await;
    let cookies: Vec<_> = (0..200).map(|number| format!("{COOKIE}=ems_{number:0>42}A")).collect();
    let lock = app.database.client().await;
    lock.batch_execute("BEGIN; LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let before = lookups(&app).await;
    let release = async {
        eventually("200 requests in flight", async || {
            (sample(&app.metrics().await, "ephemint_exchanges_in_flight", &[]) > 199.5).then_some(())
        })
        .await;
        lock.batch_execute("COMMIT").await.unwrap();
    };
    let (answers, ()) = tokio::join!(join_all(cookies.iter().map(|cookie| app.exchange(cookie))), release);
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::UNAUTHORIZED));
    let statements = lookups(&app).await - before;
    assert!(statements <= 20.0, "{statements} statements for 200 unknown tokens");
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_was_under_way_is_believed_no_longer_than_memory() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let slow = "gateway.workers = 1
         [database]
         query_timeout = '20s'
         pool_size = 1
         [exchange]
         timeout = '60s'
         max_staleness = '20s'";
    let app = TestApp::spawn_on(database, &url, slow).await;
    let [session, other] = [app.given_session("alice").await, app.given_session("bob").await];
    let cookie = session.cookie();
    app.follower.poll().await.unwrap();
    // A connection is open, and the statement prepared.
    assert_eq!(app.exchange(&other.cookie()).await.status(), StatusCode::OK);
    let in_flight = async || sample(&app.metrics().await, "ephemint_exchanges_in_flight", &[]);
    let before = last_reading(&app, "").await;
    // Nobody tells this replica what happens, and it cannot ask.
    let lock = app.database.client().await;
    app.database.execute("ALTER TABLE session DISABLE TRIGGER session_changed").await;
    lock.batch_execute("BEGIN; LOCK TABLE revocation_log IN ACCESS EXCLUSIVE MODE").await.unwrap();

    proxy.delay(Duration::from_secs(2));
    let joining = async {
        // The row has been read, and the answer is on its way.
        let is_read = async || last_reading(&app, "AND state = 'idle'").await > before;
        eventually("the row was read", async || is_read().await.then_some(())).await;
        let meddling = async {
            eventually("both are waiting", async || (in_flight().await > 1.5).then_some(())).await;
            app.database.execute("UPDATE session SET revoked_at = created_at, revoke_reason = 'admin'").await;
            app.clock.advance(Duration::from_secs(21));
            proxy.delay(Duration::ZERO);
        };
        tokio::join!(app.exchange(&cookie), meddling).0
    };
    let (first, joined) = tokio::join!(app.exchange(&cookie), joining);
    assert_eq!(first.status(), StatusCode::OK, "read before the revocation, and answered in time");
    assert_eq!(joined.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_and_who_is_alive_can_be_watched() {
    let app = following("").await;
    let sessions = [app.given_session("alice").await, app.given_session("bob").await];
    for session in &sessions {
        app.access_token("orders", session).await;
        app.access_token("legacy", session).await;
    }
    let metrics = app.metrics().await;
    let entries = |cache| sample(&metrics, "ephemint_cache_entries", &[&format!("cache=\"{cache}\"")]);
    assert!((entries("sessions") - 2.0).abs() < 0.5 && (entries("tokens") - 4.0).abs() < 0.5, "{metrics}");

    let seen = sample(&metrics, "ephemint_revocation_propagation_seconds_count", &[]);
    let delete = app.admin(Method::DELETE, &format!("/admin/sessions/{}", sessions[0].id));
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::OK);
    let metrics = app.metrics().await;
    assert!(sample(&metrics, "ephemint_revocation_propagation_seconds_count", &[]) > seen + 0.5);

    let count = SessionCount::new(
        SessionStore::new(app.state.lookups.clone(), app.state.database.clone()),
        app.state.sessions.rules().idle,
        app.clock.clone(),
        app.state.metrics.clone(),
    );
    count.step().await.unwrap();
    assert!((sample(&app.metrics().await, "ephemint_sessions_active", &[]) - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_used_from_memory_does_not_go_idle() {
    let app = following("session.idle_timeout = '10m'").await;
    let session: Started = app.given_session("alice").await;
    for _ in 0..30 {
        app.advance(Duration::from_secs(60)).await;
        app.follower.poll().await.unwrap();
        assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::OK);
        app.activity.flush().await.unwrap();
    }
    let seen = "SELECT count(*) FROM session WHERE last_seen_at > created_at + interval '28 minutes'";
    assert_eq!(app.database.count(seen).await, 1);
    app.advance(Duration::from_secs(12 * 60)).await;
    app.follower.poll().await.unwrap();
    assert_eq!(app.exchange(&session.cookie()).await.status(), StatusCode::UNAUTHORIZED);
}
