//! Real threads on `Freshness` and `SessionCache`: once a mark is set, nothing that was read before it is believed.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use ephemint::{
    clock::{Clock as _, SystemClock},
    domain::{
        session::{Session, SessionId},
        session_token::SessionTokenDigest,
    },
    service::{
        freshness::Freshness,
        session_cache::{CachedSession, SessionCache},
    },
    storage::revocation_feed::Concerned,
};
use time::OffsetDateTime;

use crate::stored::stored;

const SESSIONS: usize = 16;

/// A session that changes again and again, instead of ending once: so there is no end of races.
struct Slot {
    id: SessionId,
    digest: SessionTokenDigest,
    /// What the database says.
    stored: AtomicU64,
    /// The change that was marked last.
    marked: AtomicU64,
}

/// The session as it is stored after so many changes.
fn after(changes: u64, id: SessionId) -> Session {
    stored(id, "alice", OffsetDateTime::UNIX_EPOCH + Duration::from_micros(changes))
}

/// How many changes a reading has seen.
fn changes(session: &CachedSession) -> u64 {
    u64::try_from(session.auth_time()).unwrap()
}

/// One thread changes and marks; others exchange and read. Returns how often something from memory was believed.
fn race(freshness: &Freshness, length: Duration) -> u64 {
    let clock = SystemClock::new();
    let cache = SessionCache::new(1 << 20);
    let slot = |place: usize| Slot {
        id: SessionId::generate(OffsetDateTime::UNIX_EPOCH).unwrap(),
        digest: SessionTokenDigest::new([u8::try_from(place).unwrap(); 32]),
        stored: AtomicU64::new(0),
        marked: AtomicU64::new(0),
    };
    let slots: Vec<_> = (0..SESSIONS).map(slot).collect();
    let (over, believed) = (AtomicBool::new(false), AtomicU64::new(0));
    let change = || {
        for round in 0.. {
            let slot = &slots[round % SESSIONS];
            let change = slot.stored.fetch_add(1, Ordering::AcqRel) + 1;
            freshness.mark(&Concerned::Session(slot.id), clock.monotonic());
            slot.marked.store(change, Ordering::Release);
            if clock.monotonic() > length {
                over.store(true, Ordering::Release);
                break;
            }
            // Now and then there is time to believe something.
            if round % 64 == 0 {
                thread::yield_now();
            }
        }
    };
    let exchange = |first: usize| {
        for round in first.. {
            if over.load(Ordering::Acquire) {
                break;
            }
            let slot = &slots[(round / 3) % SESSIONS];
            let marked = slot.marked.load(Ordering::Acquire);
            if let Some(cached) = cache.get(&slot.digest)
                && cached.holds(freshness, clock.monotonic())
            {
                let seen = changes(&cached);
                assert!(seen >= marked, "believed after {seen} changes, when {marked} were marked");
                believed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let (generation, read_at) = (freshness.generation(), clock.monotonic());
            let row = after(slot.stored.load(Ordering::Acquire), slot.id);
            if round % 5 == 0 {
                // The answer takes its time.
                thread::yield_now();
            }
            let _ = cache.take(slot.digest, CachedSession::new(row, generation, read_at));
        }
    };
    thread::scope(|scope| {
        scope.spawn(change);
        for first in 0..3 {
            scope.spawn(move || exchange(first));
        }
    });
    believed.into_inner()
}

#[test]
fn no_thread_believes_what_was_read_before_a_mark_that_is_set() {
    let length = Duration::from_millis(1_200);
    // Aged during the race; given up during the race.
    for freshness in [
        Freshness::new(Duration::from_secs(2), Duration::from_millis(400)),
        Freshness::new(Duration::from_secs(2), Duration::from_mins(1)).with_max_marks(4),
    ] {
        let believed = race(&freshness, length);
        let marked = freshness.generation().number() - 1;
        crate::checked::say(&format!("threads: {marked} marks, {believed} times believed"));
        assert!(
            marked > 1_000 && believed > 1_000,
            "this race shows little: {marked} marks, {believed} times believed"
        );
    }
}
