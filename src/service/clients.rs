//! Service credentials: add, check, rotate, remove.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    clock::Clock,
    crypto::master_key::Vault,
    domain::client::{Client, ClientSecret, Scope},
    random::{self, RandomFailed},
    storage::{clients::ClientStore, error::StorageError},
};

/// Longest client name in bytes.
const MAX_NAME_LENGTH: usize = 64;

/// Why a client was not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name breaks a rule.
    #[error("a client name is 1 to 64 characters of a-z, A-Z, 0-9, '.', '_' and '-'")]
    Name,
    /// Another client has the name.
    #[error("a client of that name exists already; `ephemint clients rotate` gives it a new secret")]
    NameTaken,
    /// No scope was given.
    #[error("a client needs at least one scope")]
    NoScope,
    /// No client has that name or id.
    #[error("no client has that name or id")]
    Unknown,
    /// No secret could be made.
    #[error("no client secret could be made")]
    Random(#[from] RandomFailed),
    /// The database does not answer.
    #[error("the client could not be stored")]
    Unavailable(#[from] StorageError),
}

/// The service credentials.
#[derive(Debug)]
pub struct Clients {
    store: ClientStore,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl Clients {
    /// Wires the service.
    #[must_use]
    pub fn new(store: ClientStore, vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Self {
        Self { store, vault, clock }
    }

    /// The client of a presented secret; nothing if there is none.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn authenticate(&self, presented: &[u8]) -> Result<Option<Client>, StorageError> {
        match ClientSecret::parse(presented) {
            Some(secret) => self.store.find_by_secret_digest(&self.vault.client_secret_digests(&secret)).await,
            None => Ok(None),
        }
    }

    /// Adds a client; its secret is returned this once.
    ///
    /// # Errors
    /// [`ClientError`]; nothing is stored then.
    pub async fn add(&self, name: &str, mut scopes: Vec<Scope>) -> Result<(Client, ClientSecret), ClientError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.bytes().all(allowed) {
            return Err(ClientError::Name);
        }
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(ClientError::NoScope);
        }
        let now = self.clock.now();
        let client_id = format!("client_{}", URL_SAFE_NO_PAD.encode(random::bytes::<12>()?));
        let client = Client { client_id, name: name.to_owned(), scopes, created_at: now, rotated_at: now };
        let secret = ClientSecret::generate()?;
        if !self.store.insert(&client, self.vault.client_secret_digest(&secret)).await? {
            return Err(ClientError::NameTaken);
        }
        tracing::info!(target: "audit", event = "client_added", client.id = client.client_id, client.name = name, "client added");
        Ok((client, secret))
    }

    /// Every client, by name.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(&self) -> Result<Vec<Client>, StorageError> {
        self.store.list().await
    }

    /// Replaces a client's secret; the old one is dead at once.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] or [`ClientError::Unavailable`].
    pub async fn rotate(&self, name_or_id: &str) -> Result<(Client, ClientSecret), ClientError> {
        let secret = ClientSecret::generate()?;
        let digest = self.vault.client_secret_digest(&secret);
        let client = self.store.rotate(name_or_id, digest, self.clock.now()).await?.ok_or(ClientError::Unknown)?;
        tracing::info!(target: "audit", event = "client_rotated", client.id = client.client_id, "client secret replaced");
        Ok((client, secret))
    }

    /// Removes a client; its secret is dead at once.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] or [`ClientError::Unavailable`].
    pub async fn remove(&self, name_or_id: &str) -> Result<(), ClientError> {
        if !self.store.remove(name_or_id).await? {
            return Err(ClientError::Unknown);
        }
        tracing::info!(target: "audit", event = "client_removed", client = name_or_id, "client removed");
        Ok(())
    }
}
