//! Changes of sessions that take several statements: all of them in one transaction, or none.

use std::time::Duration;

use ipnet::IpNet;
use time::OffsetDateTime;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{
    error::StorageError,
    queries,
    run::{Transaction, at_most_one_row},
    sessions::{NewSession, SessionStore, session},
};
use crate::domain::{
    device::Seen,
    event::Changed,
    session::{Session, SessionId},
    session_token::SessionTokenDigest,
    subject::{Subject, SubjectEpoch},
};

/// How many former tokens of a session are kept, however old they are.
const FORMER_TOKENS: i64 = 5;
/// For how long the first former tokens of each minute are kept beyond that.
const FIRSTS_KEPT: Duration = Duration::from_hours(1);

/// What a step-up writes.
#[derive(Debug)]
pub struct StepUp<'a> {
    /// The digest of the new token.
    pub token_digest: SessionTokenDigest,
    /// When the subject authenticated.
    pub auth_time: OffsetDateTime,
    /// Every method that the session has shown.
    pub amr: &'a [String],
    /// From where.
    pub seen: &'a Seen,
}

impl SessionStore {
    /// Begins a change. Dropped without [`SessionChange::commit`], nothing has changed.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn begin(&self) -> Result<SessionChange<'_>, StorageError> {
        Ok(SessionChange { transaction: self.database.begin().await? })
    }
}

/// A change under way.
pub struct SessionChange<'a> {
    transaction: Transaction<'a>,
}

impl SessionChange<'_> {
    /// Lets no other transaction start sessions of this subject until this one ends.
    ///
    /// # Errors
    /// [`StorageError`] when the lock is not free in time or the database does not answer.
    pub async fn lock_subject(&self, subject: &Subject) -> Result<(), StorageError> {
        let subject = subject.as_str();
        self.transaction.rows(&queries::SESSION_LOCK_SUBJECT, &[/* subject */ &subject]).await.map(drop)
    }

    /// Keeps a session from changing until this transaction ends. Returns the digest it is stored under; nothing if it is
    /// unknown or revoked by itself.
    ///
    /// # Errors
    /// [`StorageError`] when the lock is not free in time or the database does not answer.
    pub async fn lock(&self, id: SessionId) -> Result<Option<Vec<u8>>, StorageError> {
        let rows = self.transaction.rows(&queries::SESSION_LOCK, &[/* session_id */ &id.as_uuid()]).await?;
        Ok(rows.first().map(|row| row.get("token_digest")))
    }

    /// One session as this transaction sees it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn get(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        let query = &queries::SESSION_FIND_BY_ID;
        let rows = self.transaction.rows(query, &[/* session_id */ &id.as_uuid()]).await?;
        rows.first().map(|row| session(query.name, row)).transpose()
    }

    /// Stores a new session. Returns whether it was stored: a disabled subject gets none, nor one whose sessions were all ended
    /// after it had authenticated.
    ///
    /// # Errors
    /// [`StorageError`] when the database refuses or does not answer.
    pub async fn insert(&self, new: &NewSession<'_>) -> Result<bool, StorageError> {
        let query = &queries::SESSION_INSERT;
        let rows = self
            .transaction
            .execute(
                query,
                &[
                    /* session_id */ &new.id.as_uuid(),
                    /* token_digest */ &new.token_digest.as_ref(),
                    /* subject */ &new.subject.as_str(),
                    /* created_at */ &new.created_at,
                    /* auth_time */ &new.auth_time,
                    /* expires_at */ &new.expires_at,
                    /* start_method */ &new.start_method,
                    /* amr */ &new.amr,
                    /* acr */ &new.acr,
                    /* claims */ &Json(new.claims),
                    /* device */ &new.device,
                    /* ip */ &new.ip.map(|ip| ip.to_string()),
                    /* user_agent */ &new.user_agent,
                    /* network */ &text(new.network),
                    /* authenticated_under */ &new.authenticated_under.map(SubjectEpoch::number),
                ],
            )
            .await?;
        at_most_one_row(query, rows)
    }

    /// Gives a locked session another token. The one it had, `old_digest`, stands for it until `valid_until`.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn renew(
        &self,
        id: SessionId,
        old_digest: &[u8],
        new_digest: SessionTokenDigest,
        now: OffsetDateTime,
        valid_until: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let parameters: super::run::Parameters<'_> =
            &[/* session_id */ &id.as_uuid(), /* token_digest */ &new_digest.as_ref()];
        self.transaction.execute_one(&queries::SESSION_RENEW, parameters).await?;
        self.keep_former_token(id, old_digest, now, valid_until).await
    }

    /// Notes that the subject of a locked session has authenticated again, and gives it another token. The one it had,
    /// `old_digest`, and all before it are dead at once.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn step_up(&self, id: SessionId, old_digest: &[u8], change: &StepUp<'_>) -> Result<(), StorageError> {
        let seen = change.seen;
        self.transaction
            .execute_one(
                &queries::SESSION_STEP_UP,
                &[
                    /* session_id */ &id.as_uuid(),
                    /* token_digest */ &change.token_digest.as_ref(),
                    /* auth_time */ &change.auth_time,
                    /* amr */ &change.amr,
                    /* device */ &seen.device,
                    /* ip */ &seen.ip.map(|ip| ip.to_string()),
                    /* user_agent */ &seen.user_agent,
                    /* network */ &text(seen.network),
                ],
            )
            .await?;
        let parameters: super::run::Parameters<'_> =
            &[/* session_id */ &id.as_uuid(), /* now */ &change.auth_time];
        self.transaction.execute(&queries::FORMER_TOKEN_INVALIDATE, parameters).await?;
        self.keep_former_token(id, old_digest, change.auth_time, change.auth_time).await
    }

    /// What of a device none of the stored sessions of a subject remembers. Nothing where they remember it all, and for
    /// what none of them remembers anything of.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn new_to(&self, subject: &Subject, seen: &Seen) -> Result<Option<Changed>, StorageError> {
        let query = &queries::SESSION_KNOWN_DEVICE;
        let (subject, network) = (subject.as_str(), text(seen.network));
        let rows = self
            .transaction
            .rows(query, &[/* subject */ &subject, /* user_agent */ &seen.user_agent, /* network */ &network])
            .await?;
        let row = rows.first().ok_or(StorageError::RowCount { query: query.name, rows: 0 })?;
        let is_new = |told: bool, any, known| told && row.get::<_, bool>(any) && !row.get::<_, bool>(known);
        let user_agent = is_new(seen.user_agent.is_some(), "knows_user_agents", "user_agent_known");
        let network = is_new(seen.network.is_some(), "knows_networks", "network_known");
        Ok(match (user_agent, network) {
            (true, true) => Some(Changed::UserAgentAndNetwork),
            (true, false) => Some(Changed::UserAgent),
            (false, true) => Some(Changed::Network),
            (false, false) => None,
        })
    }

    /// The live sessions of a subject but `spared`, without the `kept` newest of them; `idle_since` is the last use of an idle
    /// one.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn beyond_limit(
        &self,
        subject: &Subject,
        now: OffsetDateTime,
        idle_since: OffsetDateTime,
        spared: SessionId,
        kept: u32,
    ) -> Result<Vec<SessionId>, StorageError> {
        let (subject, kept) = (subject.as_str(), i64::from(kept));
        let rows = self
            .transaction
            .rows(
                &queries::SESSION_LIST_BEYOND_LIMIT,
                &[
                    /* subject */ &subject,
                    /* now */ &now,
                    /* idle_since */ &idle_since,
                    /* spared */ &spared.as_uuid(),
                    /* kept */ &kept,
                ],
            )
            .await?;
        Ok(rows.iter().map(|row| SessionId::from(row.get::<_, Uuid>("session_id"))).collect())
    }

    /// Marks sessions revoked, each for its reason. Returns those that this call revoked.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn revoke(
        &self,
        sessions: &[(SessionId, &'static str)],
        at: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StorageError> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = sessions.iter().map(|(id, _)| id.as_uuid()).collect();
        let reasons: Vec<&str> = sessions.iter().map(|(_, reason)| *reason).collect();
        let rows = self
            .transaction
            .rows(
                &queries::SESSION_REVOKE_BATCH,
                &[/* session_ids */ &ids, /* revoke_reasons */ &reasons, /* revoked_at */ &at],
            )
            .await?;
        Ok(rows.iter().map(|row| SessionId::from(row.get::<_, Uuid>("session_id"))).collect())
    }

    /// Notes that a former token of a locked session came after its grace. Returns whether this is the first time.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn mark_reused(&self, token_digest: &[u8], at: OffsetDateTime) -> Result<bool, StorageError> {
        let query = &queries::FORMER_TOKEN_MARK_REUSED;
        let parameters: super::run::Parameters<'_> = &[/* token_digest */ &token_digest, /* reused_at */ &at];
        at_most_one_row(query, self.transaction.execute(query, parameters).await?)
    }

    /// Makes the changes durable.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; all or none of the changes hold then.
    pub async fn commit(self) -> Result<(), StorageError> {
        self.transaction.commit().await
    }

    async fn keep_former_token(
        &self,
        id: SessionId,
        digest: &[u8],
        replaced_at: OffsetDateTime,
        valid_until: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let parameters: super::run::Parameters<'_> = &[
            /* token_digest */ &digest,
            /* session_id */ &id.as_uuid(),
            /* replaced_at */ &replaced_at,
            /* valid_until */ &valid_until,
        ];
        self.transaction.execute_one(&queries::FORMER_TOKEN_INSERT, parameters).await?;
        let firsts_since = replaced_at - FIRSTS_KEPT;
        let parameters: super::run::Parameters<'_> = &[
            /* session_id */ &id.as_uuid(),
            /* kept */ &FORMER_TOKENS,
            /* firsts_since */ &firsts_since,
        ];
        self.transaction.execute(&queries::FORMER_TOKEN_TRIM, parameters).await.map(drop)
    }
}

fn text(network: Option<IpNet>) -> Option<String> {
    network.map(|network| network.to_string())
}
