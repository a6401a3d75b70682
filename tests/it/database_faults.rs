//! The database cut off, frozen, lost, full or read-only: an honest 503 in time, and back without help.

use std::{process::Stdio, time::Duration};

use ephemint::clock::{Clock as _, SystemClock};
use futures_util::future::join_all;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpStream, process::Command};

use crate::support::{
    app::{COOKIE, TestApp, sample},
    database::{TestDatabase, eventually},
    program::{Serving, config_file, program, run},
    proxy::DatabaseProxy,
};

/// Short waits everywhere, and no background work that would mend or break a connection by itself.
const SHORT: &str = "
    exchange.timeout = '500ms'
    keys.poll_interval = '60s'
    [database]
    pool_size = 8
    connect_timeout = '300ms'
    wait_timeout = '100ms'
    query_timeout = '400ms'";
/// What an answer may take: the exchange's own limit, and something for a busy machine.
const IN_TIME: Duration = Duration::from_millis(500 + 700);
/// How soon after the database's return the service must be back.
const BACK: Duration = Duration::from_secs(2);

async fn behind_a_proxy() -> (TestApp, DatabaseProxy) {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    (TestApp::spawn_on(database, &url, SHORT).await, proxy)
}

/// An exchange that could not be decided says so and nothing else.
async fn assert_undecided(response: Response) {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["content-length"], "0");
    for absent in ["authorization", "www-authenticate", "set-cookie", "x-upstream-cookie"] {
        assert!(!response.headers().contains_key(absent), "{absent}");
    }
    assert_eq!(response.text().await.unwrap(), "");
}

async fn timed<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    let clock = SystemClock::new();
    let result = work.await;
    assert!(clock.monotonic() <= limit, "took {:?} of {limit:?}", clock.monotonic());
    result
}

/// Exchanges until there is a token; nothing but 503 may come before.
async fn recovers(app: &TestApp, cookie: &str) {
    let trying = eventually("the exchange works again", async || {
        let response = app.exchange_for("strict", cookie).await;
        assert!([200, 503].contains(&response.status().as_u16()), "{}", response.status());
        (response.status() == StatusCode::OK).then_some(())
    });
    timed(BACK, trying).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_nothing_is_decided_and_it_comes_back_by_itself() {
    let (app, proxy) = behind_a_proxy().await;
    let session = app.given_session("alice").await;
    assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::OK);

    proxy.close();
    for cookie in [session.cookie(), format!("{COOKIE}=ems_{}", "A".repeat(43))] {
        for _ in 0..5 {
            assert_undecided(timed(IN_TIME, app.exchange_for("strict", &cookie)).await).await;
        }
    }
    // What needs no database is decided as ever.
    assert_eq!(app.exchange_for("strict", "").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.exchange_for("strict", &format!("{COOKIE}=garbage")).await.status(), StatusCode::UNAUTHORIZED);
    let status = async |path: &str| app.anonymous_admin(Method::GET, path).send().await.unwrap().status();
    assert_eq!(status("/livez").await, StatusCode::OK);
    assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    let keys = app.public(Method::GET, "/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(keys.status(), StatusCode::OK);
    let revoked = app.admin(Method::DELETE, &format!("/admin/sessions/{}", session.id)).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(revoked.headers().contains_key("retry-after"));

    proxy.reopen();
    // Still alive: the failed revocation was not believed by anyone.
    recovers(&app, &session.cookie()).await;
    assert_eq!(status("/readyz").await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_database_holds_nobody_up_and_nothing_piles_up() {
    let (app, proxy) = behind_a_proxy().await;
    let session = app.given_session("alice").await;
    proxy.freeze();
    let burst = async || {
        let cookie = session.cookie();
        let answers = (0..60).map(|_| async { timed(IN_TIME, app.exchange_for("strict", &cookie)).await });
        for answer in join_all(answers).await {
            assert_undecided(answer).await;
        }
    };
    burst().await;
    burst().await;
    let path = format!("/admin/sessions/{}", session.id);
    let revoked = timed(BACK, app.admin(Method::DELETE, &path).send()).await.unwrap();
    assert_eq!(revoked.status(), StatusCode::SERVICE_UNAVAILABLE);
    let metrics = app.metrics().await;
    assert!(sample(&metrics, "ephemint_exchanges_in_flight", &[]) < 0.5);
    assert!(app.state.lookups.pool_status().size <= 8, "{:?}", app.state.lookups.pool_status());

    proxy.thaw();
    recovers(&app, &session.cookie()).await;
    let backends =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("connections that were given up are closed", async || {
        (app.database.count(backends).await <= 8).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_a_firewall_has_forgotten_are_replaced_all_together() {
    let (app, proxy) = behind_a_proxy().await;
    let session = app.given_session("alice").await;
    // Slow answers make the pool grow to its full size.
    proxy.delay(Duration::from_millis(20));
    let cookie = session.cookie();
    join_all((0..8).map(|_| app.public(Method::GET, "/session").header("cookie", &cookie).send())).await;
    proxy.delay(Duration::ZERO);
    assert!(app.state.lookups.pool_status().size >= 6, "{:?}", app.state.lookups.pool_status());
    // They have rested for longer than a statement may take.
    tokio::time::sleep(Duration::from_millis(500)).await;

    proxy.strand();
    recovers(&app, &session.cookie()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_given_up_and_answers_stay_with_their_questions() {
    let (app, proxy) = behind_a_proxy().await;
    let sessions = [app.given_session("alice").await, app.given_session("bob").await];
    proxy.delay(Duration::from_millis(600));
    for session in &sessions {
        assert_undecided(timed(IN_TIME, app.exchange_for("strict", &session.cookie())).await).await;
    }
    proxy.delay(Duration::ZERO);
    for (session, subject) in sessions.iter().zip(["alice", "bob"]).cycle().take(20) {
        recovers(&app, &session.cookie()).await;
        let token = app.access_token("orders", session).await;
        assert_eq!(crate::support::app::payload(&token)["sub"], subject);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_more_writes_is_not_asked_either() {
    let app = TestApp::spawn_with("keys.poll_interval = '100ms'").await;
    let session = app.given_session("alice").await;
    // A demoted primary refuses writes on old connections and tells new ones that it is read-only. The first half is played
    // by a trigger, because the real setting would be everyone's.
    app.database
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN RAISE EXCEPTION ''read-only'' USING ERRCODE = ''25006''; END';
             CREATE TRIGGER refuse BEFORE UPDATE ON signing_key FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
        )
        .await;
    app.database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", app.database.name)).await;

    eventually("no token is given on the word of a demoted server", async || {
        let response = app.exchange_for("strict", &session.cookie()).await;
        (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    assert_undecided(app.exchange_for("strict", &session.cookie()).await).await;
    eventually("readiness says no", async || {
        let ready = app.anonymous_admin(Method::GET, "/readyz").send().await.unwrap();
        (ready.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;

    let client = app.database.client().await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    let back = format!("ALTER DATABASE {} RESET default_transaction_read_only", app.database.name);
    client.batch_execute(&back).await.unwrap();
    client.batch_execute("DROP TRIGGER refuse ON signing_key").await.unwrap();
    recovers(&app, &session.cookie()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_the_database_ends_in_time() {
    for gone in [DatabaseProxy::close, DatabaseProxy::freeze] {
        let database = TestDatabase::migrated().await;
        let proxy = DatabaseProxy::open().await;
        let more = format!("{SHORT}\n[shutdown]\ntimeout = '2s'\n[session]\nactivity_granularity = '10ms'");
        let file = config_file(&proxy.url(&database.name), &more);
        let mut serving = Serving::start(file.path()).await;
        let cookie = started(&serving, file.path()).await;
        let exchange = async || {
            let url = format!("http://{}/exchange/strict", serving.gateway);
            Client::builder().no_proxy().build().unwrap().get(url).header("cookie", &cookie).send().await
        };
        // A use that is still to be written, and a request in flight.
        assert_eq!(exchange().await.unwrap().status(), StatusCode::OK);
        gone(&proxy);
        let (in_flight, ()) = tokio::join!(exchange(), async { serving.terminate() });
        if let Ok(response) = in_flight {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        let status = timed(Duration::from_secs(6), serving.child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", serving.log.lock().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_its_database_can_be_stopped() {
    let database = TestDatabase::empty().await;
    let holder = database.client().await;
    holder.batch_execute("SELECT pg_advisory_lock(7301993201834100)").await.unwrap();
    let file = config_file(&database.url, "");
    let mut child = crate::support::program::command(file.path(), &["serve"]).stderr(Stdio::null()).spawn().unwrap();
    eventually("the start waits for the lock", async || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%try_advisory%'";
        (database.count(sql).await > 1).then_some(())
    })
    .await;
    let id = i32::try_from(child.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = timed(Duration::from_secs(5), child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "the default action of the signal, which a first process does not have");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_file_descriptors_it_survives_and_recovers() {
    let database = TestDatabase::migrated().await;
    let file = config_file(&database.url, "database.pool_size = 2");
    let mut command = Command::new("prlimit");
    command.env_clear().arg("--nofile=64").arg(program()).arg("--config").arg(file.path()).arg("serve");
    let mut serving = Serving::start_as(command).await;
    let cookie = started(&serving, file.path()).await;

    let mut burst = Vec::new();
    for _ in 0..100 {
        burst.push(TcpStream::connect(&serving.gateway).await.unwrap());
    }
    let url = format!("http://{}/exchange/strict", serving.gateway);
    let exchange = async || {
        let client = Client::builder().no_proxy().timeout(Duration::from_millis(300)).build().unwrap();
        client.get(&url).header("cookie", &cookie).send().await
    };
    // Whatever this one gets, it is no token for nothing and no end of the process.
    if let Ok(response) = exchange().await {
        assert!([200, 503].contains(&response.status().as_u16()));
    }
    assert!(serving.child.try_wait().unwrap().is_none(), "{:?}", serving.log.lock().unwrap());
    drop(burst);
    eventually("tokens are given again", async || {
        exchange().await.is_ok_and(|response| response.status() == StatusCode::OK).then_some(())
    })
    .await;
    assert!(serving.child.try_wait().unwrap().is_none());
}

/// Adds a client, starts a session and returns its cookie.
async fn started(serving: &Serving, config: &std::path::Path) -> String {
    let added = run(config, &["clients", "add", "backend", "--scope", "sessions:create", "--json"]).await;
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    let start = http.post(format!("http://{}/admin/sessions", serving.admin)).json(&json!({ "subject": "alice" }));
    let started = start.bearer_auth(added["client_secret"].as_str().unwrap()).send().await.unwrap();
    let started: Value = started.json().await.unwrap();
    format!("{COOKIE}={}", started["session_token"].as_str().unwrap())
}
