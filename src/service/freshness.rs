//! How long what was read from the database may be trusted: the lease, and who was ended since.
//!
//! A reading of a session notes the *generation* before it begins. Whoever is ended later gets a *mark* with a higher
//! generation, so a reading that may have missed the end is never trusted, however late it is put into the cache. Marks are
//! kept for as long as any reading that is older than them could be in use.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher as _, Hash},
    mem,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{clock::nanoseconds, domain::session::SessionId, storage::revocation_feed::Concerned};

/// Into how many parts the marks are split, so that threads seldom meet.
const SHARDS: usize = 64;
/// More marks than this are replaced by one for everyone: it costs readings, never memory.
const MAX_MARKS: u64 = 200_000;

/// A point in the sequence of ends that this process knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

impl Generation {
    /// Its place in the sequence.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The generation at a place in the sequence.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What this process knows about how current its readings are.
#[derive(Debug)]
pub struct Freshness {
    /// How long one successful poll lets readings be trusted.
    lease: Duration,
    /// How long a reading may be used at all.
    max_age: Duration,
    max_marks: u64,
    /// Monotonic nanoseconds.
    trusted_until: AtomicU64,
    /// Monotonic nanoseconds.
    counted_until: AtomicU64,
    generation: AtomicU64,
    everyone: AtomicU64,
    marks: AtomicU64,
    /// When the marks were last aged, in monotonic nanoseconds. Held by whoever marks.
    aged_at: Mutex<u64>,
    hasher: RandomState,
    shards: Vec<RwLock<Marks>>,
}

/// Marks by a keyed hash of whom they concern: two that collide cost one needless reading, never a missed end.
#[derive(Debug, Default)]
struct Marks {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl Freshness {
    /// Trusts nothing yet. A successful poll is good for `lease`, a reading for at most `max_age`.
    #[must_use]
    pub fn new(lease: Duration, max_age: Duration) -> Self {
        Self {
            lease,
            max_age,
            max_marks: MAX_MARKS,
            trusted_until: AtomicU64::new(0),
            counted_until: AtomicU64::new(u64::MAX),
            generation: AtomicU64::new(1),
            everyone: AtomicU64::new(0),
            marks: AtomicU64::new(0),
            aged_at: Mutex::new(0),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    /// The same, with at most so many marks.
    #[must_use]
    pub fn with_max_marks(self, max_marks: u64) -> Self {
        Self { max_marks, ..self }
    }

    /// Whether readings may be trusted at `monotonic` at all.
    #[must_use]
    pub fn trusted(&self, monotonic: Duration) -> bool {
        nanoseconds(monotonic) < self.trusted_until.load(Ordering::Acquire)
    }

    /// Lets readings be trusted because a poll that began at `began` succeeded and everything it found is marked.
    pub fn renew(&self, began: Duration) {
        self.trusted_until.fetch_max(nanoseconds(began + self.lease), Ordering::AcqRel);
    }

    /// Says until when barriers are certain to wait for this replica. Before the first time there is no limit.
    pub fn count_in(&self, until: Duration) {
        self.counted_until.store(nanoseconds(until), Ordering::Release);
    }

    /// Whether barriers wait for this replica at `monotonic`. Where they may not, nothing is decided here, by whatever reading.
    #[must_use]
    pub fn counted_in(&self, monotonic: Duration) -> bool {
        nanoseconds(monotonic) < self.counted_until.load(Ordering::Acquire)
    }

    /// How long before `monotonic` the last successful poll began; nothing where there was none.
    #[must_use]
    pub fn lag(&self, monotonic: Duration) -> Option<Duration> {
        let until = Duration::from_nanos(self.trusted_until.load(Ordering::Acquire));
        (until > Duration::ZERO).then(|| monotonic.saturating_sub(until.saturating_sub(self.lease)))
    }

    /// To be noted before a session is read.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Whether a session that was read when `generation` was noted, at `read_at`, has not been marked since.
    #[must_use]
    pub fn holds(
        &self,
        session: SessionId,
        subject: &str,
        generation: Generation,
        read_at: Duration,
        monotonic: Duration,
    ) -> bool {
        if monotonic.saturating_sub(read_at) >= self.max_age {
            return false;
        }
        // No mark at all is the usual case, and the cheapest to see.
        let unmarked = self.marks.load(Ordering::Acquire) == 0
            || (self.mark_of(session) <= generation.0 && self.mark_of(subject) <= generation.0);
        // Looked at last: marks that were forgotten for one that concerns everyone are found here instead.
        unmarked && self.everyone.load(Ordering::Acquire) <= generation.0
    }

    /// Marks whom a change concerns. From the return on, no reading that began before this call is trusted for them.
    ///
    pub fn mark(&self, concerned: &Concerned, monotonic: Duration) {
        // One after the other, so that what is given up for a mark that concerns everyone is never later than that mark.
        let mut aged_at = self.aged_at.lock().unwrap_or_else(PoisonError::into_inner);
        // A reading that notes this generation or a later one begins after the change was seen here, so it sees it too.
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.age_since(&mut aged_at, monotonic);
        match concerned {
            Concerned::Everyone => drop(self.everyone.fetch_max(generation, Ordering::AcqRel)),
            _ if self.marks.load(Ordering::Acquire) >= self.max_marks => {
                self.everyone.fetch_max(generation, Ordering::AcqRel);
                self.forget_marks();
            }
            Concerned::Session(session) => self.set_mark(session, generation),
            Concerned::Subject(subject) => self.set_mark(subject.as_str(), generation),
        }
    }

    /// Marks everyone: something may have been missed.
    pub fn mark_everyone(&self, monotonic: Duration) {
        self.mark(&Concerned::Everyone, monotonic);
    }

    /// Forgets marks that are older than any reading in use.
    pub fn age(&self, monotonic: Duration) {
        self.age_since(&mut self.aged_at.lock().unwrap_or_else(PoisonError::into_inner), monotonic);
    }

    fn age_since(&self, aged_at: &mut u64, monotonic: Duration) {
        let now = nanoseconds(monotonic);
        if now.saturating_sub(*aged_at) < nanoseconds(self.max_age) {
            return;
        }
        *aged_at = now;
        // What is young now was marked since the last ageing; it stays for a whole age more.
        for shard in &self.shards {
            let mut marks = shard.write().unwrap_or_else(PoisonError::into_inner);
            let forgotten = marks.old.len();
            marks.old = mem::take(&mut marks.young);
            self.marks.fetch_sub(forgotten as u64, Ordering::AcqRel);
        }
    }

    fn forget_marks(&self) {
        for shard in &self.shards {
            let mut marks = shard.write().unwrap_or_else(PoisonError::into_inner);
            let forgotten = marks.young.len() + marks.old.len();
            *marks = Marks::default();
            self.marks.fetch_sub(forgotten as u64, Ordering::AcqRel);
        }
    }

    fn set_mark(&self, key: impl Hash, generation: u64) {
        let hash = self.hasher.hash_one(key);
        let mut marks = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        // Counted first, so that whoever counts none has seen none that matters.
        self.marks.fetch_add(1, Ordering::AcqRel);
        let known = marks.young.get(&hash).copied();
        marks.young.insert(hash, generation.max(known.unwrap_or(0)));
        if known.is_some() {
            self.marks.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The highest generation with which `key` was marked; 0 if it was not.
    fn mark_of(&self, key: impl Hash) -> u64 {
        let hash = self.hasher.hash_one(key);
        let marks = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let young = marks.young.get(&hash).or_else(|| marks.old.get(&hash));
        young.copied().unwrap_or(0)
    }

    fn shard(&self, hash: u64) -> &RwLock<Marks> {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose a shard")]
        let index = hash as usize % SHARDS;
        &self.shards[index]
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::domain::subject::Subject;

    const SECOND: Duration = Duration::from_secs(1);
    const MAX_AGE: Duration = Duration::from_secs(60);

    fn session() -> SessionId {
        SessionId::generate(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    fn subject(name: &str) -> Subject {
        Subject::parse(name).unwrap()
    }

    #[test]
    fn nothing_is_trusted_before_a_poll_nor_after_its_lease() {
        let freshness = Freshness::new(2 * SECOND, MAX_AGE);
        assert!(!freshness.trusted(Duration::ZERO));
        assert_eq!(freshness.lag(SECOND), None);
        freshness.renew(10 * SECOND);
        assert!(freshness.trusted(Duration::from_nanos(11_999_999_999)));
        assert!(!freshness.trusted(12 * SECOND));
        assert_eq!(freshness.lag(13 * SECOND), Some(3 * SECOND));
        freshness.renew(5 * SECOND);
        assert!(freshness.trusted(11 * SECOND), "a poll that began earlier takes nothing back");
    }

    #[test]
    fn a_reading_that_began_before_the_end_is_not_trusted_however_late_it_is_stored() {
        let freshness = Freshness::new(2 * SECOND, MAX_AGE);
        let (dead, other, alice) = (session(), session(), subject("alice"));
        let before = freshness.generation();
        freshness.mark(&Concerned::Session(dead), SECOND);
        let after = freshness.generation();
        assert!(!freshness.holds(dead, alice.as_str(), before, Duration::ZERO, SECOND));
        assert!(freshness.holds(dead, alice.as_str(), after, SECOND, SECOND));
        assert!(freshness.holds(other, alice.as_str(), before, Duration::ZERO, SECOND));
    }

    #[test]
    fn a_subject_and_everyone_are_marked_alike() {
        let freshness = Freshness::new(2 * SECOND, MAX_AGE);
        let (id, alice, bob) = (session(), subject("alice"), subject("bob"));
        let before = freshness.generation();
        freshness.mark(&Concerned::Subject(alice.clone()), SECOND);
        assert!(!freshness.holds(id, alice.as_str(), before, Duration::ZERO, SECOND));
        assert!(freshness.holds(id, bob.as_str(), before, Duration::ZERO, SECOND));
        freshness.mark_everyone(SECOND);
        assert!(!freshness.holds(id, bob.as_str(), before, Duration::ZERO, SECOND));
        assert!(freshness.holds(id, bob.as_str(), freshness.generation(), SECOND, SECOND));
    }

    #[test]
    fn a_mark_outlives_every_reading_that_is_older_than_it() {
        let freshness = Freshness::new(2 * SECOND, MAX_AGE);
        let (id, alice) = (session(), subject("alice"));
        for (read, marked) in [(0_u32, 0_u32), (1, 59), (59, 60), (61, 119), (119, 121)] {
            let (read_at, marked_at) = (read * SECOND, marked * SECOND);
            freshness.age(read_at);
            let generation = freshness.generation();
            freshness.mark(&Concerned::Session(id), marked_at);
            for later in marked..=(read + 60) {
                freshness.age(later * SECOND);
                assert!(
                    !freshness.holds(id, alice.as_str(), generation, read_at, later * SECOND),
                    "{read} {marked} {later}"
                );
            }
        }
        freshness.age(500 * SECOND);
        freshness.age(600 * SECOND);
        assert_eq!(freshness.marks.load(Ordering::Acquire), 0, "marks are forgotten in the end");
    }

    #[test]
    fn too_many_marks_become_one_for_everyone() {
        let freshness = Freshness::new(2 * SECOND, MAX_AGE);
        let before = freshness.generation();
        for _ in 0..=MAX_MARKS {
            freshness.mark(&Concerned::Session(session()), SECOND);
        }
        assert!(freshness.marks.load(Ordering::Acquire) < MAX_MARKS);
        assert!(!freshness.holds(session(), "alice", before, Duration::ZERO, SECOND));
    }
}
