//! That a pool's connections are set up as promised, and that every wait ends.

use std::{net::TcpListener, sync::OnceLock};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};
use tokio_postgres::config::TargetSessionAttrs;

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    storage::test_server::{Setup, TestServer},
};

/// Long enough for a busy machine, short against what an unbounded wait would take.
const SLACK: Duration = Duration::from_secs(3);

fn primary() -> DatabaseUrl {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    url(SERVER.get_or_init(|| TestServer::start(&Setup::default())).port())
}

fn url(port: u16) -> DatabaseUrl {
    DatabaseUrl::parse(&format!("postgresql://postgres@127.0.0.1:{port}/postgres")).unwrap()
}

fn options() -> PoolOptions {
    PoolOptions {
        size: NonZeroUsize::MIN,
        connect_timeout: Duration::from_secs(5),
        wait_timeout: Duration::from_millis(100),
        query_timeout: Duration::from_millis(1500),
        between: Between::Nothing,
    }
}

#[tokio::test]
async fn a_connection_has_its_limits_and_the_generic_plan() {
    let pool = Pool::new(&primary(), options()).unwrap();
    let connection = pool.get().await.unwrap();
    for (setting, expected) in [
        ("statement_timeout", "1500ms"),
        ("lock_timeout", "750ms"),
        ("idle_in_transaction_session_timeout", "1500ms"),
        ("plan_cache_mode", "force_generic_plan"),
        ("application_name", "ephemint"),
    ] {
        let row = connection.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), expected, "{setting}");
    }
    let cancelled = connection.simple_query("SELECT pg_sleep(60)").await.unwrap_err();
    assert_eq!(cancelled.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
}

#[tokio::test]
async fn when_all_connections_are_held_the_wait_ends_in_time() {
    let pool = Pool::new(&primary(), options()).unwrap();
    let held = pool.get().await.unwrap();
    assert_eq!(pool.status(), PoolStatus { size: 1, available: 0, waiting: 0 });

    let clock = SystemClock::new();
    assert!(matches!(pool.get().await, Err(PoolError::Timeout)));
    assert!((Duration::from_millis(100)..SLACK).contains(&clock.monotonic()), "{:?}", clock.monotonic());

    drop(held);
    assert_eq!(pool.status(), PoolStatus { size: 1, available: 1, waiting: 0 });
    assert!(pool.get().await.is_ok());
}

#[tokio::test]
async fn a_connection_outlives_the_runtime_that_asked_for_it() {
    let pool = Pool::new(&primary(), options()).unwrap();
    let asking = pool.clone();
    let listener = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(asking.get()).unwrap()
    });
    let connection = tokio::task::spawn_blocking(|| listener.join().unwrap()).await.unwrap();
    connection.simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_closed_pool_says_so() {
    let pool = Pool::new(&primary(), options()).unwrap();
    drop(pool.get().await.unwrap());
    pool.close();
    assert!(matches!(pool.get().await, Err(PoolError::Closed)));
    assert_eq!(pool.status(), PoolStatus { size: 0, available: 0, waiting: 0 });
}

#[tokio::test]
async fn a_dead_server_is_a_connect_error_in_time() {
    // Bound but not listening: refuses, and nobody else can take the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let clock = SystemClock::new();
    let pool = Pool::new(&url(port), options()).unwrap();
    assert!(matches!(pool.get().await, Err(PoolError::Connect(_))));
    assert!(matches!(connect_once(&url(port), SLACK).await, Err(PoolError::Connect(_))));
    assert!(clock.monotonic() < SLACK, "{:?}", clock.monotonic());
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_connect_error_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url(silent.local_addr().unwrap().port());
    let bound = Duration::from_millis(200);
    let clock = SystemClock::new();
    let pool = Pool::new(&url, PoolOptions { connect_timeout: bound, ..options() }).unwrap();
    let refusals = [pool.get().await.err(), connect_once(&url, bound).await.err()];
    assert!(clock.monotonic() < SLACK, "{:?}", clock.monotonic());
    for refusal in refusals {
        let Some(PoolError::Connect(source)) = refusal else { panic!("{refusal:?}") };
        assert_eq!(source.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::TimedOut));
    }
    assert_eq!(pool.status(), PoolStatus { size: 0, available: 0, waiting: 0 });
}

#[tokio::test]
async fn a_server_that_falls_silent_after_the_login_is_a_connect_error_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url(listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u32().await.unwrap();
        stream.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
        // AuthenticationOk, ReadyForQuery; then the settings are read and never answered.
        stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'Q');
        stream.read_to_end(&mut Vec::new()).await
    });
    let mut config = url.driver_config(SLACK);
    config.target_session_attrs(TargetSessionAttrs::Any);
    let options = PoolOptions { connect_timeout: Duration::from_millis(200), ..options() };
    let pool = Pool::build(Recipe { config, tls: tls::connector(&url).unwrap(), options }).unwrap();

    let clock = SystemClock::new();
    assert!(matches!(pool.get().await, Err(PoolError::Connect(_))));
    assert!(clock.monotonic() < SLACK, "{:?}", clock.monotonic());
    assert_eq!(pool.status(), PoolStatus { size: 0, available: 0, waiting: 0 });
    assert!(server.await.unwrap().is_ok(), "the connection is not closed");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let server = TestServer::start(&Setup { standby: true, ..Setup::default() });
    let url = url(server.port());
    let pool = Pool::new(&url, options()).unwrap();
    assert!(matches!(pool.get().await, Err(PoolError::ReadOnlyServer)));
    assert!(matches!(connect_once(&url, SLACK).await, Err(PoolError::ReadOnlyServer)));

    // The pool's own question finds out too, should the driver's let one through.
    let mut config = url.driver_config(SLACK);
    config.target_session_attrs(TargetSessionAttrs::Any);
    let pool = Pool::build(Recipe { config, tls: tls::connector(&url).unwrap(), options: options() }).unwrap();
    assert!(matches!(pool.get().await, Err(PoolError::ReadOnlyServer)));
    assert_eq!(pool.status(), PoolStatus { size: 0, available: 0, waiting: 0 });
}

#[test]
fn a_limit_is_never_switched_off_by_rounding() {
    assert_eq!(milliseconds(Duration::ZERO), 1);
    assert_eq!(milliseconds(Duration::from_micros(900)), 1);
    assert_eq!(milliseconds(Duration::MAX), i32::MAX);
}
