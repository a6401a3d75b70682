//! The exchange's way from a presented token to a live session: memory while it may be believed, the primary otherwise.

use std::{sync::Arc, time::Duration};

use super::{
    activity::Activity,
    freshness::Freshness,
    session_cache::CachedSession,
    session_loader::{Found, Joining, LoadError, Owner, SessionLoader},
    sessions::{AuthenticateError, RefusalReason, Sessions, parse},
};
use crate::{
    clock::Clock,
    crypto::master_key::Vault,
    domain::{
        audience::Consistency,
        cookie_header::Presented,
        session::{IdleRule, SessionId, SessionStatus},
    },
    telemetry::metrics::Metrics,
};

/// Where a session was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In memory.
    Cache,
    /// In the database, by a reading that had begun before it was asked for.
    Joined,
    /// In the database, by a reading that began after it was asked for.
    Database,
}

/// A session that was found alive.
#[derive(Debug, Clone)]
pub struct Live {
    /// The session.
    pub session: Arc<CachedSession>,
    /// Where it was found.
    pub source: Source,
}

impl Live {
    /// Whether it may still be believed at `monotonic`: it has not been marked since it was read, what may have been read before the
    /// request is believed under a lease only, and whoever revokes and waits for all waits for this replica.
    #[must_use]
    pub fn stands(&self, freshness: &Freshness, monotonic: Duration) -> bool {
        (self.source == Source::Database || freshness.trusted(monotonic))
            && freshness.counted_in(monotonic)
            && self.session.holds(freshness, monotonic)
    }
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
        Self { sessions, loader, freshness, vault, clock, idle, activity, metrics }
    }

    /// Whether what was found may still be believed at `monotonic`.
    #[must_use]
    pub fn stands(&self, live: &Live, monotonic: Duration) -> bool {
        live.stands(&self.freshness, monotonic)
    }

    /// Whether what is kept in memory may be believed now.
    #[must_use]
    pub fn may_use_memory(&self) -> bool {
        self.freshness.trusted(self.clock.monotonic())
    }

    /// How long ago this replica last began to read who was ended; nothing where it has not, or has lost track.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.freshness.lag(self.clock.monotonic())
    }

    /// How many sessions are kept in memory.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.loader.cache().len()
    }

    /// The live session of a presented token, now noted as used.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn authenticate(&self, presented: Presented<'_>, consistency: Consistency) -> Result<Live, LiveError> {
        let token = parse(presented).map_err(|reason| LiveError::Refused(reason, None))?;
        let digest = self.vault.session_token_digest(&token);
        let memory = consistency == Consistency::Bounded && self.freshness.trusted(self.clock.monotonic());
        if memory {
            let kept = |session| Live { session, source: Source::Cache };
            let cached = self.loader.cache().get(&digest).map(kept).filter(|live| self.stands_now(live));
            // Anything but a live session is for the database to say: it may have been used elsewhere meanwhile.
            let cached =
                cached.filter(|live| live.session.status(self.clock.now(), self.idle) == SessionStatus::Active);
            let result = if cached.is_some() { "hit" } else { "miss" };
            self.metrics.cache_requests_total.with_label_values(&["sessions", result]).inc();
            if let Some(live) = cached {
                self.activity.note_cached(&live.session, self.clock.now());
                return Ok(live);
            }
        }
        if !self.freshness.counted_in(self.clock.monotonic()) {
            // The process was paused, or the database was gone.
            let counted = self.sessions.be_counted_in().await;
            counted.map_err(|error| LoadError::Storage(Arc::new(error)))?;
        }
        let digests = self.vault.session_token_digests(&token);
        let joining = if memory { Joining::Allowed } else { Joining::Forbidden };
        let mut found = self.loader.load(digests.clone(), joining).await?;
        let of = |found: &Found| match &found.owner {
            Owner::Session(session) => {
                let source = if found.joined { Source::Joined } else { Source::Database };
                Some(Live { session: Arc::clone(session), source })
            }
            Owner::Former | Owner::Nobody => None,
        };
        if found.joined && !of(&found).is_some_and(|live| self.stands_now(&live)) {
            // The reading that was joined began before something ended, or before the session was there; or it took so long that
            // nothing is known any more of what has ended since.
            found = self.loader.load(digests, Joining::Forbidden).await?;
        }
        let Some(live) = of(&found) else {
            return match found.owner {
                Owner::Former => self.of_a_former_token(presented).await,
                Owner::Session(_) | Owner::Nobody => Err(LiveError::Refused(RefusalReason::Unknown, None)),
            };
        };
        let session = &live.session;
        if let Some(reason) = RefusalReason::of(session.status(self.clock.now(), self.idle)) {
            return Err(LiveError::Refused(reason, Some(session.session().id)));
        }
        self.activity.note_cached(session, self.clock.now());
        Ok(live)
    }

    /// Some seconds after a renewal the former token still stands for the session. It is not kept in memory.
    async fn of_a_former_token(&self, presented: Presented<'_>) -> Result<Live, LiveError> {
        let (generation, read_at) = (self.freshness.generation(), self.clock.monotonic());
        let session = self.sessions.authenticate(presented).await?;
        let session = Arc::new(CachedSession::new(session, generation, read_at));
        Ok(Live { session, source: Source::Database })
    }

    fn stands_now(&self, live: &Live) -> bool {
        self.stands(live, self.clock.monotonic())
    }
}
