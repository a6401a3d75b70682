//! The replica's view of the revocation log, over a connection of its own, so that busy pools cannot delay it.

use std::{fmt, future::poll_fn, sync::Arc, time::Duration};

use futures_util::future::join3;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    error::StorageError,
    pool::{Between, PoolError, limits},
    queries,
    replicas::ReplicaId,
    tls,
    url::DatabaseUrl,
};
use crate::{
    clock::Clock,
    domain::{session::SessionId, subject::Subject},
    telemetry::metrics::{Metrics, seconds},
};

/// Most rows of one reading. Where there are more, everyone counts as concerned: that costs readings of sessions, never memory.
const MAX_ROWS: usize = 20_000;

/// How many seconds of the database's time between two readings over one connection count as a silence, in which rows may have been
/// swept. They are swept when they are three times as old.
const LONGEST_SILENCE: f64 = 300.0;

/// A place in the log: every transaction with a lower id had ended when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Horizon(u64);

impl Horizon {
    /// The place of a transaction.
    #[must_use]
    pub fn of_transaction(id: u64) -> Self {
        Self(id)
    }
}

/// Whom a row of the log concerns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Concerned {
    /// One session.
    Session(SessionId),
    /// All sessions of a subject.
    Subject(Subject),
    /// All sessions.
    Everyone,
}

/// What one row of the log says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogEntry {
    /// The transaction that wrote it.
    pub written_by: Horizon,
    /// Whom it concerns.
    pub concerned: Concerned,
}

/// What one reading found.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Where the next reading begins.
    pub horizon: Horizon,
    /// Which server answered: another text after a failover or a restart. Transaction ids of two servers do not compare.
    pub server: String,
    /// Whether a connection was made for it, or the server says that transactions were lost or much time has passed. A server that
    /// has crashed gives the ids of lost transactions again, and may keep its start time; connections it never keeps, but a pooler
    /// does. And a replica that was paused together with its machine has no clock that tells.
    pub reconnected: bool,
    /// Whether this replica was in the registry, so that barriers wait for it.
    pub registered: bool,
    /// The barrier that this replica may pass once it has marked what this reading found; absent where it has.
    pub barrier: Option<i64>,
    /// Rows that no reading over the same connection has found before, in no order.
    pub entries: Vec<LogEntry>,
}

/// Reads the log. One reading at a time.
pub struct RevocationFeed {
    replica: ReplicaId,
    url: DatabaseUrl,
    between: Between,
    connect_timeout: Duration,
    query_timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    woken: Arc<Notify>,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    /// What the last reading over it could see, and when that was by the database's clock.
    seen: Option<(String, f64)>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for RevocationFeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RevocationFeed")
    }
}

impl RevocationFeed {
    /// A feed that connects when it is first read. A reading is given up after `query_timeout`.
    #[must_use]
    pub fn new(
        replica: ReplicaId,
        url: DatabaseUrl,
        between: Between,
        connect_timeout: Duration,
        query_timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let woken = Arc::new(Notify::new());
        Self { replica, url, between, connect_timeout, query_timeout, clock, metrics, woken, connection: None }
    }

    /// Is told when the database says that there may be something new. A hint only: behind some poolers it never comes.
    #[must_use]
    pub fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }

    /// Reads what the last reading could not see; over a new connection, only where the log stands. Beside it: how many seconds ago
    /// each entry was written, in their order.
    ///
    /// # Errors
    /// [`StorageError`]; the next reading makes a new connection.
    pub async fn read(&mut self) -> Result<(Reading, Vec<f64>), StorageError> {
        let name = queries::REVOCATION_POLL.name;
        let began = self.clock.monotonic();
        let result = match timeout(self.query_timeout, self.read_unbounded()).await {
            Ok(result) => result,
            Err(_) => Err(StorageError::TimedOut { query: name }),
        };
        let took = seconds(self.clock.monotonic().saturating_sub(began));
        self.metrics.database_query_duration_seconds.with_label_values(&[name]).observe(took);
        let label = if result.is_ok() { "ok" } else { "error" };
        self.metrics.database_queries_total.with_label_values(&[name, label]).inc();
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    async fn read_unbounded(&mut self) -> Result<(Reading, Vec<f64>), StorageError> {
        let query = &queries::REVOCATION_POLL;
        let (mut connection, reconnected) = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => (connection, false),
            _ => (self.connect().await?, true),
        };
        let seen = connection.seen.as_ref().map(|(snapshot, _)| snapshot);
        let limit = i64::try_from(MAX_ROWS + 1).unwrap_or(i64::MAX);
        let replica = self.replica.as_uuid();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(/* seen */ &seen, Type::TEXT), (/* limit */ &limit, Type::INT8), (/* replica_id */ &replica, Type::UUID)];
        // Typed, so that no statement is kept on a server connection that a pooler may take away; and with limits for this
        // transaction, so that the server gives up as well. All of it is sent at once.
        let begin = format!("BEGIN READ ONLY; {}", limits("LOCAL ", self.query_timeout));
        let client = &connection.client;
        let polling = client.query_typed(query.text, &parameters);
        let (opened, rows, ended) = join3(client.batch_execute(&begin), polling, client.batch_execute("COMMIT")).await;
        let rows = opened.and(rows).and_then(|rows| ended.map(|()| rows));
        let rows = rows.map_err(|source| StorageError::Query { query: query.name, source })?;
        let seen: Option<(String, f64)> = rows.first().map(|row| (row.get("snapshot"), row.get("read_at")));
        let reconnected = reconnected || has_a_gap(connection.seen.as_ref(), seen.as_ref());
        let reading = reading(query.name, &rows, reconnected)?;
        // Only now, and together with the connection: a reading that is broken off is made anew, over another one.
        connection.seen = seen;
        self.connection = Some(connection);
        Ok(reading)
    }

    /// Deletes at most `limit` rows of transactions that had ended at `horizon`; returns how many.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn sweep(&mut self, horizon: Horizon, limit: i64) -> Result<u64, StorageError> {
        let query = &queries::REVOCATION_SWEEP;
        let Some(connection) = &self.connection else { return Ok(0) };
        let horizon = horizon.0.to_string();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(/* horizon */ &horizon, Type::TEXT), (/* limit */ &limit, Type::INT8)];
        let result = match timeout(self.query_timeout, connection.client.query_typed(query.text, &parameters)).await {
            Ok(Ok(swept)) => Ok(swept.len() as u64),
            Ok(Err(source)) => Err(StorageError::Query { query: query.name, source }),
            Err(_) => Err(StorageError::TimedOut { query: query.name }),
        };
        if result.is_err() {
            // Or the next poll would wait behind the statement.
            self.connection = None;
        }
        result
    }

    async fn connect(&self) -> Result<Connection, StorageError> {
        let unreachable = |error| StorageError::Unavailable(PoolError::Connect(error));
        let tls = tls::connector(&self.url).map_err(|error| unreachable(Box::new(error)))?;
        let (client, mut driver) = self
            .url
            .driver_config(self.connect_timeout)
            .connect(tls)
            .await
            .map_err(|error| unreachable(Box::new(error)))?;
        let woken = Arc::clone(&self.woken);
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| driver.poll_message(context)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    woken.notify_one();
                }
            }
        });
        let connection = Connection { client, seen: None, task };
        if self.between == Between::TransactionPooler {
            // Listening would be another's as soon as it is said.
        } else if let Err(error) = connection.client.batch_execute("LISTEN ephemint_revocation").await {
            // Some engines have no LISTEN. Polling alone finds everything, only later.
            tracing::debug!(error = &error as &dyn std::error::Error, "no notifications from this database");
        }
        Ok(connection)
    }
}

/// Whether rows may be missing between two readings over one connection: behind a pooler it outlives a crash of the server, and
/// everywhere a long sleep of the replica.
fn has_a_gap(before: Option<&(String, f64)>, now: Option<&(String, f64)>) -> bool {
    let (Some((earlier, earlier_at)), Some((snapshot, read_at))) = (before, now) else { return true };
    next_id(snapshot) < next_id(earlier) || read_at - earlier_at > LONGEST_SILENCE
}

/// The first transaction id that was not given yet, from the text form of a snapshot: `xmin:xmax:running,…`.
fn next_id(snapshot: &str) -> Option<u64> {
    snapshot.split(':').nth(1)?.parse().ok()
}

fn reading(query: &'static str, rows: &[Row], reconnected: bool) -> Result<(Reading, Vec<f64>), StorageError> {
    let corrupt = |what| StorageError::Corrupt { query, what };
    let first = rows.first().ok_or(corrupt("no horizon"))?;
    if first.get("in_recovery") {
        return Err(StorageError::Unavailable(PoolError::ReadOnlyServer));
    }
    let horizon = |row: &Row, column: &str| {
        row.get::<_, Option<&str>>(column).map(|text| text.parse().map(Horizon).map_err(|_| corrupt("transaction id")))
    };
    let entry = |row: &Row| -> Result<Option<(LogEntry, f64)>, StorageError> {
        let Some(written_by) = horizon(row, "xid").transpose()? else { return Ok(None) };
        let session = row.get::<_, Option<Uuid>>("session_id").map(SessionId::from);
        let subject = row.get::<_, Option<String>>("subject").map(Subject::parse).transpose();
        let concerned = match (session, subject.map_err(|_| corrupt("subject"))?) {
            (Some(session), _) => Concerned::Session(session),
            (None, Some(subject)) => Concerned::Subject(subject),
            (None, None) => Concerned::Everyone,
        };
        Ok(Some((LogEntry { written_by, concerned }, row.get("age_seconds"))))
    };
    let found: Vec<_> = if rows.len() > MAX_ROWS {
        // No row is like it, so it is never taken for one that is known.
        vec![(LogEntry { written_by: Horizon(0), concerned: Concerned::Everyone }, 0.0)]
    } else {
        rows.iter().filter_map(|row| entry(row).transpose()).collect::<Result<_, _>>()?
    };
    let (entries, ages) = found.into_iter().unzip();
    let barrier: i64 = first.get::<_, Option<i64>>("barrier").ok_or(corrupt("no barrier"))?;
    let passed: Option<i64> = first.get("passed");
    let reading = Reading {
        horizon: horizon(first, "horizon").ok_or(corrupt("no horizon"))??,
        server: first.get("server"),
        reconnected,
        registered: passed.is_some(),
        barrier: passed.filter(|passed| *passed < barrier).map(|_| barrier),
        entries,
    };
    Ok((reading, ages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_transactions_and_a_long_silence_are_gaps() {
        let reading = |snapshot: &str, read_at: f64| Some((snapshot.to_owned(), read_at));
        let before = reading("700:708:700,705", 1_000.0);
        let has_a_gap = |now| has_a_gap(before.as_ref(), Option::as_ref(&now));
        assert!(!has_a_gap(reading("700:708:700,705", 1_000.5)));
        assert!(!has_a_gap(reading("709:709:", 1_300.0)));
        assert!(!has_a_gap(reading("709:709:", 900.0)), "a clock that is put back");
        assert!(has_a_gap(reading("709:709:", 1_300.5)), "as long as after a sleep");
        assert!(has_a_gap(reading("700:707:", 1_000.5)), "ids that are given again");
        for text in ["", "700", "700:", "700:x:"] {
            assert!(has_a_gap(reading(text, 1_000.5)), "{text:?}");
        }
        assert!(super::has_a_gap(None, before.as_ref()), "the first reading");
    }
}
