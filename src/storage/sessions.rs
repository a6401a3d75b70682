//! The queries of the session entity that need no transaction; those that do are in `session_changes`.

use std::net::IpAddr;

use ipnet::IpNet;
use time::OffsetDateTime;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{
    error::StorageError,
    queries,
    run::{Database, at_most_one_row, one_row},
};
use crate::domain::{
    session::{Claims, Session, SessionId},
    session_token::SessionTokenDigest,
    subject::{Subject, SubjectEpoch},
};

/// A session to be stored; its epochs are read in the same statement.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: SessionId,
    /// The digest of its token.
    pub token_digest: SessionTokenDigest,
    /// Whom it belongs to.
    pub subject: &'a Subject,
    /// When it starts.
    pub created_at: OffsetDateTime,
    /// When the subject authenticated.
    pub auth_time: OffsetDateTime,
    /// Its absolute end.
    pub expires_at: OffsetDateTime,
    /// How it was started.
    pub start_method: &'static str,
    /// Authentication methods.
    pub amr: &'a [String],
    /// Assurance level.
    pub acr: Option<&'a str>,
    /// Custom claims.
    pub claims: &'a Claims,
    /// Description of the device.
    pub device: Option<&'a str>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// Family of the user agent.
    pub user_agent: Option<&'a str>,
    /// Network of the address.
    pub network: Option<IpNet>,
    /// The subject's revocation epoch when it authenticated; absent where nobody asked.
    pub authenticated_under: Option<SubjectEpoch>,
}

/// A session found by one of several digests, and which of them it is stored under.
#[derive(Debug)]
pub struct FoundSession {
    /// The session.
    pub session: Session,
    /// The digest of its row.
    pub stored_digest: Vec<u8>,
}

/// Owns the statements under `sql/session`.
#[derive(Debug, Clone)]
pub struct SessionStore {
    /// For presented tokens, which anybody may present.
    pub(super) lookups: Database,
    /// For everything else, so that strangers' tokens cannot keep an operator from revoking.
    pub(super) database: Database,
}

impl SessionStore {
    /// A store over two ways to one database: one for looking up presented tokens, one for everything else.
    #[must_use]
    pub fn new(lookups: Database, database: Database) -> Self {
        Self { lookups, database }
    }

    /// The session of a presented token, alive or not; nothing if no session has that token.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find_by_token_digest(
        &self,
        digests: &[SessionTokenDigest],
    ) -> Result<Option<FoundSession>, StorageError> {
        let digests: Vec<&[u8]> = digests.iter().map(AsRef::as_ref).collect();
        let query = &queries::SESSION_FIND_BY_TOKEN_DIGEST;
        let row = self.lookups.row(query, &[/* token_digests */ &digests]).await?;
        row.map(|row| Ok(FoundSession { session: session(query.name, &row)?, stored_digest: row.get("token_digest") }))
            .transpose()
    }

    /// One session by its public handle.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find_by_id(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        let query = &queries::SESSION_FIND_BY_ID;
        let row = self.database.row(query, &[/* session_id */ &id.as_uuid()]).await?;
        row.map(|row| session(query.name, &row)).transpose()
    }

    /// At most `limit` sessions with ids below `before`, newest first; of one subject, or of everyone.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(
        &self,
        subject: Option<&Subject>,
        before: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<Session>, StorageError> {
        let before = before.map_or(Uuid::max(), SessionId::as_uuid);
        let limit = i64::from(limit);
        let (query, rows) = if let Some(subject) = subject {
            let query = &queries::SESSION_LIST_BY_SUBJECT;
            let parameters = (subject.as_str(), before, limit);
            (
                query,
                self.database
                    .rows(
                        query,
                        &[
                            /* subject */ &parameters.0,
                            /* before */ &parameters.1,
                            /* limit */ &parameters.2,
                        ],
                    )
                    .await?,
            )
        } else {
            let query = &queries::SESSION_LIST;
            (query, self.database.rows(query, &[/* before */ &before, /* limit */ &limit]).await?)
        };
        rows.iter().map(|row| session(query.name, row)).collect()
    }

    /// At most `limit` live sessions of a subject, newest first; `idle_since` is the last use of an idle one.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list_live(
        &self,
        subject: &Subject,
        now: OffsetDateTime,
        idle_since: OffsetDateTime,
        limit: u16,
    ) -> Result<Vec<Session>, StorageError> {
        let query = &queries::SESSION_LIST_LIVE_BY_SUBJECT;
        let (subject, limit) = (subject.as_str(), i64::from(limit));
        let rows = self
            .database
            .rows(
                query,
                &[
                    /* subject */ &subject,
                    /* now */ &now,
                    /* idle_since */ &idle_since,
                    /* limit */ &limit,
                ],
            )
            .await?;
        rows.iter().map(|row| session(query.name, row)).collect()
    }

    /// Marks one session of `subject` revoked. Returns whether this call did it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the session may or may not be revoked then.
    pub async fn revoke_own(
        &self,
        id: SessionId,
        subject: &Subject,
        at: OffsetDateTime,
        reason: &str,
    ) -> Result<bool, StorageError> {
        let query = &queries::SESSION_REVOKE_OWN;
        let (id, subject) = (id.as_uuid(), subject.as_str());
        let rows = self
            .database
            .execute(
                query,
                &[
                    /* session_id */ &id, /* subject */ &subject, /* revoked_at */ &at,
                    /* revoke_reason */ &reason,
                ],
            )
            .await?;
        at_most_one_row(query, rows)
    }

    /// Marks one session revoked. Returns whether this call did it: the first revocation wins.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the session may or may not be revoked then.
    pub async fn revoke(&self, id: SessionId, at: OffsetDateTime, reason: &str) -> Result<bool, StorageError> {
        let query = &queries::SESSION_REVOKE;
        let rows = self
            .database
            .execute(query, &[/* session_id */ &id.as_uuid(), /* revoked_at */ &at, /* revoke_reason */ &reason])
            .await?;
        at_most_one_row(query, rows)
    }

    /// Ends every session of `subject`, or of everyone, with one row, however many they are.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; all or none may be ended then.
    pub async fn revoke_all(&self, subject: Option<&Subject>, at: OffsetDateTime) -> Result<(), StorageError> {
        let (query, rows) = if let Some(subject) = subject {
            let query = &queries::SUBJECT_RAISE_EPOCH;
            let subject = subject.as_str();
            (query, self.database.execute(query, &[/* subject */ &subject, /* revoked_at */ &at]).await?)
        } else {
            let query = &queries::SUBJECT_RAISE_GLOBAL_EPOCH;
            (query, self.database.execute(query, &[/* revoked_at */ &at]).await?)
        };
        one_row(query, rows)
    }

    /// How many sessions of `subject`, or of everyone, are live at `now`; `idle_since` is the last use of an idle one.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer, or there are too many to count in time.
    pub async fn count_live(
        &self,
        subject: Option<&Subject>,
        now: OffsetDateTime,
        idle_since: OffsetDateTime,
    ) -> Result<u64, StorageError> {
        let row = if let Some(subject) = subject {
            let parameters = (subject.as_str(), now, idle_since);
            let query = &queries::SESSION_COUNT_LIVE_BY_SUBJECT;
            self.database
                .row(
                    query,
                    &[
                        /* subject */ &parameters.0,
                        /* now */ &parameters.1,
                        /* idle_since */ &parameters.2,
                    ],
                )
                .await?
        } else {
            self.database.row(&queries::SESSION_COUNT_LIVE, &[/* now */ &now, /* idle_since */ &idle_since]).await?
        };
        let live = row.map_or(0, |row| row.get::<_, i64>("live_sessions"));
        Ok(u64::try_from(live).unwrap_or(0))
    }

    /// Keeps a session under another digest of its token. Returns whether this call did it.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn replace_token_digest(
        &self,
        id: SessionId,
        old: &[u8],
        new: SessionTokenDigest,
    ) -> Result<bool, StorageError> {
        let query = &queries::SESSION_REPLACE_TOKEN_DIGEST;
        let rows = self
            .database
            .execute(query, &[/* session_id */ &id.as_uuid(), /* old_digest */ &old, /* new_digest */ &new.as_ref()])
            .await?;
        at_most_one_row(query, rows)
    }

    /// Moves last-seen times forward; ids must be sorted, so that two batches lock rows in one order.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn touch_batch(&self, sorted: &[(SessionId, OffsetDateTime)]) -> Result<u64, StorageError> {
        let ids: Vec<Uuid> = sorted.iter().map(|(id, _)| id.as_uuid()).collect();
        let instants: Vec<OffsetDateTime> = sorted.iter().map(|(_, at)| *at).collect();
        self.database
            .execute(&queries::SESSION_TOUCH_BATCH, &[/* session_ids */ &ids, /* last_seen_at */ &instants])
            .await
    }
}

pub(super) fn session(query: &'static str, row: &Row) -> Result<Session, StorageError> {
    let corrupt = |what| StorageError::Corrupt { query, what };
    let ip = row.get::<_, Option<String>>("ip");
    let network = row.get::<_, Option<String>>("network");
    Ok(Session {
        id: SessionId::from(row.get::<_, Uuid>("session_id")),
        subject: Subject::parse(row.get::<_, String>("subject")).map_err(|_| corrupt("subject"))?,
        created_at: row.get("created_at"),
        auth_time: row.get("auth_time"),
        last_seen_at: row.get("last_seen_at"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
        superseded: row.get("superseded"),
        subject_disabled: row.get("subject_disabled"),
        amr: row.get("amr"),
        acr: row.get("acr"),
        claims: row.try_get::<_, Json<Claims>>("claims").map_err(|_| corrupt("claims"))?.0,
        device: row.get("device"),
        ip: ip.map(|ip| ip.parse()).transpose().map_err(|_| corrupt("ip"))?,
        user_agent: row.get("user_agent"),
        network: network.map(|network| network.parse()).transpose().map_err(|_| corrupt("network"))?,
        reauthenticate_since: row.get("reauthenticate_since"),
    })
}
