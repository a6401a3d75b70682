//! New sessions, and the most that a subject may have.

use std::net::IpAddr;

use time::OffsetDateTime;

use super::{RevokeReason, Sessions, StartError, tell_revoked};
use crate::{
    domain::{
        session::{Claims, SessionId},
        session_token::SessionToken,
        subject::Subject,
    },
    storage::{session_changes::SessionChange, sessions::NewSession},
};

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

/// A session that a start has ended.
pub(super) type Ended = (SessionId, RevokeReason);

impl Sessions {
    /// Starts a session under a new token. Where the subject has too many, the oldest give way.
    ///
    /// # Errors
    /// [`StartError`]; no session exists then, unless the database's answer was lost.
    pub async fn start(&self, start: StartSession) -> Result<StartedSession, StartError> {
        let now = self.clock.now();
        let token = SessionToken::generate()?;
        let id = SessionId::generate(now)?;
        let expires_at = now + self.rules.absolute_timeout;
        let (_turn, change) = self.begin_for(&start.subject).await?;
        let new = NewSession {
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
            ip: start.ip.and_then(|ip| self.rules.address_precision.keep(ip)),
            // What the browser will be seen to use is remembered at its first request.
            user_agent: None,
            network: None,
            authenticated_under: None,
        };
        let ended = self.insert(&change, &new, None).await?;
        change.commit().await?;
        if !ended.is_empty() {
            self.follower.catch_up().await;
        }
        self.tell_started(&new, &ended);
        Ok(StartedSession { id, token, expires_at })
    }

    /// Stores a session of a subject that is locked, and revokes those that must give way to it.
    pub(super) async fn insert(
        &self,
        change: &SessionChange<'_>,
        new: &NewSession<'_>,
        replaced: Option<SessionId>,
    ) -> Result<Vec<Ended>, StartError> {
        if !change.insert(new).await? {
            return Err(StartError::SubjectDisabled);
        }
        let (now, others) = (new.created_at, self.rules.max_per_subject.saturating_sub(1));
        let beyond = change.beyond_limit(new.subject, now, self.rules.idle.idle_since(now), new.id, others).await?;
        let ends = beyond.into_iter().map(|id| (id, RevokeReason::Limit));
        let ends: Vec<Ended> = replaced.map(|id| (id, RevokeReason::Replaced)).into_iter().chain(ends).collect();
        let named: Vec<_> = ends.iter().map(|(id, reason)| (*id, reason.as_str())).collect();
        let revoked = change.revoke(&named, now).await?;
        Ok(ends.into_iter().filter(|(id, _)| revoked.contains(id)).collect())
    }

    /// Counts and records a start that is durable.
    pub(super) fn tell_started(&self, new: &NewSession<'_>, ended: &[Ended]) {
        self.metrics.sessions_started_total.with_label_values(&[new.start_method]).inc();
        tracing::info!(
            target: "audit",
            event = "session_started",
            session.id = %new.id,
            subject = %new.subject,
            method = new.start_method,
            "session started"
        );
        for (id, reason) in ended {
            tell_revoked(&self.metrics, *id, *reason);
        }
    }
}
