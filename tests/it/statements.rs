//! One statement on one connection: killed, cut, blocked, abandoned or out of date, it harms no other.

use std::time::Duration;

use ephemint::{
    clock::{Clock as _, SystemClock},
    domain::session::SessionId,
    storage::sessions::SessionStore,
};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{
    app::{TestApp, bearer, payload, sample},
    database::{TestDatabase, eventually},
    proxy::DatabaseProxy,
};

const FIND: &str = "session/read_for_exchange";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_killed_between_two_requests_are_not_noticed() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let cookie = session.cookie();
    for _ in 0..20 {
        // Several connections, which then end one after the other while they are taken.
        for response in join_all((0..8).map(|_| app.exchange_for("strict", &cookie))).await {
            assert_eq!(response.status(), StatusCode::OK);
        }
        app.database.terminate_connections().await;
        assert_eq!(app.exchange_for("strict", &cookie).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_killed_in_the_middle_of_a_read_is_not_noticed() {
    let app = TestApp::spawn_with("exchange.timeout = '20s'\ndatabase.query_timeout = '20s'").await;
    let session = app.given_session("alice").await;
    let mut other = app.database.client().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let cookie = session.cookie();
    let meddling = async {
        let first = app.database.blocked(FIND).await;
        app.database.execute(&format!("SELECT pg_terminate_backend({first})")).await;
        eventually("the read is tried again", async || (app.database.blocked(FIND).await != first).then_some(())).await;
        lock.rollback().await.unwrap();
    };
    let (response, ()) = tokio::join!(app.exchange_for("strict", &cookie), meddling);
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_a_503_in_time_and_does_not_pile_up_at_the_server() {
    let app = TestApp::spawn_with(
        "exchange.timeout = '500ms'
         [database]
         pool_size = 4
         operations_pool_size = 4
         wait_timeout = '100ms'
         query_timeout = '2s'",
    )
    .await;
    let session = app.given_session("alice").await;
    let mut other = app.database.client().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let cookie = session.cookie();
    for _ in 0..3 {
        let clock = SystemClock::new();
        for response in join_all((0..20).map(|_| app.exchange_for("strict", &cookie))).await {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()["retry-after"], "1");
        }
        assert!(clock.monotonic() < Duration::from_millis(500 + 700), "{:?}", clock.monotonic());
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        assert!(app.database.count(waiting).await <= 4, "statements that nobody waits for pile up");
    }

    lock.rollback().await.unwrap();
    let clock = SystemClock::new();
    eventually("tokens are given again", async || {
        (app.exchange_for("strict", &cookie).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    assert!(clock.monotonic() < Duration::from_secs(2), "{:?}", clock.monotonic());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_statement_keeps_its_connection_from_everyone_else() {
    let app = TestApp::spawn_with(
        "exchange.timeout = '200ms'
         keys.poll_interval = '60s'
         [database]
         pool_size = 2
         operations_pool_size = 2
         wait_timeout = '2s'
         query_timeout = '20s'",
    )
    .await;
    let session = app.given_session("alice").await;
    let mut other = app.database.client().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();

    // One is given up by the service's own limit.
    assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let abandoned = app.database.blocked(FIND).await;
    let clock = SystemClock::new();
    for _ in 0..8 {
        app.state.database.ping().await.unwrap();
    }
    assert!(
        clock.monotonic() < Duration::from_secs(1),
        "waited behind the abandoned statement: {:?}",
        clock.monotonic()
    );

    lock.rollback().await.unwrap();
    eventually("both connections are back", async || (app.state.database.pool_status().available == 2).then_some(()))
        .await;
    // The same one as before: a client that leaves early costs no new connection.
    let same = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {abandoned}");
    assert_eq!(app.database.count(&same).await, 1);
    for _ in 0..8 {
        assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_in_the_middle_take_no_connection_with_them() {
    let app = TestApp::spawn_with(
        "keys.poll_interval = '60s'\n[database]\npool_size = 4\noperations_pool_size = 4\nquery_timeout = '20s'",
    )
    .await;
    let session = app.given_session("alice").await;
    let pids = "SELECT coalesce(sum(pid), 0)::int8 FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'ephemint'";
    for _ in 0..5 {
        let mut other = app.database.client().await;
        let lock = other.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(app.addresses.gateway).await.unwrap();
            let request = format!("GET /exchange/strict HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n", session.cookie());
            stream.write_all(request.as_bytes()).await.unwrap();
            clients.push(stream);
        }
        app.database.blocked(FIND).await;
        let before = app.database.count(pids).await;
        for client in clients {
            // A reset, not a polite end.
            client.set_zero_linger().unwrap();
        }
        eventually("their handlers have gone", async || {
            (sample(&app.metrics().await, "ephemint_exchanges_in_flight", &[]) < 0.5).then_some(())
        })
        .await;
        lock.rollback().await.unwrap();
        eventually("every connection is back", async || {
            let status = app.state.database.pool_status();
            (status.available == status.size).then_some(())
        })
        .await;
        assert_eq!(app.database.count(pids).await, before, "connections were thrown away");
        assert_eq!(app.exchange_for("strict", &session.cookie()).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_byte_an_answer_never_reaches_another_request() {
    let database = TestDatabase::migrated().await;
    let proxy = DatabaseProxy::open().await;
    let url = proxy.url(&database.name);
    let app = TestApp::spawn_on(database, &url, "keys.poll_interval = '60s'\ndatabase.operations_pool_size = 2").await;
    let sessions = [app.given_session("alice").await, app.given_session("bob").await];
    let mut cut = 0;
    for bytes in (0..700).step_by(7) {
        proxy.cut_after(bytes);
        let exchanges = sessions.iter().zip(["alice", "bob"]).cycle().take(4).map(|(session, subject)| {
            let (app, cookie) = (&app, session.cookie());
            async move {
                let response = app.exchange_for("strict", &cookie).await;
                match response.status() {
                    StatusCode::OK => assert_eq!(payload(&bearer(&response))["sub"], subject),
                    status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
                }
            }
        });
        join_all(exchanges).await;
        cut += usize::from(proxy.was_cut());
        proxy.cut_after(i64::MAX);
        for session in &sessions {
            assert_eq!(
                app.exchange_for("strict", &session.cookie()).await.status(),
                StatusCode::OK,
                "after {bytes} bytes"
            );
        }
    }
    assert!(cut > 60, "hardly anything was cut: {cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_prepared_before_the_schema_changed_is_prepared_again() {
    let app = TestApp::spawn_with("database.operations_pool_size = 4").await;
    let session = app.given_session("alice").await;
    let cookie = session.cookie();
    for digits in [5, 6].into_iter().cycle().take(10) {
        // Every connection of the pool knows the statement by then.
        for response in join_all((0..8).map(|_| app.exchange_for("strict", &cookie))).await {
            assert_eq!(response.status(), StatusCode::OK);
        }
        app.database
            .execute(&format!("ALTER TABLE session ALTER COLUMN last_seen_at TYPE timestamptz({digits})"))
            .await;
    }
    let path = format!("/admin/sessions/{}", session.id);
    assert_eq!(app.admin(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_write_the_same_last_seen_times_never_block_each_other() {
    let app = TestApp::spawn_with("database.query_timeout = '20s'").await;
    let mut ids = Vec::new();
    for index in 0..80 {
        ids.push(app.given_session(&format!("subject-{}", index % 7)).await.id.parse::<SessionId>().unwrap());
    }
    ids.sort_unstable();
    let now = app.state.clock.now();
    let flushes = (0..4_usize).map(|replica| {
        let (store, ids) = (SessionStore::new(app.state.database.clone(), app.state.database.clone()), ids.clone());
        tokio::spawn(async move {
            for round in 0..40_usize {
                let mut batch: Vec<_> = ids.iter().skip((replica * 7 + round) % 20).step_by(1 + replica % 2).collect();
                batch.sort_unstable();
                let seen = now + Duration::from_millis(u64::try_from(round).unwrap());
                let batch: Vec<_> = batch.into_iter().map(|id| (*id, seen)).collect();
                store.touch_batch(&batch).await.unwrap();
            }
        })
    });
    for flush in join_all(flushes).await {
        flush.unwrap();
    }
    let behind = "SELECT count(*) FROM session WHERE last_seen_at > created_at + interval '40 milliseconds'";
    assert_eq!(app.database.count(behind).await, 0);
    // Never back: an older time changes nothing.
    let store = SessionStore::new(app.state.database.clone(), app.state.database.clone());
    let sum = "SELECT sum(extract(epoch FROM last_seen_at) * 1000000)::int8 FROM session";
    let before = app.database.count(sum).await;
    assert_eq!(store.touch_batch(&[(ids[70], now - Duration::from_secs(60))]).await.unwrap(), 1);
    assert_eq!(app.database.count(sum).await, before);
}
