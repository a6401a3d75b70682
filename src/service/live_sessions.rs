//! The exchange's way from a presented token to a live session: memory while it may be believed, the primary otherwise.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use time::OffsetDateTime;

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
        instant::unix_microseconds,
        session::{IdleRule, SessionId, SessionStatus},
        session_token::SessionToken,
    },
    telemetry::metrics::{Counter, Metrics},
};

/// An instant by both clocks, read once for what is decided at once.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the wall.
    pub now: OffsetDateTime,
    /// The same in microseconds since 1970.
    pub wall: i64,
    /// By the clock that nobody sets.
    pub monotonic: Duration,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn read(clock: &dyn Clock) -> Self {
        let now = clock.now();
        Self { now, wall: unix_microseconds(now), monotonic: clock.monotonic() }
    }
}

/// Where a session was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In memory.
    Cache,
    /// In the database, by a reading that had begun before it was asked for.
    Joined,
    /// In the database, by a reading that began after it was asked for.
    Database,
    /// The same, by a token that a renewal has replaced: it stands for the session for some seconds only.
    Former,
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
        (matches!(self.source, Source::Database | Source::Former) || freshness.trusted(monotonic))
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

    /// The token that was presented.
    ///
    /// # Errors
    /// [`LiveError::Refused`] where there is none, or more than one, or none of ours.
    pub fn token(presented: Presented<'_>) -> Result<SessionToken, LiveError> {
        parse(presented).map_err(|reason| LiveError::Refused(reason, None))
    }

    /// The live session of a token as memory knows it, now noted as used; nothing where memory may not be believed or knows of no
    /// live one. Believed at `at`: whoever answers with it checks [`Self::stands`] once more, by a later reading of the clock.
    #[must_use]
    pub fn remembered(&self, token: &SessionToken, at: Moment) -> Option<Live> {
        if !self.freshness.trusted(at.monotonic) {
            return None;
        }
        let digest = self.vault.session_token_digest(token);
        let kept = |session| Live { session, source: Source::Cache };
        let found = self.loader.cache().get(&digest).map(kept).filter(|live| self.stands(live, at.monotonic));
        // Anything but a live session is for the database to say: it may have been used elsewhere meanwhile.
        let found = found.filter(|live| live.session.status(at.wall, self.idle) == SessionStatus::Active);
        let count = |result| self.metrics.cache_requests_total.with_label_values(&["sessions", result]);
        if let Some(live) = &found {
            self.hits.get_or_init(|| count("hit")).inc();
            self.activity.note_cached(&live.session, at.now);
        } else {
            count("miss").inc();
        }
        found
    }

    /// The live session of a token as the primary knows it, now noted as used. A reading that is under way already will do where
    /// `consistency` allows it and memory may be believed.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn read(
        &self,
        presented: Presented<'_>,
        token: &SessionToken,
        consistency: Consistency,
    ) -> Result<Live, LiveError> {
        let memory = consistency == Consistency::Bounded && self.may_use_memory();
        let digest = self.vault.session_token_digest(token);
        let previous = self.vault.previous_session_token_digests(token);
        if !self.freshness.counted_in(self.clock.monotonic()) {
            // The process was paused, or the database was gone.
            let counted = self.sessions.be_counted_in().await;
            counted.map_err(|error| LoadError::Storage(Arc::new(error)))?;
        }
        let joining = if memory { Joining::Allowed } else { Joining::Forbidden };
        let mut found = self.loader.load(digest, previous.clone(), joining).await?;
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
            found = self.loader.load(digest, previous, Joining::Forbidden).await?;
        }
        let Some(live) = of(&found) else {
            return match found.owner {
                Owner::Former => self.of_a_former_token(presented).await,
                Owner::Session(_) | Owner::Nobody => Err(LiveError::Refused(RefusalReason::Unknown, None)),
            };
        };
        let (session, now) = (&live.session, self.clock.now());
        if let Some(reason) = RefusalReason::of(session.status(unix_microseconds(now), self.idle)) {
            return Err(LiveError::Refused(reason, Some(session.id())));
        }
        self.activity.note_cached(session, now);
        Ok(live)
    }

    /// Some seconds after a renewal the former token still stands for the session. It is not kept in memory.
    async fn of_a_former_token(&self, presented: Presented<'_>) -> Result<Live, LiveError> {
        let (generation, read_at) = (self.freshness.generation(), self.clock.monotonic());
        let session = self.sessions.authenticate(presented).await?;
        let session = Arc::new(CachedSession::new(session, generation, read_at));
        Ok(Live { session, source: Source::Former })
    }

    fn stands_now(&self, live: &Live) -> bool {
        self.stands(live, self.clock.monotonic())
    }
}
