//! Questions about the database itself.

use time::OffsetDateTime;

use super::{error::StorageError, queries, run::Database};

impl Database {
    /// The database's own clock; also shows that a round trip works.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn ping(&self) -> Result<OffsetDateTime, StorageError> {
        let query = &queries::SCHEMA_PING;
        let row = self.row(query, &[]).await?.ok_or(StorageError::RowCount { query: query.name, rows: 0 })?;
        Ok(row.get("database_time"))
    }

    /// The newest migration that has been applied; 0 where there was none.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer or was never migrated.
    pub async fn schema_version(&self) -> Result<i32, StorageError> {
        let row = self.row(&queries::SCHEMA_VERSION, &[]).await?;
        Ok(row.and_then(|row| row.get::<_, Option<i32>>("schema_version")).unwrap_or(0))
    }
}
