//! The queries of the canary: a session of nobody's, revoked on a schedule to measure how long that takes to be known.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{error::StorageError, queries, run::Database};
use crate::domain::{session::SessionId, session_token::SessionTokenDigest};

/// Whom canary sessions belong to; also written in `sql/canary`.
pub const SUBJECT: &str = "ephemint:canary";

/// A canary session that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCanary {
    /// Its id.
    pub id: SessionId,
    /// Whether it has been revoked.
    pub revoked: bool,
}

/// What a turn does, if it is one.
#[derive(Debug)]
pub struct CanaryTurn {
    /// The id of the next canary.
    pub id: SessionId,
    /// Its digest, which no token has.
    pub token_digest: SessionTokenDigest,
    /// When this turn takes place.
    pub now: OffsetDateTime,
    /// A canary that was started by then is revoked.
    pub due_before: OffsetDateTime,
    /// So is one that a clock further ahead has started after this.
    pub due_after: OffsetDateTime,
    /// What was revoked by then is deleted.
    pub forget_before: OffsetDateTime,
}

/// Owns the statements under `sql/canary`.
#[derive(Debug, Clone)]
pub struct CanaryStore {
    database: Database,
}

impl CanaryStore {
    /// A store over the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Revokes the canary that is due and puts out the next; returns whether this replica was the one to do so.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn take_turn(&self, turn: &CanaryTurn) -> Result<bool, StorageError> {
        let digest: &[u8] = turn.token_digest.as_ref();
        let rows = self
            .database
            .execute(
                &queries::CANARY_TAKE_TURN,
                &[
                    /* session_id */ &turn.id.as_uuid(),
                    /* token_digest */ &digest,
                    /* now */ &turn.now,
                    /* due_before */ &turn.due_before,
                    /* due_after */ &turn.due_after,
                    /* forget_before */ &turn.forget_before,
                ],
            )
            .await?;
        Ok(rows > 0)
    }

    /// The canaries that are stored.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn watch(&self) -> Result<Vec<StoredCanary>, StorageError> {
        let rows = self.database.rows(&queries::CANARY_WATCH, &[]).await?;
        let canaries = rows.iter().map(|row| StoredCanary {
            id: SessionId::from(row.get::<_, Uuid>("session_id")),
            revoked: row.get("revoked"),
        });
        Ok(canaries.collect())
    }
}
