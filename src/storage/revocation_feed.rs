//! The replica's view of the revocation log, over a connection of its own, so that busy pools cannot delay it.

use std::{fmt, future::poll_fn, sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{error::StorageError, pool::PoolError, queries, tls, url::DatabaseUrl};
use crate::{
    clock::Clock,
    domain::{session::SessionId, subject::Subject},
    telemetry::metrics::{Metrics, seconds},
};

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
    /// Whether a connection was made for it. A server that has crashed gives the ids of lost transactions again, and may keep its
    /// start time; connections it never keeps.
    pub reconnected: bool,
    /// Rows, in no order; some of them may have been read before.
    pub entries: Vec<LogEntry>,
}

/// Reads the log. One reading at a time.
pub struct RevocationFeed {
    url: DatabaseUrl,
    connect_timeout: Duration,
    query_timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    woken: Arc<Notify>,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
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
        url: DatabaseUrl,
        connect_timeout: Duration,
        query_timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { url, connect_timeout, query_timeout, clock, metrics, woken: Arc::new(Notify::new()), connection: None }
    }

    /// Is told when the database says that there may be something new. A hint only: behind some poolers it never comes.
    #[must_use]
    pub fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }

    /// Reads what was logged since `cursor`; without one, only where the log stands. Beside it: how many seconds ago each entry was
    /// written, in their order.
    ///
    /// # Errors
    /// [`StorageError`]; the next reading makes a new connection.
    pub async fn read(&mut self, cursor: Option<Horizon>) -> Result<(Reading, Vec<f64>), StorageError> {
        let name = queries::REVOCATION_POLL.name;
        let began = self.clock.monotonic();
        let result = match timeout(self.query_timeout, self.read_unbounded(cursor)).await {
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

    async fn read_unbounded(&mut self, cursor: Option<Horizon>) -> Result<(Reading, Vec<f64>), StorageError> {
        let query = &queries::REVOCATION_POLL;
        let (connection, reconnected) = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => (connection, false),
            _ => (self.connect().await?, true),
        };
        let cursor = cursor.map(|horizon| horizon.0.to_string());
        // Typed, so that no statement is kept on a server connection that a pooler may take away.
        let rows = connection.client.query_typed(query.text, &[(/* cursor */ &cursor, Type::TEXT)]).await;
        let rows = rows.map_err(|source| StorageError::Query { query: query.name, source })?;
        self.connection = Some(connection);
        reading(query.name, &rows, reconnected)
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
        match timeout(self.query_timeout, connection.client.query_typed(query.text, &parameters)).await {
            Ok(Ok(swept)) => Ok(swept.len() as u64),
            Ok(Err(source)) => Err(StorageError::Query { query: query.name, source }),
            Err(_) => Err(StorageError::TimedOut { query: query.name }),
        }
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
        let connection = Connection { client, task };
        if let Err(error) = connection.client.batch_execute("LISTEN ephemint_revocation").await {
            // Some engines have no LISTEN. Polling alone finds everything, only later.
            tracing::debug!(error = &error as &dyn std::error::Error, "no notifications from this database");
        }
        Ok(connection)
    }
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
    let found: Vec<_> = rows.iter().filter_map(|row| entry(row).transpose()).collect::<Result<_, _>>()?;
    let (entries, ages) = found.into_iter().unzip();
    let horizon = horizon(first, "horizon").ok_or(corrupt("no horizon"))??;
    Ok((Reading { horizon, server: first.get("server"), reconnected, entries }, ages))
}
