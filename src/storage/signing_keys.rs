//! The queries of the signing key entity.

use time::OffsetDateTime;
use tokio_postgres::{Row, types::Json};

use super::{
    error::StorageError,
    queries,
    run::{Database, Transaction, at_most_one_row, one_row},
};
use crate::domain::{
    audience::Algorithm,
    signing_key::{KeyId, SigningKeyDates, StoredSigningKey},
};

/// Owns the statements under `sql/signing_key`.
#[derive(Debug, Clone)]
pub struct SigningKeyStore {
    database: Database,
}

impl SigningKeyStore {
    /// A store over the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Every key that is not destroyed at `now`, oldest first.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self, now: OffsetDateTime) -> Result<Vec<StoredSigningKey>, StorageError> {
        let rows = self.database.rows(&queries::SIGNING_KEY_LIST, &[/* now */ &now]).await?;
        rows.iter().map(stored_key).collect()
    }

    /// Takes the one lock under which keys are made, planned and retired.
    ///
    /// # Errors
    /// [`StorageError`] when the lock is not free in time or the database does not answer.
    pub async fn lock(&self) -> Result<LockedSigningKeys<'_>, StorageError> {
        let transaction = self.database.begin().await?;
        transaction.rows(&queries::SIGNING_KEY_LOCK, &[]).await?;
        Ok(LockedSigningKeys { transaction })
    }

    /// Keeps a private key under the current master key. Returns whether this call did it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn reseal(&self, kid: &KeyId, old: &[u8], new: &[u8]) -> Result<bool, StorageError> {
        let query = &queries::SIGNING_KEY_RESEAL;
        let rows = self
            .database
            .execute(query, &[/* kid */ &kid.as_str(), /* old_sealed */ &old, /* new_sealed */ &new])
            .await?;
        at_most_one_row(query, rows)
    }

    /// Erases the private halves of keys that are destroyed at `now`; returns how many.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn erase_destroyed(&self, now: OffsetDateTime) -> Result<u64, StorageError> {
        self.database.execute(&queries::SIGNING_KEY_ERASE_DESTROYED, &[/* now */ &now]).await
    }
}

/// The signing keys while no other replica may change them. Dropped without [`Self::commit`], nothing has changed.
pub struct LockedSigningKeys<'a> {
    transaction: Transaction<'a>,
}

impl LockedSigningKeys<'_> {
    /// Every key that is not destroyed at `now`, oldest first.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self, now: OffsetDateTime) -> Result<Vec<StoredSigningKey>, StorageError> {
        let rows = self.transaction.rows(&queries::SIGNING_KEY_LIST, &[/* now */ &now]).await?;
        rows.iter().map(stored_key).collect()
    }

    /// Publishes a new key: an active one if its dates say from when it signs, a standby if not.
    ///
    /// # Errors
    /// [`StorageError`] when there is such a key already or the database does not answer.
    pub async fn insert(&self, key: &StoredSigningKey) -> Result<(), StorageError> {
        let query = &queries::SIGNING_KEY_INSERT;
        let rows = self
            .transaction
            .execute(
                query,
                &[
                    /* kid */ &key.kid.as_str(),
                    /* algorithm */ &key.algorithm.as_str(),
                    /* sealed_private_key */ &key.sealed_private_key,
                    /* public_jwk */ &Json(&key.public_jwk),
                    /* published_at */ &key.dates.published_at,
                    /* activates_at */ &key.dates.activates_at,
                ],
            )
            .await?;
        one_row(query, rows)
    }

    /// Plans the end of the key that signs.
    ///
    /// # Errors
    /// [`StorageError`] when its end was planned already or the database does not answer.
    pub async fn retire(
        &self,
        kid: &KeyId,
        retires_at: OffsetDateTime,
        destroys_at: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let query = &queries::SIGNING_KEY_RETIRE;
        self.transaction
            .execute_one(
                query,
                &[/* kid */ &kid.as_str(), /* retires_at */ &retires_at, /* destroys_at */ &destroys_at],
            )
            .await
    }

    /// Stops using and publishing a key at once.
    ///
    /// # Errors
    /// [`StorageError`] when it is destroyed already or the database does not answer.
    pub async fn drop_at(&self, kid: &KeyId, at: OffsetDateTime) -> Result<(), StorageError> {
        self.transaction.execute_one(&queries::SIGNING_KEY_DROP, &[/* kid */ &kid.as_str(), /* at */ &at]).await
    }

    /// Plans from when a waiting key signs, or brings its plan forward.
    ///
    /// # Errors
    /// [`StorageError`] when it is to sign earlier already or the database does not answer.
    pub async fn activate(&self, kid: &KeyId, activates_at: OffsetDateTime) -> Result<(), StorageError> {
        let query = &queries::SIGNING_KEY_ACTIVATE;
        self.transaction.execute_one(query, &[/* kid */ &kid.as_str(), /* activates_at */ &activates_at]).await
    }

    /// Makes the changes durable and gives the lock back.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; all or none of the changes hold then.
    pub async fn commit(self) -> Result<(), StorageError> {
        self.transaction.commit().await
    }
}

fn stored_key(row: &Row) -> Result<StoredSigningKey, StorageError> {
    let corrupt = |what| StorageError::Corrupt { query: queries::SIGNING_KEY_LIST.name, what };
    Ok(StoredSigningKey {
        kid: KeyId::new(row.get("kid")),
        algorithm: Algorithm::from_name(row.get("algorithm")).ok_or_else(|| corrupt("algorithm"))?,
        sealed_private_key: row.get("sealed_private_key"),
        public_jwk: row.get("public_jwk"),
        dates: SigningKeyDates {
            published_at: row.get("published_at"),
            activates_at: row.get("activates_at"),
            retires_at: row.get("retires_at"),
            destroys_at: row.get("destroys_at"),
        },
    })
}
