//! What exchanges read of sessions: many tokens in one statement, and each row only looked into as far as it has changed.

use std::{error::Error, hash::Hasher};

use time::OffsetDateTime;
use tokio_postgres::{
    Row,
    types::{FromSql, Json, Type},
};
use uuid::Uuid;

use super::{error::StorageError, pool::PoolSetupError, queries, sessions::SessionStore};
use crate::domain::{
    session::{Claims, Session, SessionId},
    session_token::SessionTokenDigest,
    subject::Subject,
};

// The columns of `session/read_for_exchange`, by place: looking names up costs as much as the values.
const TOKEN_DIGEST: usize = 0;
const LAST_SEEN_AT: usize = 1;
const REVOKED_AT: usize = 2;
const SUPERSEDED: usize = 3;
const SUBJECT_DISABLED: usize = 4;
const SESSION_ID: usize = 5;
const SUBJECT: usize = 6;
const CREATED_AT: usize = 7;
const AUTH_TIME: usize = 8;
const EXPIRES_AT: usize = 9;
const REAUTHENTICATE_SINCE: usize = 10;
const AMR: usize = 11;
const ACR: usize = 12;
const CLAIMS: usize = 13;
const COLUMNS: usize = 14;

/// A row that was found by one of several digests, not looked into yet.
#[derive(Debug)]
pub struct FoundRow(Row);

impl SessionStore {
    /// The same store, looking tokens up over a connection of its own that belongs to the runtime of this call.
    ///
    /// # Errors
    /// [`PoolSetupError`] when there is no runtime.
    pub fn branch(&self) -> Result<Self, PoolSetupError> {
        Ok(Self { lookups: self.lookups.branch()?, database: self.database.clone() })
    }

    /// Closes the connections that tokens are looked up over.
    pub fn close_lookups(&self) {
        self.lookups.close();
    }

    /// The rows of the sessions that have one of these tokens now, alive or not, in no order.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn read_for_exchange(&self, digests: &[&[u8]]) -> Result<Vec<FoundRow>, StorageError> {
        let query = &queries::SESSION_READ_FOR_EXCHANGE;
        let rows = self.lookups.rows(query, &[/* token_digests */ &digests]).await?;
        Ok(rows.into_iter().map(FoundRow).collect())
    }
}

impl FoundRow {
    /// The digest that the row is stored under.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`].
    pub fn stored_digest(&self) -> Result<SessionTokenDigest, StorageError> {
        let digest: &[u8] = self.column(TOKEN_DIGEST, "token_digest")?;
        digest.try_into().map(SessionTokenDigest::new).map_err(|_| corrupt("token_digest"))
    }

    /// When the session was last used, as far as storage knows.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`].
    pub fn last_seen_at(&self) -> Result<OffsetDateTime, StorageError> {
        self.column(LAST_SEEN_AT, "last_seen_at")
    }

    /// Whether the session has been ended by somebody; it may have run out as well.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`].
    pub fn is_ended(&self) -> Result<bool, StorageError> {
        let revoked_at: Option<Raw<'_>> = self.column(REVOKED_AT, "revoked_at")?;
        Ok(revoked_at.is_some()
            || self.column(SUPERSEDED, "superseded")?
            || self.column(SUBJECT_DISABLED, "subject_disabled")?)
    }

    /// Puts everything that a session consists of, except for its last use, into a hash.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`].
    pub fn hash_state(&self, hasher: &mut impl Hasher) -> Result<(), StorageError> {
        for place in REVOKED_AT..COLUMNS {
            match self.column::<Option<Raw<'_>>>(place, "a column")? {
                None => hasher.write_usize(usize::MAX),
                Some(Raw(value)) => {
                    hasher.write_usize(value.len());
                    hasher.write(value);
                }
            }
        }
        Ok(())
    }

    /// The session, without what exchanges do not need: device, address, network and user agent.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`].
    pub fn session(&self) -> Result<Session, StorageError> {
        Ok(Session {
            id: SessionId::from(self.column::<Uuid>(SESSION_ID, "session_id")?),
            subject: Subject::parse(self.column::<String>(SUBJECT, "subject")?).map_err(|_| corrupt("subject"))?,
            created_at: self.column(CREATED_AT, "created_at")?,
            auth_time: self.column(AUTH_TIME, "auth_time")?,
            last_seen_at: self.last_seen_at()?,
            expires_at: self.column(EXPIRES_AT, "expires_at")?,
            revoked_at: self.column(REVOKED_AT, "revoked_at")?,
            superseded: self.column(SUPERSEDED, "superseded")?,
            subject_disabled: self.column(SUBJECT_DISABLED, "subject_disabled")?,
            amr: self.column(AMR, "amr")?,
            acr: self.column(ACR, "acr")?,
            claims: self.column::<Json<Claims>>(CLAIMS, "claims")?.0,
            device: None,
            ip: None,
            user_agent: None,
            network: None,
            reauthenticate_since: self.column(REAUTHENTICATE_SINCE, "reauthenticate_since")?,
        })
    }

    fn column<'a, T: FromSql<'a>>(&'a self, place: usize, what: &'static str) -> Result<T, StorageError> {
        self.0.try_get(place).map_err(|_| corrupt(what))
    }
}

fn corrupt(what: &'static str) -> StorageError {
    StorageError::Corrupt { query: queries::SESSION_READ_FOR_EXCHANGE.name, what }
}

/// A value as the server sent it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
