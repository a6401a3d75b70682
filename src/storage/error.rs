//! Why storage could not answer.

use tokio_postgres::error::{DbError, Severity, SqlState};

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
        (refusal.code() == &SqlState::UNIQUE_VIOLATION).then_some(())?;
        refusal.constraint()
    }

    /// Whether the statement names a table that does not exist: the database was never migrated.
    #[must_use]
    pub fn undefined_table(&self) -> bool {
        self.code() == Some(&SqlState::UNDEFINED_TABLE)
    }

    /// Whether the statement ran out of time, here or at the server.
    #[must_use]
    pub fn took_too_long(&self) -> bool {
        matches!(self, Self::TimedOut { .. }) || self.code() == Some(&SqlState::QUERY_CANCELED)
    }

    /// Whether the connection broke, so that a read may be tried once more on another one.
    pub(super) fn broke_connection(&self) -> bool {
        matches!(self, Self::Query { source, .. } if source.is_closed() || source.as_db_error().is_none_or(is_farewell))
    }

    /// Whether the prepared statement is out of date, so that nothing was run: the schema has changed under it, or a pooler
    /// has put another server connection behind ours.
    pub(super) fn stale_statement(&self) -> bool {
        self.code()
            .is_some_and(|code| [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME].contains(code))
    }

    /// Whether the server that was asked to write takes no writes.
    pub(super) fn read_only_server(&self) -> bool {
        self.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
    }

    fn code(&self) -> Option<&SqlState> {
        if let Self::Query { source, .. } = self { source.code() } else { None }
    }
}

/// Whether the server closes the connection with this message, as it does when it shuts down.
fn is_farewell(message: &DbError) -> bool {
    matches!(message.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}
