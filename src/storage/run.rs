//! Runs named statements: the only place that prepares, times, bounds and counts them.

use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::Object;
use tokio_postgres::{Error, Row, types::ToSql};

use super::{
    behind_pooler::BehindPooler,
    error::StorageError,
    loan::Loan,
    pool::{Between, Pool, PoolError, PoolSetupError, PoolStatus},
    queries::Query,
};
use crate::{
    clock::Clock,
    telemetry::metrics::{Metrics, seconds},
};

/// Parameters of a statement, each named by a comment where it is given.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The one way to the database: a pool of connections, every wait bounded, every statement counted.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    /// Where a pooler stands in between.
    pooled: Option<Arc<BehindPooler>>,
    query_timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").field("query_timeout", &self.query_timeout).finish_non_exhaustive()
    }
}

impl Database {
    /// Wraps a pool. A statement that takes longer than `query_timeout` is given up, and its connection with it.
    #[must_use]
    pub fn new(pool: Pool, query_timeout: Duration, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let pooled = match pool.between() {
            Between::Nothing => None,
            Between::TransactionPooler => Some(Arc::new(BehindPooler::new(query_timeout))),
        };
        Self { pool, pooled, query_timeout, clock, metrics }
    }

    /// How many connections there are, for metrics.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// The same database over one connection more, for the runtime of this call and nobody else.
    ///
    /// # Errors
    /// [`PoolSetupError`] when there is no runtime.
    pub(super) fn branch(&self) -> Result<Self, PoolSetupError> {
        Ok(Self { pool: self.pool.branch()?, ..self.clone() })
    }

    /// Closes every connection; later statements fail as unavailable.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Reads rows. A read whose connection or prepared statement turns out to be dead is tried once more.
    pub(super) async fn rows(
        &self,
        query: &'static Query,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StorageError> {
        match self.rows_once(query, parameters).await {
            Err(error) if error.broke_connection() => self.rows_once(query, parameters).await,
            Err(error) if error.stale_statement() => {
                self.pool.forget_statements();
                self.rows_once(query, parameters).await
            }
            result => result,
        }
    }

    /// Reads at most one row.
    pub(super) async fn row(
        &self,
        query: &'static Query,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, StorageError> {
        let mut rows = self.rows(query, parameters).await?;
        let row = rows.pop();
        if rows.is_empty() { Ok(row) } else { Err(too_many(query, rows.len() + 1)) }
    }

    /// Changes rows, outside a transaction; returns how many. Tried again only where the first try cannot have run.
    pub(super) async fn execute(&self, query: &'static Query, parameters: Parameters<'_>) -> Result<u64, StorageError> {
        match self.execute_once(query, parameters).await {
            Err(error) if error.stale_statement() => {
                self.pool.forget_statements();
                self.execute_once(query, parameters).await
            }
            result => result,
        }
    }

    /// Begins a transaction. It is rolled back unless it is committed.
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, StorageError> {
        let client = self.client().await?;
        let mut transaction = Transaction { database: self, client: Some(client) };
        let begin = self.pooled.as_ref().map_or(BEGIN.text, |pooled| pooled.begin());
        transaction.control(&BEGIN, begin).await?;
        Ok(transaction)
    }

    async fn rows_once(&self, query: &'static Query, parameters: Parameters<'_>) -> Result<Vec<Row>, StorageError> {
        self.learn(query).await?;
        let loan = self.borrow().await?;
        let client = loan.connection()?;
        let work = async {
            match &self.pooled {
                None => client.query(&client.prepare_cached(query.text).await?, parameters).await.map(Some),
                Some(pooled) => pooled.rows_alone(client, query, parameters).await,
            }
        };
        let result = self.bounded(query, work).await.and_then(|rows| rows.ok_or_else(takes_no_writes));
        loan.end(&result);
        result
    }

    async fn execute_once(&self, query: &'static Query, parameters: Parameters<'_>) -> Result<u64, StorageError> {
        self.learn(query).await?;
        let loan = self.borrow().await?;
        let client = loan.connection()?;
        let work = async {
            match &self.pooled {
                None => client.execute(&client.prepare_cached(query.text).await?, parameters).await.map(Some),
                Some(pooled) => pooled.execute_alone(client, query, parameters).await,
            }
        };
        let result = self.bounded(query, work).await.and_then(|rows| rows.ok_or_else(takes_no_writes));
        loan.end(&result);
        result
    }

    /// Behind a pooler, has a statement's parameters looked up before it runs for the first time.
    async fn learn(&self, query: &'static Query) -> Result<(), StorageError> {
        match &self.pooled {
            Some(pooled) if !pooled.knows(query) => {
                let client = self.client().await?;
                let learning = async { pooled.learn(client, query).await };
                let learnt = tokio::time::timeout(self.query_timeout, learning).await;
                learnt
                    .map_err(|_| StorageError::TimedOut { query: query.name })?
                    .map_err(|source| StorageError::Query { query: query.name, source })
            }
            _ => Ok(()),
        }
    }

    async fn borrow(&self) -> Result<Loan, StorageError> {
        Ok(Loan::new(self.client().await?, self.pool.clone(), self.query_timeout))
    }

    async fn client(&self) -> Result<Object, StorageError> {
        let began = self.clock.monotonic();
        let client = self.pool.get().await.map_err(StorageError::Unavailable);
        self.metrics.database_pool_wait_seconds.observe(seconds(self.clock.monotonic().saturating_sub(began)));
        client
    }

    async fn bounded<T>(
        &self,
        query: &'static Query,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StorageError> {
        let name = query.name;
        let began = self.clock.monotonic();
        let result = match tokio::time::timeout(self.query_timeout, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(StorageError::Query { query: name, source }),
            Err(_) => Err(StorageError::TimedOut { query: name }),
        };
        let took = seconds(self.clock.monotonic().saturating_sub(began));
        self.metrics.database_query_duration_seconds.with_label_values(&[name]).observe(took);
        let label = if result.is_ok() { "ok" } else { "error" };
        self.metrics.database_queries_total.with_label_values(&[name, label]).inc();
        result
    }
}

const BEGIN: Query = Query { name: "transaction/begin", text: "BEGIN ISOLATION LEVEL READ COMMITTED" };
const COMMIT: Query = Query { name: "transaction/commit", text: "COMMIT" };

/// A transaction on one connection. Dropped without [`Self::commit`], the connection is closed, which rolls it back.
pub(super) struct Transaction<'a> {
    database: &'a Database,
    client: Option<Object>,
}

impl Transaction<'_> {
    pub(super) async fn rows(
        &self,
        query: &'static Query,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StorageError> {
        let client = self.client()?;
        let work = async {
            match &self.database.pooled {
                None => client.query(&client.prepare_cached(query.text).await?, parameters).await,
                Some(pooled) => pooled.rows(client, query, parameters).await,
            }
        };
        self.database.bounded(query, work).await
    }

    pub(super) async fn execute(&self, query: &'static Query, parameters: Parameters<'_>) -> Result<u64, StorageError> {
        let client = self.client()?;
        let work = async {
            match &self.database.pooled {
                None => client.execute(&client.prepare_cached(query.text).await?, parameters).await,
                Some(pooled) => pooled.execute(client, query, parameters).await,
            }
        };
        self.database.bounded(query, work).await
    }

    /// Changes exactly one row, or fails.
    pub(super) async fn execute_one(
        &self,
        query: &'static Query,
        parameters: Parameters<'_>,
    ) -> Result<(), StorageError> {
        one_row(query, self.execute(query, parameters).await?)
    }

    /// Makes the changes durable.
    pub(super) async fn commit(mut self) -> Result<(), StorageError> {
        self.control(&COMMIT, COMMIT.text).await?;
        // Whole again: back to the pool.
        drop(self.client.take());
        Ok(())
    }

    async fn control(&mut self, query: &'static Query, text: &str) -> Result<(), StorageError> {
        let client = self.client()?;
        self.database.bounded(query, client.batch_execute(text)).await
    }

    fn client(&self) -> Result<&Object, StorageError> {
        // Present until commit takes it, and commit consumes the transaction.
        self.client.as_ref().ok_or(StorageError::TimedOut { query: COMMIT.name })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

/// Fails unless exactly one row was touched.
pub(super) fn one_row(query: &'static Query, rows: u64) -> Result<(), StorageError> {
    if rows == 1 { Ok(()) } else { Err(StorageError::RowCount { query: query.name, rows }) }
}

/// Tells whether one row or none was touched; more is an error.
pub(super) fn at_most_one_row(query: &'static Query, rows: u64) -> Result<bool, StorageError> {
    if rows <= 1 { Ok(rows == 1) } else { Err(StorageError::RowCount { query: query.name, rows }) }
}

fn takes_no_writes() -> StorageError {
    StorageError::Unavailable(PoolError::ReadOnlyServer)
}

fn too_many(query: &'static Query, rows: usize) -> StorageError {
    StorageError::RowCount { query: query.name, rows: u64::try_from(rows).unwrap_or(u64::MAX) }
}
