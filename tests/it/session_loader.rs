//! Readings for exchanges, asked for from threads that come and go: who joined is answered, and every queue has an end.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use ephemint::{
    domain::{session::IdleRule, session_token::SessionTokenDigest},
    service::{
        activity::Activity,
        freshness::Freshness,
        session_cache::SessionCache,
        session_loader::{Found, Joining, LoadError, Owner, SessionLoader},
    },
    storage::sessions::SessionStore,
};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::support::{
    app::{TestApp, sample},
    database::eventually,
};

const READ: &str = "session/read_for_exchange";

fn loader(app: &TestApp) -> Arc<SessionLoader> {
    let store = SessionStore::new(app.state.lookups.clone(), app.state.database.clone());
    let idle = IdleRule { timeout: Duration::from_secs(60), granularity: Duration::from_secs(60) };
    let activity = Arc::new(Activity::new(store.clone(), idle, app.state.metrics.clone()));
    let freshness = Arc::new(Freshness::new(Duration::from_secs(2), Duration::from_secs(60)));
    let clock = Arc::clone(&app.state.clock);
    Arc::new(SessionLoader::new(store, SessionCache::new(1 << 20), freshness, activity, clock, Handle::current()))
}

/// A token that nobody has.
fn digest(number: usize) -> SessionTokenDigest {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    SessionTokenDigest::new(digest)
}

/// A runtime like a listener's worker; it is polled on the thread that runs it alone.
fn worker() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn patient() -> TestApp {
    TestApp::spawn_with("database.query_timeout = '20s'").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_joined_a_reading_whose_worker_ends_reads_for_themselves() {
    let app = patient().await;
    let loader = loader(&app);
    let lock = app.database.client().await;
    lock.batch_execute("BEGIN; LOCK TABLE session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let leading = Arc::clone(&loader);
    let thread = std::thread::spawn(move || {
        worker().block_on(async move {
            tokio::select! {
                _ = leading.load(digest(1), Vec::new(), Joining::Allowed) => panic!("answered under a lock"),
                _ = ended => {}
            }
        });
    });
    app.database.blocked(READ).await;

    let mut joined = pin!(loader.load(digest(1), Vec::new(), Joining::Allowed));
    let once = std::future::poll_fn(|context| Poll::Ready(joined.as_mut().poll(context).is_pending()));
    assert!(once.await);
    drop(end);
    eventually("the worker has ended", async || thread.is_finished().then_some(())).await;
    let released = async {
        // Its connection has gone with it; the statement that waits now is another one.
        eventually("the reading begins anew", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'ephemint'";
            (app.database.count(waiting).await >= 1 && app.state.lookups.pool_status().size >= 1).then_some(())
        })
        .await;
        lock.batch_execute("COMMIT").await.unwrap();
    };
    let (found, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(10), joined), released);
    let found = found.expect("whoever joined waits for ever").unwrap();
    assert!(matches!(found.owner, Owner::Nobody) && !found.joined);
    thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_has_a_connection_of_its_own_that_is_counted_and_goes_with_it() {
    let app = patient().await;
    let loader = loader(&app);
    let before = app.state.lookups.pool_status().size;
    let (lookups, leading) = (app.state.lookups.clone(), Arc::clone(&loader));
    let during = std::thread::spawn(move || {
        worker().block_on(async move {
            // A busy worker still has one.
            let readings = (0..50).map(|number| leading.load(digest(number), Vec::new(), Joining::Forbidden));
            for found in join_all(readings).await {
                assert!(matches!(found.unwrap().owner, Owner::Nobody));
            }
            lookups.pool_status().size
        })
    });
    // Others may have made one of the pool's own meanwhile.
    let during = during.join().unwrap();
    assert!(during > before, "{during} after {before}");
    assert!(app.state.lookups.pool_status().size < during);
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '-- former_token/filter%'";
    eventually("the server knows", async || (app.database.count(backends).await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_what_may_wait_are_refused_at_once_and_the_others_answered() {
    const MAY_WAIT: usize = 8_192;
    let app = patient().await;
    let loader = loader(&app);
    let answers = std::thread::spawn(move || {
        worker().block_on(async move {
            // All arrive before the thread does anything else.
            let readings = (0..MAY_WAIT + 10).map(|number| loader.load(digest(number), Vec::new(), Joining::Allowed));
            tokio::task::unconstrained(join_all(readings)).await
        })
    });
    let answers = tokio::task::spawn_blocking(|| answers.join().unwrap()).await.unwrap();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(LoadError::Overloaded))).count();
    let nobody = |found: &&_| matches!(found, Ok(Found { owner: Owner::Nobody, .. }));
    assert_eq!((answers.iter().filter(nobody).count(), refused), (MAY_WAIT, 10));
    let statements = sample(&app.metrics().await, "ephemint_database_queries_total", &[READ]);
    assert!(statements <= 17.0, "{statements} statements for {MAY_WAIT} tokens");
}
