//! The queries of the client entity.

use time::OffsetDateTime;
use tokio_postgres::Row;

use super::{
    error::StorageError,
    queries,
    run::{Database, at_most_one_row, one_row},
};
use crate::domain::client::{Client, ClientSecretDigest, Scope};

/// Owns the statements under `sql/client`.
#[derive(Debug, Clone)]
pub struct ClientStore {
    database: Database,
}

impl ClientStore {
    /// A store over the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds a client. Returns whether it was added: a name can be taken.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn insert(&self, client: &Client, secret_digest: ClientSecretDigest) -> Result<bool, StorageError> {
        let query = &queries::CLIENT_INSERT;
        let scopes: Vec<&str> = client.scopes.iter().map(|scope| scope.as_str()).collect();
        let result = self
            .database
            .execute(
                query,
                &[
                    /* client_id */ &client.client_id,
                    /* name */ &client.name,
                    /* secret_digest */ &secret_digest.as_ref(),
                    /* scopes */ &scopes,
                    /* created_at */ &client.created_at,
                ],
            )
            .await;
        match result {
            Ok(rows) => one_row(query, rows).map(|()| true),
            Err(error) if error.unique_violation() == Some("client_name_key") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The client of a presented secret, given its digest under each accepted master key.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find_by_secret_digest(&self, digests: &[ClientSecretDigest]) -> Result<Option<Client>, StorageError> {
        let digests: Vec<&[u8]> = digests.iter().map(AsRef::as_ref).collect();
        let query = &queries::CLIENT_FIND_BY_SECRET_DIGEST;
        let row = self.database.row(query, &[/* secret_digests */ &digests]).await?;
        row.map(|row| client(query.name, &row)).transpose()
    }

    /// Every client, by name.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self) -> Result<Vec<Client>, StorageError> {
        let query = &queries::CLIENT_LIST;
        self.database.rows(query, &[]).await?.iter().map(|row| client(query.name, row)).collect()
    }

    /// Replaces the secret of the client with that name or id; nothing if there is none.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn rotate(
        &self,
        name_or_id: &str,
        secret_digest: ClientSecretDigest,
        now: OffsetDateTime,
    ) -> Result<Option<Client>, StorageError> {
        let query = &queries::CLIENT_ROTATE;
        let transaction = self.database.begin().await?;
        let rows = transaction
            .rows(
                query,
                &[
                    /* name_or_id */ &name_or_id,
                    /* secret_digest */ &secret_digest.as_ref(),
                    /* rotated_at */ &now,
                ],
            )
            .await?;
        transaction.commit().await?;
        rows.first().map(|row| client(query.name, row)).transpose()
    }

    /// Removes the client with that name or id. Returns whether there was one.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn remove(&self, name_or_id: &str) -> Result<bool, StorageError> {
        let query = &queries::CLIENT_REMOVE;
        at_most_one_row(query, self.database.execute(query, &[/* name_or_id */ &name_or_id]).await?)
    }
}

fn client(query: &'static str, row: &Row) -> Result<Client, StorageError> {
    let scopes: Vec<String> = row.get("scopes");
    // A scope that only a newer version knows grants nothing here.
    let scopes: Vec<Scope> = scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    let name: String = row.get("name");
    if name.is_empty() {
        return Err(StorageError::Corrupt { query, what: "name" });
    }
    Ok(Client {
        client_id: row.get("client_id"),
        name,
        scopes,
        created_at: row.get("created_at"),
        rotated_at: row.get("rotated_at"),
    })
}
