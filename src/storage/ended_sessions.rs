//! Which of the sessions that the revocation log names have ended: the log itself says only that something has changed.

use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    error::StorageError,
    queries::{self, Query},
    run::{Database, Parameters},
};
use crate::domain::{session::SessionId, subject::Subject};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// A session that had reached its absolute end by then is not wanted.
    pub unexpired_at: OffsetDateTime,
    /// Where the row is gone: sessions up to this id are too old to have been alive then.
    pub youngest_expired: SessionId,
    /// At most so many sessions.
    pub limit: usize,
}

impl Wanted {
    fn limit(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }
}

/// When everyone was signed out, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct EveryonesEnd {
    /// By the database's clock.
    pub logged_at: OffsetDateTime,
    /// By the clock of the replica that did it.
    pub revoked_at: OffsetDateTime,
}

/// Owns the statements `revocation/ended_…` and `revocation/everyone_since`.
#[derive(Debug, Clone)]
pub struct EndedSessionStore {
    database: Database,
}

impl EndedSessionStore {
    /// A store over this way to the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The present by the database's clock, by which the log is dated.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn now(&self) -> Result<OffsetDateTime, StorageError> {
        self.database.ping().await
    }

    /// Those of `sessions`, and of the sessions of `subjects`, that have ended.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn among(
        &self,
        sessions: &[SessionId],
        subjects: &[Subject],
        wanted: Wanted,
    ) -> Result<Vec<SessionId>, StorageError> {
        let sessions: Vec<Uuid> = sessions.iter().map(|session| session.as_uuid()).collect();
        let subjects: Vec<&str> = subjects.iter().map(Subject::as_str).collect();
        self.ids(
            &queries::REVOCATION_ENDED_AMONG,
            &[
                /* session_ids */ &sessions,
                /* subjects */ &subjects,
                /* unexpired_at */ &wanted.unexpired_at,
                /* youngest_expired */ &wanted.youngest_expired.as_uuid(),
                /* limit */ &wanted.limit(),
            ],
        )
        .await
    }

    /// The sessions that the log names since an instant of the database's clock, and that have ended.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn since(&self, since: OffsetDateTime, wanted: Wanted) -> Result<Vec<SessionId>, StorageError> {
        self.ids(
            &queries::REVOCATION_ENDED_SINCE,
            &[
                /* since */ &since,
                /* unexpired_at */ &wanted.unexpired_at,
                /* youngest_expired */ &wanted.youngest_expired.as_uuid(),
                /* limit */ &wanted.limit(),
            ],
        )
        .await
    }

    /// The last time that everyone was signed out since an instant of the database's clock; nothing where they were not.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn everyone_since(&self, since: OffsetDateTime) -> Result<Option<EveryonesEnd>, StorageError> {
        let row = self.database.row(&queries::REVOCATION_EVERYONE_SINCE, &[/* since */ &since]).await?;
        Ok(row.map(|row| EveryonesEnd { logged_at: row.get("logged_at"), revoked_at: row.get("revoked_at") }))
    }

    /// At most `limit` sessions with ids between the two that ended with everyone's.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn with_everyone(
        &self,
        above: SessionId,
        below: SessionId,
        limit: usize,
    ) -> Result<Vec<SessionId>, StorageError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.ids(
            &queries::REVOCATION_ENDED_WITH_EVERYONE,
            &[/* above */ &above.as_uuid(), /* below */ &below.as_uuid(), /* limit */ &limit],
        )
        .await
    }

    async fn ids(&self, query: &'static Query, parameters: Parameters<'_>) -> Result<Vec<SessionId>, StorageError> {
        let rows = self.database.rows(query, parameters).await?;
        Ok(rows.iter().map(|row: &Row| SessionId::from(row.get::<_, Uuid>("session_id"))).collect())
    }
}
