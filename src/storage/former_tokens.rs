//! The tokens that sessions had before their current ones, and what a session remembers of its device: one statement each.

use time::OffsetDateTime;

use super::{
    error::StorageError,
    queries,
    run::at_most_one_row,
    sessions::{SessionStore, session},
};
use crate::domain::{session::Session, session_token::SessionTokenDigest};

/// The session of a token that has been replaced, and what became of the token.
#[derive(Debug)]
pub struct FoundFormerToken {
    /// The session.
    pub session: Session,
    /// The digest that the token is stored under.
    pub stored_digest: Vec<u8>,
    /// When the session got another token.
    pub replaced_at: OffsetDateTime,
    /// Until when this one still stands for it.
    pub valid_until: OffsetDateTime,
    /// When it was first presented after its grace.
    pub reused_at: Option<OffsetDateTime>,
}

/// What a session is used from now, and what follows.
#[derive(Debug)]
pub struct DeviceChange<'a> {
    /// The family of the user agent to remember.
    pub user_agent: Option<&'a str>,
    /// The network to remember.
    pub network: Option<String>,
    /// Since when the subject must authenticate again, where they must.
    pub reauthenticate_since: Option<OffsetDateTime>,
    /// When and why the session is revoked, where it is.
    pub revoked: Option<(OffsetDateTime, &'static str)>,
}

impl SessionStore {
    /// The session that a presented token belonged to; to be asked only after no session has it now.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find_former_token(
        &self,
        digests: &[SessionTokenDigest],
    ) -> Result<Option<FoundFormerToken>, StorageError> {
        let digests: Vec<&[u8]> = digests.iter().map(AsRef::as_ref).collect();
        let query = &queries::FORMER_TOKEN_FIND;
        let row = self.lookups.row(query, &[/* token_digests */ &digests]).await?;
        row.map(|row| {
            Ok(FoundFormerToken {
                session: session(query.name, &row)?,
                stored_digest: row.get("token_digest"),
                replaced_at: row.get("replaced_at"),
                valid_until: row.get("valid_until"),
                reused_at: row.get("reused_at"),
            })
        })
        .transpose()
    }

    /// Remembers what `session` is used from, unless another request has done so since it was read. Returns whether this
    /// call did it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn remember_device(&self, session: &Session, change: &DeviceChange<'_>) -> Result<bool, StorageError> {
        let query = &queries::SESSION_REMEMBER_DEVICE;
        let old_network = session.network.map(|network| network.to_string());
        let rows = self
            .database
            .execute(
                query,
                &[
                    /* session_id */ &session.id.as_uuid(),
                    /* old_user_agent */ &session.user_agent,
                    /* old_network */ &old_network,
                    /* user_agent */ &change.user_agent,
                    /* network */ &change.network,
                    /* reauthenticate_since */ &change.reauthenticate_since,
                    /* revoked_at */ &change.revoked.map(|(at, _)| at),
                    /* revoke_reason */ &change.revoked.map(|(_, reason)| reason),
                ],
            )
            .await?;
        at_most_one_row(query, rows)
    }
}
