//! Behind a pooler in transaction mode: everything works, limits hold, and nobody meets what others have set or prepared.

use std::time::Duration;

use ephemint::clock::{Clock as _, SystemClock};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::support::{
    app::{COOKIE, TestApp, sample},
    database::{TestDatabase, eventually},
    pooler::Pooler,
    program::{Serving, add_client, config_file},
    visitor::UNTHROTTLED,
};

const BEHIND: &str = "database.pooler = 'transaction'\ndatabase.migrate = false\n";

async fn app(pooler: &Pooler, more: &str) -> TestApp {
    let database = TestDatabase::migrated().await;
    let url = pooler.url(&database.name);
    TestApp::spawn_on(database, &url, &format!("{BEHIND}{more}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_of_a_sessions_life_works_on_shared_connections() {
    let pooler = Pooler::start(3).await;
    // Two services take turns on the same few connections, and name their statements alike.
    let patient = "exchange.timeout = '10s'\ndatabase.query_timeout = '10s'\ndatabase.wait_timeout = '10s'\n";
    let one = app(&pooler, &format!("{UNTHROTTLED}{patient}")).await;
    let url = pooler.url(&one.database.name);
    let other = TestApp::spawn_on(one.database.clone(), &url, &format!("{BEHIND}{UNTHROTTLED}{patient}")).await;
    one.given_account("alice").await;
    for round in 0..3 {
        let cookies = join_all((0..8).map(|number| [&one, &other][number % 2].sign_in("alice", ""))).await;
        for audience in ["strict", "orders", "legacy"] {
            let requests = cookies
                .iter()
                .enumerate()
                .map(|(number, cookie)| [&one, &other][(number + round) % 2].exchange_for(audience, cookie));
            for answer in join_all(requests).await {
                assert_eq!(answer.status(), StatusCode::OK, "{audience}");
            }
        }
        let renewed = one.public(Method::POST, "/session/renew").header("cookie", &cookies[0]);
        let renewed = renewed.header("sec-fetch-site", "same-origin").send().await.unwrap();
        assert!(renewed.status().is_success(), "{}", renewed.text().await.unwrap());
        let shown: Value = one.session(&cookies[1]).await.unwrap();
        let path = format!("/admin/sessions/{}?wait=all", shown["session_id"].as_str().unwrap());
        assert_eq!(other.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
        for app in [&one, &other] {
            assert_eq!(app.exchange(&cookies[1]).await.status(), StatusCode::UNAUTHORIZED);
        }
        let rotated = one.admin(Method::POST, "/admin/keys/rotate?compromised=true").send().await.unwrap();
        assert!(rotated.status().is_success(), "{}", rotated.status());
        one.state.accounts.sweep().await.unwrap();
        one.activity.flush().await.unwrap();
        other.follower.poll().await.unwrap();
        other.follower.sweep().await.unwrap();
        let listed = other.admin(Method::GET, "/admin/sessions?subject=alice").send().await.unwrap();
        assert_eq!(listed.status(), StatusCode::OK);
        let all = one.admin(Method::DELETE, "/admin/sessions?subject=alice").send().await.unwrap();
        assert_eq!(all.status(), StatusCode::OK);
        assert_eq!(one.exchange(&cookies[2]).await.status(), StatusCode::UNAUTHORIZED);
    }
    for app in [&one, &other] {
        let failed = sample(&app.metrics().await, "ephemint_database_queries_total", &["result=\"error\""]);
        assert!(failed < 0.5, "{failed} statements failed");
    }
    // Nothing of ours is left on the connections that others get.
    for _ in 0..12 {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let asked = "SELECT current_setting('statement_timeout') || current_setting('plan_cache_mode') || \
                     (SELECT count(*) FROM pg_prepared_statements) || (SELECT count(*) FROM pg_listening_channels())";
        let answer = client.simple_query(asked).await.unwrap();
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(row, Some("0auto00"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_a_503_in_time_and_the_server_gives_up_too() {
    let pooler = Pooler::start(8).await;
    let app = app(&pooler, "exchange.timeout = '300ms'\ndatabase.query_timeout = '400ms'").await;
    let session = app.given_session("alice").await;
    assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::OK);
    let mut blocker = app.database.client().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for _ in 0..5 {
        assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("no statement waits any more", async || (app.database.count(waiting).await == 0).then_some(())).await;
    lock.rollback().await.unwrap();
    eventually("an exchange", async || {
        (app.exchange_for("strict", &session.cookie()).await.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_the_other_replica_by_polls_alone() {
    let pooler = Pooler::start(4).await;
    let database = TestDatabase::migrated().await;
    let files = [(); 2].map(|()| config_file(&pooler.url(&database.name), BEHIND));
    let secret = add_client(files[0].path()).await;
    let (one, other) = (Serving::start(files[0].path()).await, Serving::start(files[1].path()).await);
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    for wait in ["", "?wait=all"] {
        let start = http.post(format!("http://{}/admin/sessions", one.admin)).bearer_auth(&secret);
        let started: Value = start.json(&json!({ "subject": "alice" })).send().await.unwrap().json().await.unwrap();
        let cookie = format!("{COOKIE}={}", started["session_token"].as_str().unwrap());
        let exchange = async || {
            let request = http.get(format!("http://{}/exchange/orders", other.gateway)).header("cookie", &cookie);
            request.send().await.unwrap().status()
        };
        for _ in 0..3 {
            assert_eq!(exchange().await, StatusCode::OK);
        }
        let path = format!("http://{}/admin/sessions/{}{wait}", one.admin, started["session_id"].as_str().unwrap());
        let answer = http.delete(path).bearer_auth(&secret).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let clock = SystemClock::new();
        let mut last = Duration::ZERO;
        while clock.monotonic() < Duration::from_millis(2_500) {
            if exchange().await == StatusCode::OK {
                last = clock.monotonic();
            }
        }
        let most = if wait.is_empty() { Duration::from_secs(2) } else { Duration::ZERO };
        assert!(last <= most, "a token {last:?} after the revocation{wait}");
    }
}

#[test]
fn migrations_behind_a_pooler_are_refused() {
    let settings = crate::support::app::settings("postgresql://db/ephemint", "database.pooler = 'transaction'");
    let refused = ephemint::config::Config::from_toml(&settings).unwrap_err().to_string();
    assert!(refused.contains("database.migration_url"), "{refused}");
}
