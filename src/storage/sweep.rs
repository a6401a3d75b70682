//! Deleting what is over: one bounded batch for each call, past rows that somebody holds.

use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    error::StorageError,
    queries::{self, Query},
    run::Database,
};
use crate::domain::session::SessionId;

/// What one batch of sessions took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweptSessions {
    /// Sessions.
    pub sessions: u64,
    /// Former tokens of theirs.
    pub former_tokens: u64,
    /// The end of the last of them, from which the next batch goes on; nothing where none was swept.
    pub last_ended_at: Option<OffsetDateTime>,
}

/// Owns the statements that sweep sessions and what waits for the webhook.
#[derive(Debug, Clone)]
pub struct SweepStore {
    database: Database,
}

impl SweepStore {
    /// A store over the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Deletes at most `most` sessions whose absolute end lies before `ended_before`, from `not_before` on. It is no news to anybody,
    /// and not logged as a revocation.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; all or none of the batch may be gone then.
    pub async fn expired(
        &self,
        ended_before: OffsetDateTime,
        not_before: OffsetDateTime,
        most: u32,
    ) -> Result<SweptSessions, StorageError> {
        self.sessions(&queries::SESSION_SWEEP_EXPIRED, "last_expires_at", ended_before, not_before, most).await
    }

    /// Deletes at most `most` sessions that were revoked by themselves before `revoked_before`, from `not_before` on.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; all or none of the batch may be gone then.
    pub async fn revoked(
        &self,
        revoked_before: OffsetDateTime,
        not_before: OffsetDateTime,
        most: u32,
    ) -> Result<SweptSessions, StorageError> {
        self.sessions(&queries::SESSION_SWEEP_REVOKED, "last_revoked_at", revoked_before, not_before, most).await
    }

    /// Deletes at most `most` events that were recorded before `recorded_before` and still wait to be posted. Returns how many.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn hook_deliveries(&self, recorded_before: OffsetDateTime, most: u32) -> Result<u64, StorageError> {
        // Their ids are made like those of sessions.
        let before: Uuid = SessionId::first_at(recorded_before).as_uuid();
        let query = &queries::HOOK_DELIVERY_SWEEP;
        self.database.execute(query, &[/* before */ &before, /* most */ &i64::from(most)]).await
    }

    async fn sessions(
        &self,
        query: &'static Query,
        last: &str,
        before: OffsetDateTime,
        not_before: OffsetDateTime,
        most: u32,
    ) -> Result<SweptSessions, StorageError> {
        let most = i64::from(most);
        let parameters: super::run::Parameters<'_> =
            &[/* ended_before */ &before, /* not_before */ &not_before, /* most */ &most];
        // A change, which must not be tried again on another connection, but one that answers with a row.
        let transaction = self.database.begin().await?;
        let rows = transaction.rows(query, parameters).await?;
        transaction.commit().await?;
        let row = rows.first().ok_or(StorageError::RowCount { query: query.name, rows: 0 })?;
        let count = |row: &Row, column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        Ok(SweptSessions {
            sessions: count(row, "sessions"),
            former_tokens: count(row, "former_tokens"),
            last_ended_at: row.get(last),
        })
    }
}
