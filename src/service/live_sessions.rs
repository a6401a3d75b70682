//! The exchange's way from a presented token to a live session: memory while it may be believed, the primary otherwise.

use std::sync::Arc;

use super::{
    activity::Activity,
    freshness::Freshness,
    session_cache::CachedSession,
    session_loader::{Joining, LoadError, SessionLoader},
    sessions::{AuthenticateError, RefusalReason, parse},
};
use crate::{
    clock::Clock,
    crypto::master_key::Vault,
    domain::{
        audience::Consistency,
        cookie_header::Presented,
        session::{IdleRule, SessionStatus},
    },
    telemetry::metrics::Metrics,
};

/// Where a session was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In memory.
    Cache,
    /// In the database.
    Database,
}

/// Finds live sessions for exchanges.
#[derive(Debug)]
pub struct LiveSessions {
    loader: Arc<SessionLoader>,
    freshness: Arc<Freshness>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    idle: IdleRule,
    activity: Arc<Activity>,
    metrics: Metrics,
}

impl LiveSessions {
    /// Wires the service.
    #[must_use]
    pub fn new(
        loader: Arc<SessionLoader>,
        freshness: Arc<Freshness>,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        idle: IdleRule,
        activity: Arc<Activity>,
        metrics: Metrics,
    ) -> Self {
        Self { loader, freshness, vault, clock, idle, activity, metrics }
    }

    /// Whether what is kept in memory may be believed now.
    #[must_use]
    pub fn may_use_memory(&self) -> bool {
        self.freshness.trusted(self.clock.monotonic())
    }

    /// The live session of a presented token, now noted as used.
    ///
    /// # Errors
    /// [`AuthenticateError`], as `Sessions::authenticate` gives it.
    pub async fn authenticate(
        &self,
        presented: Presented<'_>,
        consistency: Consistency,
    ) -> Result<(Arc<CachedSession>, Source), AuthenticateError> {
        let token = parse(presented).map_err(|reason| AuthenticateError::Refused(reason, None))?;
        let digest = self.vault.session_token_digest(&token);
        let memory = consistency == Consistency::Bounded && self.may_use_memory();
        if memory {
            let cached = self.loader.cache().get(&digest).filter(|cached| self.still_holds(cached));
            // Anything but a live session is for the database to say: it may have been used elsewhere meanwhile.
            let cached = cached.filter(|cached| cached.status(self.clock.now(), self.idle) == SessionStatus::Active);
            let result = if cached.is_some() { "hit" } else { "miss" };
            self.metrics.cache_requests_total.with_label_values(&["sessions", result]).inc();
            if let Some(cached) = cached {
                self.activity.note_cached(&cached, self.clock.now());
                return Ok((cached, Source::Cache));
            }
        }
        let digests = self.vault.session_token_digests(&token);
        let joining = if memory { Joining::Allowed } else { Joining::Forbidden };
        let mut found = self.loader.load(digests.clone(), joining).await?;
        if found.joined && !found.session.as_ref().is_some_and(|session| self.still_holds(session)) {
            // The reading that was joined began before something ended, or before the session was there.
            found = self.loader.load(digests, Joining::Forbidden).await?;
        }
        let session = found.session.ok_or(AuthenticateError::Refused(RefusalReason::Unknown, None))?;
        let refused = |reason| Err(AuthenticateError::Refused(reason, Some(session.session().id)));
        match session.status(self.clock.now(), self.idle) {
            SessionStatus::Active => {}
            SessionStatus::Revoked => return refused(RefusalReason::Revoked),
            SessionStatus::SubjectDisabled => return refused(RefusalReason::SubjectDisabled),
            SessionStatus::Expired => return refused(RefusalReason::Expired),
            SessionStatus::Idle => return refused(RefusalReason::Idle),
        }
        self.activity.note_cached(&session, self.clock.now());
        Ok((session, Source::Database))
    }

    fn still_holds(&self, cached: &CachedSession) -> bool {
        cached.holds(&self.freshness, self.clock.monotonic())
    }
}

impl From<LoadError> for AuthenticateError {
    fn from(error: LoadError) -> Self {
        Self::NotRead(error)
    }
}
