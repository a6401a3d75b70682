//! What one reading of the revocation log finds, whatever else runs in the cluster.

use std::{sync::Arc, time::Duration};

use ephemint::{
    clock::SystemClock,
    storage::{
        pool::Between,
        replicas::ReplicaId,
        revocation_feed::{Concerned, RevocationFeed},
        url::DatabaseUrl,
    },
    telemetry::metrics::Metrics,
};

use crate::support::database::{TestDatabase, eventually};

const PATIENCE: Duration = Duration::from_secs(10);

fn feed(database: &TestDatabase) -> RevocationFeed {
    let url = DatabaseUrl::parse(&database.url).unwrap();
    let replica = ReplicaId::generate().unwrap();
    RevocationFeed::new(
        replica,
        url,
        Between::Nothing,
        PATIENCE,
        PATIENCE,
        Arc::new(SystemClock::new()),
        Metrics::new().unwrap(),
    )
}

/// Rows of subjects that begin with `name`.
fn logged(name: &str, count: u32) -> String {
    format!("INSERT INTO revocation_log (subject) SELECT '{name}' || n FROM generate_series(1, {count}) AS n")
}

/// Whom a reading names, in order.
async fn read(feed: &mut RevocationFeed) -> Vec<String> {
    let (reading, ages) = feed.read().await.unwrap();
    assert_eq!(reading.entries.len(), ages.len());
    let mut named: Vec<_> = reading
        .entries
        .into_iter()
        .map(|entry| match entry.concerned {
            Concerned::Subject(subject) => subject.as_str().to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    named.sort();
    named
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_long_a_transaction_runs_every_row_is_read_once() {
    let database = TestDatabase::migrated().await;
    let mut feed = feed(&database);
    assert_eq!(read(&mut feed).await, Vec::<String>::new());
    let slow = database.client().await;
    slow.batch_execute(&format!("BEGIN; SAVEPOINT one; {}; RELEASE one", logged("slow", 1))).await.unwrap();
    database.execute(&logged("quick", 2)).await;
    assert_eq!(read(&mut feed).await, ["quick1", "quick2"]);
    assert_eq!(read(&mut feed).await, Vec::<String>::new(), "read before");
    slow.batch_execute(&format!("SAVEPOINT two; {}; ROLLBACK TO two; {}", logged("undone", 1), logged("late", 1)))
        .await
        .unwrap();
    database.execute(&logged("other", 1)).await;
    assert_eq!(read(&mut feed).await, ["other1"]);
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!(read(&mut feed).await, ["late1", "slow1"]);
    assert_eq!(read(&mut feed).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_rows_concerns_everyone_and_fills_no_memory() {
    let database = TestDatabase::migrated().await;
    let mut feed = feed(&database);
    read(&mut feed).await;
    database.execute(&logged("s", 20_000)).await;
    assert_eq!(read(&mut feed).await.len(), 20_000);
    for _ in 0..2 {
        database.execute(&logged("s", 20_001)).await;
        assert_eq!(read(&mut feed).await, ["Everyone"]);
    }
    database.execute(&logged("s", 1)).await;
    assert_eq!(read(&mut feed).await, ["s1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_is_told() {
    let database = TestDatabase::migrated().await;
    let mut feed = feed(&database);
    assert!(feed.read().await.unwrap().0.reconnected);
    assert!(!feed.read().await.unwrap().0.reconnected);
    database.terminate_connections().await;
    let reconnected = eventually("an answer", async || Some(feed.read().await.ok()?.0.reconnected)).await;
    assert!(reconnected);
}
