//! The queries of the registry of replicas, and of the barriers that they pass.

use uuid::Uuid;

use super::{error::StorageError, queries, run::Database};
use crate::random::{self, RandomFailed};

/// One running process, in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplicaId(Uuid);

impl ReplicaId {
    /// The id of a process that starts now.
    ///
    /// # Errors
    /// [`RandomFailed`].
    pub fn generate() -> Result<Self, RandomFailed> {
        Ok(Self(uuid::Builder::from_random_bytes(random::name()?).into_uuid()))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// A row of the registry: its heart, and for how long that may stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heart {
    /// Whose it is.
    pub replica: ReplicaId,
    /// Goes up while the process lives.
    pub beat: i64,
    /// For how many seconds it may stand still before the row is removed.
    pub lease_seconds: u32,
}

/// Owns the statements under `sql/replica` and `sql/barrier`.
#[derive(Debug, Clone)]
pub struct ReplicaStore {
    database: Database,
}

impl ReplicaStore {
    /// A store over the connections that are kept apart from lookups.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Keeps the row of a replica, or makes it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn beat(&self, replica: ReplicaId, lease_seconds: u32) -> Result<(), StorageError> {
        let lease = i32::try_from(lease_seconds).unwrap_or(i32::MAX);
        let parameters: super::run::Parameters<'_> =
            &[/* replica_id */ &replica.0, /* lease_seconds */ &lease];
        self.database.execute(&queries::REPLICA_BEAT, parameters).await.map(drop)
    }

    /// Every row of the registry.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self) -> Result<Vec<Heart>, StorageError> {
        let rows = self.database.rows(&queries::REPLICA_LIST, &[]).await?;
        let heart = |row: &tokio_postgres::Row| Heart {
            replica: ReplicaId(row.get("replica_id")),
            beat: row.get("beat"),
            lease_seconds: row.get::<_, i32>("lease_seconds").unsigned_abs(),
        };
        Ok(rows.iter().map(heart).collect())
    }

    /// Removes a row; where a beat is given, only while its heart stands still at that.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn remove(&self, replica: ReplicaId, beat: Option<i64>) -> Result<bool, StorageError> {
        let parameters: super::run::Parameters<'_> = &[/* replica_id */ &replica.0, /* beat */ &beat];
        Ok(self.database.execute(&queries::REPLICA_REMOVE, parameters).await? > 0)
    }

    /// Says that a replica has acted upon everything that was committed before barrier `number` was raised.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn pass(&self, replica: ReplicaId, number: i64) -> Result<(), StorageError> {
        let parameters: super::run::Parameters<'_> = &[/* replica_id */ &replica.0, /* number */ &number];
        self.database.execute(&queries::REPLICA_PASS, parameters).await.map(drop)
    }

    /// Raises a barrier; returns its number.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn raise(&self) -> Result<i64, StorageError> {
        let query = &queries::BARRIER_RAISE;
        let row = self.database.row(query, &[]).await?;
        row.map(|row| row.get("number")).ok_or(StorageError::RowCount { query: query.name, rows: 0 })
    }

    /// The barrier that every replica but `replica` has passed; nothing where there is no other.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn lowest_passed(&self, replica: ReplicaId) -> Result<Option<i64>, StorageError> {
        let query = &queries::BARRIER_LOWEST_PASSED;
        let row = self.database.row(query, &[/* replica_id */ &replica.0]).await?;
        row.map(|row| row.get("passed")).ok_or(StorageError::RowCount { query: query.name, rows: 0 })
    }
}
