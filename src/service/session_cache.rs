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

use super::{
    entry_size::{COUNTERS_OF_ARC, allocated, bounded, slot, with_holes},
    freshness::{Freshness, Generation},
};
use crate::{
    clock::nanoseconds,
    domain::{
        claims_text::SessionText,
        instant::unix_microseconds,
        session::{IdleRule, Session, SessionId, SessionStatus},
        session_token::SessionTokenDigest,
        standing::Standing,
    },
};

/// Distinguishes two states of one session: tokens are reused for the very state that they were signed for.
static NEXT_STATE: AtomicU64 = AtomicU64::new(1);

/// A session as one reading found it: what an exchange looks at and what its tokens say, and no more. What changes with every use
/// is kept beside it.
#[derive(Debug)]
pub struct CachedSession {
    id: SessionId,
    standing: Standing,
    /// Microseconds since 1970.
    auth_time: i64,
    text: SessionText,
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
    #[expect(clippy::needless_pass_by_value, reason = "nobody needs the whole of it any more")]
    pub fn new(session: Session, generation: Generation, read_at: Duration) -> Self {
        Self {
            id: session.id,
            standing: Standing::of(&session),
            auth_time: unix_microseconds(session.auth_time),
            text: SessionText::of(&session),
            state: NEXT_STATE.fetch_add(1, Ordering::Relaxed),
            read_at: AtomicU64::new(nanoseconds(read_at)),
            generation: AtomicU64::new(generation.number()),
            last_seen: AtomicI64::new(unix_microseconds(session.last_seen_at)),
            row: 0,
        }
    }

    /// The same, read from a row of that hash.
    #[must_use]
    pub fn of_row(self, row: u64) -> Self {
        Self { row, ..self }
    }

    /// Its public handle.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// When its subject last proved who they are, in microseconds since 1970.
    #[must_use]
    pub fn auth_time(&self) -> i64 {
        self.auth_time
    }

    /// What its tokens say.
    #[must_use]
    pub fn text(&self) -> &SessionText {
        &self.text
    }

    /// A number that no other state of this or another session has.
    #[must_use]
    pub fn state(&self) -> u64 {
        self.state
    }

    /// The status at `now`, in microseconds since 1970, by the one rule.
    #[must_use]
    pub fn status(&self, now: i64, idle: IdleRule) -> SessionStatus {
        self.standing.status(self.last_seen.load(Ordering::Relaxed), now, idle)
    }

    /// Notes a use at `now`, in microseconds since 1970. Returns whether it lies at least `step` after the last one that was noted,
    /// once per step.
    #[must_use]
    pub fn used(&self, now: i64, step: Duration) -> bool {
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
        freshness.holds(self.id, self.text.subject(), generation, read_at, monotonic)
    }

    /// Takes a later reading that found the same; returns whether it did.
    fn confirmed_by(&self, later: &Self) -> bool {
        let same = self.id == later.id
            && self.standing == later.standing
            && self.auth_time == later.auth_time
            && self.text == later.text;
        if !same {
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

/// What an entry takes.
#[derive(Debug, Clone)]
struct Size;

impl Size {
    fn of(text: usize) -> usize {
        let session = allocated(COUNTERS_OF_ARC + size_of::<CachedSession>());
        with_holes(slot::<SessionTokenDigest, Arc<CachedSession>>() + session + allocated(text))
    }
}

impl Weighter<SessionTokenDigest, Arc<CachedSession>> for Size {
    fn weight(&self, _digest: &SessionTokenDigest, cached: &Arc<CachedSession>) -> u64 {
        Self::of(cached.text.len()) as u64
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
        const TYPICAL: usize = 64;
        Self { entries: bounded(bytes, Size::of(TYPICAL), Size) }
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

    /// How many bytes they take, within a fifth.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
