//! The queries of the hook delivery entity: the outbox of the webhook.

use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    error::StorageError,
    queries,
    run::{Database, at_most_one_row},
};

/// An event to be put into the outbox.
#[derive(Debug)]
pub struct NewDelivery<'a> {
    /// The id of the event and of its message.
    pub id: Uuid,
    /// The event's name.
    pub event: &'static str,
    /// The message, JSON.
    pub body: &'a str,
    /// When the event was recorded.
    pub created_at: OffsetDateTime,
}

/// An event that this replica has taken, to post it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// The id of the event and of its message.
    pub id: Uuid,
    /// The event's name.
    pub event: String,
    /// The message, JSON, as it was written.
    pub body: String,
    /// How often it was taken, this time included.
    pub attempts: i32,
}

/// Owns the statements under `sql/hook_delivery`.
#[derive(Debug, Clone)]
pub struct HookDeliveryStore {
    database: Database,
}

impl HookDeliveryStore {
    /// A store over the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Puts an event into the outbox. Returns whether there was room for it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn insert(&self, new: &NewDelivery<'_>, max_pending: u32) -> Result<bool, StorageError> {
        let query = &queries::HOOK_DELIVERY_INSERT;
        let rows = self
            .database
            .execute(
                query,
                &[
                    /* delivery_id */ &new.id,
                    /* event */ &new.event,
                    /* body */ &new.body,
                    /* created_at */ &new.created_at,
                    /* max_pending */ &i64::from(max_pending),
                ],
            )
            .await?;
        at_most_one_row(query, rows)
    }

    /// Takes at most `limit` events that are due at `now`, and keeps them from other replicas until `lease_ends_at`.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer. What it may have taken is due again when the lease ends.
    pub async fn claim(
        &self,
        now: OffsetDateTime,
        lease_ends_at: OffsetDateTime,
        limit: u16,
    ) -> Result<Vec<ClaimedDelivery>, StorageError> {
        let query = &queries::HOOK_DELIVERY_CLAIM;
        let parameters = (now, lease_ends_at, i64::from(limit));
        let rows = self
            .database
            .rows(
                query,
                &[
                    /* now */ &parameters.0,
                    /* lease_ends_at */ &parameters.1,
                    /* most_rows */ &parameters.2,
                ],
            )
            .await?;
        Ok(rows.iter().map(claimed).collect())
    }

    /// Removes an event that has arrived or is given up. Returns whether it was still this replica's.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn settle(&self, claimed: &ClaimedDelivery) -> Result<bool, StorageError> {
        let query = &queries::HOOK_DELIVERY_SETTLE;
        let parameters = (claimed.id, claimed.attempts);
        let rows =
            self.database.execute(query, &[/* delivery_id */ &parameters.0, /* attempts */ &parameters.1]).await?;
        at_most_one_row(query, rows)
    }

    /// Puts an event off until `next_attempt_at`. Returns whether it was still this replica's.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn postpone(
        &self,
        claimed: &ClaimedDelivery,
        next_attempt_at: OffsetDateTime,
    ) -> Result<bool, StorageError> {
        let query = &queries::HOOK_DELIVERY_POSTPONE;
        let parameters = (claimed.id, claimed.attempts, next_attempt_at);
        let rows = self
            .database
            .execute(
                query,
                &[
                    /* delivery_id */ &parameters.0,
                    /* attempts */ &parameters.1,
                    /* next_attempt_at */ &parameters.2,
                ],
            )
            .await?;
        at_most_one_row(query, rows)
    }

    /// How many events wait to be posted.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn count(&self) -> Result<i64, StorageError> {
        let row = self.database.row(&queries::HOOK_DELIVERY_COUNT, &[]).await?;
        Ok(row.map_or(0, |row| row.get("pending")))
    }
}

fn claimed(row: &Row) -> ClaimedDelivery {
    ClaimedDelivery {
        id: row.get("delivery_id"),
        event: row.get("event"),
        body: row.get("body"),
        attempts: row.get("attempts"),
    }
}
