//! The exchange's way from a presented token to a live session: memory while it may be believed, the primary otherwise.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    activity::Activity,
    freshness::Freshness,
    session_cache::CachedSession,
    session_loader::{Joining, LoadError, Owner, SessionLoader},
    sessions::{AuthenticateError, RefusalReason, Sessions, parse},
};
use crate::{
    clock::Clock,
    crypto::master_key::Vault,
    domain::{
        audience::Consistency,
        cookie_header::Presented,
        session::{IdleRule, SessionId, SessionStatus},
        session_token::SessionToken,
    },
    telemetry::metrics::{Counter, Metrics},
};

/// Where a session was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In memory.
    Cache,
    /// In the database.
    Database,
}

/// Why there is no live session.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The token is of no use. The session's id is known where a row was found, for the log alone.
    #[error("no live session")]
    Refused(RefusalReason, Option<SessionId>),
    /// It could not be decided.
    #[error(transparent)]
    NotRead(#[from] LoadError),
    /// The token is a former one, and of no use or undecided.
    #[error(transparent)]
    Former(#[from] AuthenticateError),
}

/// Finds live sessions for exchanges.
#[derive(Debug)]
pub struct LiveSessions {
    sessions: Arc<Sessions>,
    loader: Arc<SessionLoader>,
    freshness: Arc<Freshness>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    idle: IdleRule,
    activity: Arc<Activity>,
    metrics: Metrics,
    /// Counts sessions that were found in memory.
    hits: OnceLock<Counter>,
}

impl LiveSessions {
    /// Wires the service.
    #[must_use]
    pub fn new(
        sessions: Arc<Sessions>,
        loader: Arc<SessionLoader>,
        freshness: Arc<Freshness>,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        activity: Arc<Activity>,
        metrics: Metrics,
    ) -> Self {
        let idle = sessions.rules().idle;
        Self { sessions, loader, freshness, vault, clock, idle, activity, metrics, hits: OnceLock::new() }
    }

    /// Whether what is kept in memory may be believed at `monotonic`.
    #[must_use]
    pub fn may_use_memory_at(&self, monotonic: Duration) -> bool {
        self.freshness.trusted(monotonic)
    }

    /// The live session of a presented token, now noted as used.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn authenticate(
        &self,
        presented: Presented<'_>,
        consistency: Consistency,
    ) -> Result<(Arc<CachedSession>, Source), LiveError> {
        let token = parse(presented).map_err(|reason| LiveError::Refused(reason, None))?;
        let digest = self.vault.session_token_digest(&token);
        let monotonic = self.clock.monotonic();
        let memory = consistency == Consistency::Bounded && self.may_use_memory_at(monotonic);
        if memory {
            let now = self.clock.now();
            let cached = self.loader.cache().get(&digest).filter(|cached| cached.holds(&self.freshness, monotonic));
            // Anything but a live session is for the database to say: it may have been used elsewhere meanwhile.
            let cached = cached.filter(|cached| cached.status(now, self.idle) == SessionStatus::Active);
            let count = |result| self.metrics.cache_requests_total.with_label_values(&["sessions", result]);
            if let Some(cached) = cached {
                self.hits.get_or_init(|| count("hit")).inc();
                self.activity.note_cached(&cached, now);
                return Ok((cached, Source::Cache));
            }
            count("miss").inc();
        }
        // Apart, so that what reading needs takes no room in the many requests that are answered from memory.
        Box::pin(self.read(presented, &token, memory)).await
    }

    /// The live session of a token as the primary knows it.
    async fn read(
        &self,
        presented: Presented<'_>,
        token: &SessionToken,
        memory: bool,
    ) -> Result<(Arc<CachedSession>, Source), LiveError> {
        let digests = self.vault.session_token_digests(token);
        let joining = if memory { Joining::Allowed } else { Joining::Forbidden };
        let mut found = self.loader.load(digests.clone(), joining).await?;
        let believable = |owner: &Owner| matches!(owner, Owner::Session(session) if self.still_holds(session));
        if found.joined && !believable(&found.owner) {
            // The reading that was joined began before something ended, or before the session was there.
            found = self.loader.load(digests, Joining::Forbidden).await?;
        }
        let session = match found.owner {
            Owner::Session(session) => session,
            Owner::Former => return self.of_a_former_token(presented).await,
            Owner::Nobody => return Err(LiveError::Refused(RefusalReason::Unknown, None)),
        };
        if let Some(reason) = RefusalReason::of(session.status(self.clock.now(), self.idle)) {
            return Err(LiveError::Refused(reason, Some(session.session().id)));
        }
        self.activity.note_cached(&session, self.clock.now());
        Ok((session, Source::Database))
    }

    /// Some seconds after a renewal the former token still stands for the session. It is not kept in memory.
    async fn of_a_former_token(&self, presented: Presented<'_>) -> Result<(Arc<CachedSession>, Source), LiveError> {
        let (generation, read_at) = (self.freshness.generation(), self.clock.monotonic());
        let session = self.sessions.authenticate(presented).await?;
        Ok((Arc::new(CachedSession::new(session, generation, read_at)), Source::Database))
    }

    fn still_holds(&self, cached: &CachedSession) -> bool {
        cached.holds(&self.freshness, self.clock.monotonic())
    }
}
