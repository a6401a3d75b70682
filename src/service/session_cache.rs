//! Sessions as they were last read, in memory: bounded in bytes, and never believed beyond what [`Freshness`] allows.
//!
//! [`Freshness`]: super::freshness::Freshness

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};
use time::OffsetDateTime;

use super::freshness::{Freshness, Generation};
use crate::{
    clock::nanoseconds,
    domain::{
        instant::{from_unix_microseconds, unix_microseconds},
        session::{IdleRule, Session, SessionStatus},
        session_token::SessionTokenDigest,
    },
};

/// Distinguishes two states of one session: tokens are reused for the very state that they were signed for.
static NEXT_STATE: AtomicU64 = AtomicU64::new(1);

/// A session as one reading found it. What changes with every use is kept beside it.
#[derive(Debug)]
pub struct CachedSession {
    session: Session,
    state: u64,
    /// Monotonic nanoseconds at which the last reading that found it like this began.
    read_at: AtomicU64,
    generation: AtomicU64,
    /// Microseconds since 1970 of the last use that this process knows of.
    last_seen: AtomicI64,
    /// A hash of the row that it was read from.
    row: u64,
}

impl CachedSession {
    /// What a reading found that began at `read_at`, after `generation` was noted.
    #[must_use]
    pub fn new(mut session: Session, generation: Generation, read_at: Duration) -> Self {
        // For people's eyes and the watch for unusual activity; an exchange needs none of it.
        session.device = None;
        session.ip = None;
        session.user_agent = None;
        session.network = None;
        let last_seen = unix_microseconds(session.last_seen_at);
        Self {
            session,
            state: NEXT_STATE.fetch_add(1, Ordering::Relaxed),
            read_at: AtomicU64::new(nanoseconds(read_at)),
            generation: AtomicU64::new(generation.number()),
            last_seen: AtomicI64::new(last_seen),
            row: 0,
        }
    }

    /// The same, read from a row of that hash.
    #[must_use]
    pub fn of_row(self, row: u64) -> Self {
        Self { row, ..self }
    }

    /// The session; its `last_seen_at` is that of the first reading.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A number that no other state of this or another session has.
    #[must_use]
    pub fn state(&self) -> u64 {
        self.state
    }

    /// The status at `now`, by the one rule.
    #[must_use]
    pub fn status(&self, now: OffsetDateTime, idle: IdleRule) -> SessionStatus {
        self.session.status_if_last_seen(self.last_seen_at(), now, idle)
    }

    /// The last use that this process knows of.
    #[must_use]
    pub fn last_seen_at(&self) -> OffsetDateTime {
        from_unix_microseconds(self.last_seen.load(Ordering::Relaxed)).unwrap_or(self.session.last_seen_at)
    }

    /// Notes a use at `now`. Returns whether it lies at least `step` after the last one that was noted, once per step.
    #[must_use]
    pub fn used(&self, now: OffsetDateTime, step: Duration) -> bool {
        let now = unix_microseconds(now);
        let last = self.last_seen.load(Ordering::Relaxed);
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        now >= last.saturating_add(step)
            && self.last_seen.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether this may still be believed at `monotonic`.
    #[must_use]
    pub fn holds(&self, freshness: &Freshness, monotonic: Duration) -> bool {
        // Written in the opposite order: whoever sees a later reading sees its generation too.
        let read_at = Duration::from_nanos(self.read_at.load(Ordering::Acquire));
        let generation = Generation::from_number(self.generation.load(Ordering::Acquire));
        freshness.holds(self.session.id, &self.session.subject, generation, read_at, monotonic)
    }

    /// Takes a later reading that found the same; returns whether it did.
    fn confirmed_by(&self, later: &Self) -> bool {
        let (mine, theirs) = (&self.session, &later.session);
        let last_seen_at = mine.last_seen_at;
        if *mine != (Session { last_seen_at, ..theirs.clone() }) {
            return false;
        }
        self.confirm(
            later.last_seen.load(Ordering::Relaxed),
            later.generation.load(Ordering::Acquire),
            later.read_at.load(Ordering::Acquire),
        );
        true
    }

    fn confirm(&self, last_seen: i64, generation: u64, read_at: u64) {
        self.last_seen.fetch_max(last_seen, Ordering::Relaxed);
        self.generation.fetch_max(generation, Ordering::AcqRel);
        self.read_at.fetch_max(read_at, Ordering::AcqRel);
    }
}

/// Estimates what an entry takes.
#[derive(Debug, Clone)]
struct Size;

impl Weighter<SessionTokenDigest, Arc<CachedSession>> for Size {
    fn weight(&self, _digest: &SessionTokenDigest, cached: &Arc<CachedSession>) -> u64 {
        /// The cache's own share of an entry, and the allocator's.
        const OVERHEAD: usize = 96;
        let session = &cached.session;
        let methods: usize = session.amr.iter().map(|method| size_of::<String>() + method.len()).sum();
        let claims: usize = session.claims.iter().map(|(name, value)| 64 + name.len() + value_size(value)).sum();
        let texts = session.subject.as_str().len() + session.acr.as_ref().map_or(0, String::len);
        let size = OVERHEAD + size_of::<SessionTokenDigest>() + size_of::<CachedSession>() + methods + claims + texts;
        size as u64
    }
}

/// A generous estimate of what a JSON value takes in memory.
fn value_size(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(value_size).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| 64 + name.len() + value_size(value)).sum(),
        }
}

/// Sessions by the digest of their token.
pub struct SessionCache {
    entries: Cache<SessionTokenDigest, Arc<CachedSession>, Size>,
}

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SessionCache").field("entries", &self.entries.len()).finish()
    }
}

impl SessionCache {
    /// An empty cache of at most about `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        const TYPICAL: u64 = 512;
        let expected = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        Self { entries: Cache::with_weighter(expected, bytes, Size) }
    }

    /// The session of a token, as it was last read.
    #[must_use]
    pub fn get(&self, digest: &SessionTokenDigest) -> Option<Arc<CachedSession>> {
        self.entries.get(digest)
    }

    /// Takes a reading that found a row of the hash `row`, where that is what is known of the session already.
    #[must_use]
    pub fn confirm(
        &self,
        digest: &SessionTokenDigest,
        row: u64,
        last_seen_at: OffsetDateTime,
        generation: Generation,
        read_at: Duration,
    ) -> Option<Arc<CachedSession>> {
        let known = self.entries.get(digest).filter(|known| known.row == row)?;
        known.confirm(unix_microseconds(last_seen_at), generation.number(), nanoseconds(read_at));
        Some(known)
    }

    /// Takes what a reading found, and returns what holds from now on: the entry that was there, where nothing has changed.
    #[must_use]
    pub fn take(&self, digest: SessionTokenDigest, read: CachedSession) -> Arc<CachedSession> {
        if let Some(known) = self.entries.peek(&digest)
            && known.confirmed_by(&read)
        {
            return known;
        }
        let read = Arc::new(read);
        self.entries.insert(digest, Arc::clone(&read));
        read
    }

    /// Forgets a session.
    pub fn forget(&self, digest: &SessionTokenDigest) {
        drop(self.entries.remove(digest));
    }

    /// How many sessions are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
