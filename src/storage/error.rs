//! Why storage could not answer.

use super::pool::PoolError;

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No usable connection within the configured wait; safe to try again.
    #[error("no database connection is available")]
    Unavailable(#[source] PoolError),
    /// The statement did not finish in time; a write may or may not have happened.
    #[error("query `{query}` did not finish in time")]
    TimedOut {
        /// The statement's name.
        query: &'static str,
    },
    /// The database refused the statement, or the connection broke.
    #[error("query `{query}` failed")]
    Query {
        /// The statement's name.
        query: &'static str,
        /// What the driver reported.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement touched another number of rows than it may.
    #[error("query `{query}` touched {rows} rows")]
    RowCount {
        /// The statement's name.
        query: &'static str,
        /// How many rows it touched.
        rows: u64,
    },
    /// A row holds something that no version of this program writes.
    #[error("query `{query}` returned an unusable row: {what}")]
    Corrupt {
        /// The statement's name.
        query: &'static str,
        /// Which rule the row breaks, without its content.
        what: &'static str,
    },
}

impl StorageError {
    /// The unique constraint that the statement would have broken, where that is why it failed.
    #[must_use]
    pub fn unique_violation(&self) -> Option<&str> {
        let Self::Query { source, .. } = self else { return None };
        let refusal = source.as_db_error()?;
        (refusal.code() == &tokio_postgres::error::SqlState::UNIQUE_VIOLATION).then_some(())?;
        refusal.constraint()
    }

    /// Whether the statement names a table that does not exist: the database was never migrated.
    #[must_use]
    pub fn undefined_table(&self) -> bool {
        matches!(self, Self::Query { source, .. } if source.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE))
    }

    /// Whether the connection broke, so that a read may be tried once more on another one.
    pub(super) fn broke_connection(&self) -> bool {
        matches!(self, Self::Query { source, .. } if source.is_closed() || source.as_db_error().is_none())
    }
}
