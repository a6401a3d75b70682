//! Start, find and revoke sessions.

use std::{net::IpAddr, sync::Arc, time::Duration};

use time::OffsetDateTime;

use super::{activity::Activity, revocation_follower::RevocationFollower, session_loader::LoadError};
use crate::{
    clock::Clock,
    crypto::master_key::Vault,
    domain::{
        cookie_header::Presented,
        session::{Claims, IdleRule, Session, SessionId, SessionStatus},
        session_token::SessionToken,
        subject::Subject,
    },
    random::RandomFailed,
    storage::{
        error::StorageError,
        sessions::{FoundSession, NewSession, SessionStore},
    },
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
};

/// Why a presented token is not a live session. Never told to whoever presented it: all of these look the same from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// No token was presented.
    Absent,
    /// Two different tokens were presented.
    Conflicting,
    /// The text cannot be a token.
    Malformed,
    /// No session has this token.
    Unknown,
    /// The session was revoked.
    Revoked,
    /// Its subject is disabled.
    SubjectDisabled,
    /// It is past its absolute end.
    Expired,
    /// It was not used for too long.
    Idle,
}

impl RefusalReason {
    /// The reason's name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "no_session_token",
            Self::Conflicting => "conflicting_session_tokens",
            Self::Malformed => "malformed_session_token",
            Self::Unknown => "unknown_session",
            Self::Revoked => "session_revoked",
            Self::SubjectDisabled => "subject_disabled",
            Self::Expired => "session_expired",
            Self::Idle => "session_idle",
        }
    }
}

/// Why a request is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// There is no live session. The session's id is known where a row was found, for the log alone.
    #[error("no live session")]
    Refused(RefusalReason, Option<SessionId>),
    /// It could not be decided.
    #[error("the session could not be looked up")]
    Unavailable(#[from] StorageError),
    /// It could not be read together with others.
    #[error(transparent)]
    NotRead(LoadError),
}

/// Why a session was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The subject is disabled.
    #[error("the subject is disabled")]
    SubjectDisabled,
    /// No token could be made.
    #[error("no session token could be made")]
    Random(#[from] RandomFailed),
    /// It could not be stored.
    #[error("the session could not be stored")]
    Unavailable(#[from] StorageError),
}

/// Why a session is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeReason {
    /// Its owner signed out.
    Logout,
    /// An operator or a trusted back end ended it.
    Admin,
}

impl RevokeReason {
    /// The reason's name in storage, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Admin => "admin",
        }
    }
}

/// What a session is started with.
#[derive(Debug, Clone)]
pub struct StartSession {
    /// Whom it belongs to.
    pub subject: Subject,
    /// How the subject authenticated.
    pub amr: Vec<String>,
    /// Which assurance level that reached.
    pub acr: Option<String>,
    /// When the subject authenticated, if not now.
    pub auth_time: Option<OffsetDateTime>,
    /// Custom claims.
    pub claims: Claims,
    /// Description of the device.
    pub device: Option<String>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// How it is started, for metrics.
    pub method: &'static str,
}

/// A new session and, this once, its token.
#[derive(Debug)]
pub struct StartedSession {
    /// The session's id.
    pub id: SessionId,
    /// Its token.
    pub token: SessionToken,
    /// Its absolute end.
    pub expires_at: OffsetDateTime,
}

/// How many sessions a revocation ended, and from when no replica mints for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// How many live sessions it ended; absent where they were too many to count in time.
    pub sessions: Option<u64>,
    /// From this instant on no replica answers with a token of theirs.
    pub effective_by: OffsetDateTime,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub struct SessionRules {
    /// The idle rule.
    pub idle: IdleRule,
    /// From start to absolute end.
    pub absolute_timeout: Duration,
    /// How long any replica may go on minting after a revocation: until it notices, and until decisions that began before it
    /// are over.
    pub revocation_bound: Duration,
}

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    store: SessionStore,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    rules: SessionRules,
    activity: Arc<Activity>,
    follower: Arc<RevocationFollower>,
    metrics: Metrics,
}

impl Sessions {
    /// Wires the service.
    #[must_use]
    pub fn new(
        store: SessionStore,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        rules: SessionRules,
        activity: Arc<Activity>,
        follower: Arc<RevocationFollower>,
        metrics: Metrics,
    ) -> Self {
        Self { store, vault, clock, rules, activity, follower, metrics }
    }

    /// How long sessions live.
    #[must_use]
    pub fn rules(&self) -> SessionRules {
        self.rules
    }

    /// The status of a session that was read, now.
    #[must_use]
    pub fn status(&self, session: &Session) -> SessionStatus {
        session.status(self.clock.now(), self.rules.idle)
    }

    /// Starts a session under a new token.
    ///
    /// # Errors
    /// [`StartError`]; no session exists then, unless the database's answer was lost.
    pub async fn start(&self, start: StartSession) -> Result<StartedSession, StartError> {
        let now = self.clock.now();
        let token = SessionToken::generate()?;
        let id = SessionId::generate(now)?;
        let expires_at = now + self.rules.absolute_timeout;
        let stored = self
            .store
            .insert(&NewSession {
                id,
                token_digest: self.vault.session_token_digest(&token),
                subject: &start.subject,
                created_at: now,
                auth_time: start.auth_time.unwrap_or(now),
                expires_at,
                start_method: start.method,
                amr: &start.amr,
                acr: start.acr.as_deref(),
                claims: &start.claims,
                device: start.device.as_deref(),
                ip: start.ip,
            })
            .await?;
        if !stored {
            return Err(StartError::SubjectDisabled);
        }
        self.metrics.sessions_started_total.with_label_values(&[start.method]).inc();
        tracing::info!(
            target: "audit",
            event = "session_started",
            session.id = %id,
            subject = %start.subject,
            method = start.method,
            "session started"
        );
        Ok(StartedSession { id, token, expires_at })
    }

    /// The live session of a presented token, now noted as used.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`] when there is none, [`AuthenticateError::Unavailable`] when that cannot be decided.
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Session, AuthenticateError> {
        let token = parse(presented).map_err(|reason| AuthenticateError::Refused(reason, None))?;
        let now = self.clock.now();
        let session = self.find(&token).await?.ok_or(AuthenticateError::Refused(RefusalReason::Unknown, None))?;
        let refused = |reason| AuthenticateError::Refused(reason, Some(session.id));
        match session.status(now, self.rules.idle) {
            SessionStatus::Active => {}
            SessionStatus::Revoked => return Err(refused(RefusalReason::Revoked)),
            SessionStatus::SubjectDisabled => return Err(refused(RefusalReason::SubjectDisabled)),
            SessionStatus::Expired => return Err(refused(RefusalReason::Expired)),
            SessionStatus::Idle => return Err(refused(RefusalReason::Idle)),
        }
        self.activity.note(&session, now);
        Ok(session)
    }

    /// One session by its public handle, alive or not.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn get(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        let mut session = self.store.find_by_id(id).await?;
        if let Some(session) = &mut session {
            self.activity.refresh(session);
        }
        Ok(session)
    }

    /// A page of sessions with ids below `before`, newest first, alive or not; of one subject, or of everyone.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(
        &self,
        subject: Option<&Subject>,
        before: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<Session>, StorageError> {
        let mut sessions = self.store.list(subject, before, limit).await?;
        for session in &mut sessions {
            self.activity.refresh(session);
        }
        Ok(sessions)
    }

    /// Revokes one session; revoking it again, or one that never was, ends nothing and is no error.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the caller must not believe the session revoked.
    pub async fn revoke(&self, id: SessionId, reason: RevokeReason) -> Result<Revoked, StorageError> {
        let now = self.clock.now();
        let revoked = self.store.revoke(id, now, reason.as_str()).await?;
        self.follower.catch_up().await;
        if revoked {
            self.metrics.sessions_ended_total.with_label_values(&[reason.as_str()]).inc();
            tracing::info!(
                target: "audit",
                event = "session_revoked",
                session.id = %id,
                reason = reason.as_str(),
                "session revoked"
            );
        }
        Ok(self.revoked(Some(u64::from(revoked))))
    }

    /// Revokes every session of a subject, or of everyone where none is named, with one write however many they are.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the caller must not believe anything revoked.
    pub async fn revoke_all(&self, subject: Option<&Subject>, reason: RevokeReason) -> Result<Revoked, StorageError> {
        let now = self.clock.now();
        let idle_since = now - self.rules.idle.timeout - self.rules.idle.granularity;
        // Counting is a courtesy: it must neither fail nor delay the revocation by more than a statement's time.
        let sessions = self.store.count_live(subject, now, idle_since).await.ok();
        self.store.revoke_all(subject, now).await?;
        self.follower.catch_up().await;
        self.metrics.sessions_ended_total.with_label_values(&[reason.as_str()]).inc_by(sessions.unwrap_or(0));
        tracing::info!(
            target: "audit",
            event = "sessions_revoked",
            subject = subject.map_or("*", Subject::as_str),
            sessions,
            reason = reason.as_str(),
            "all sessions of a subject, or of everyone, revoked"
        );
        Ok(self.revoked(sessions))
    }

    /// The synchroniser token that forms of this session must carry.
    #[must_use]
    pub fn csrf_token(&self, session: SessionId) -> String {
        self.vault.csrf_token(session)
    }

    /// Returns once the clock has reached `effective_by`.
    pub async fn wait_until_effective(&self, revoked: Revoked) {
        let left = revoked.effective_by - self.clock.now();
        if let Ok(left) = Duration::try_from(left) {
            tokio::time::sleep(left.min(self.rules.revocation_bound)).await;
        }
    }

    fn revoked(&self, sessions: Option<u64>) -> Revoked {
        // Read after the commit: a decision that began before it may still be on its way.
        Revoked { sessions, effective_by: self.clock.now() + self.rules.revocation_bound }
    }

    async fn find(&self, token: &SessionToken) -> Result<Option<Session>, StorageError> {
        let digests = self.vault.session_token_digests(token);
        let Some(FoundSession { mut session, stored_digest }) = self.store.find_by_token_digest(&digests).await? else {
            return Ok(None);
        };
        let current = self.vault.session_token_digest(token);
        if stored_digest != current.as_ref() {
            // Stored under a previous master key. Failing to move it costs nothing but a try at the next use.
            if let Err(error) = self.store.replace_token_digest(session.id, &stored_digest, current).await {
                tracing::warn!(session.id = %session.id, error = %ErrorChain(&error), "session not moved to the master key");
            }
        }
        self.activity.refresh(&mut session);
        Ok(Some(session))
    }
}

pub(super) fn parse(presented: Presented<'_>) -> Result<SessionToken, RefusalReason> {
    match presented {
        Presented::Absent => Err(RefusalReason::Absent),
        Presented::Conflicting => Err(RefusalReason::Conflicting),
        Presented::Value(text) => SessionToken::parse(text).map_err(|_| RefusalReason::Malformed),
    }
}
