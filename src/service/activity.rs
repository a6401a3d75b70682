//! Last-seen times, written behind: noted in memory, flushed in sorted batches, at most one write per session and granularity.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;

use super::session_cache::CachedSession;
use crate::{
    domain::{
        instant::unix_microseconds,
        session::{IdleRule, Session, SessionId},
    },
    storage::{error::StorageError, sessions::SessionStore},
    telemetry::metrics::Metrics,
};

/// How many sessions may wait to be written; beyond it new ones are dropped and counted.
const MAX_PENDING: usize = 100_000;
/// How many rows one statement moves; keeps its locks short.
const BATCH: usize = 1_000;

/// Remembers when sessions were used until that is written.
#[derive(Debug)]
pub struct Activity {
    store: SessionStore,
    idle: IdleRule,
    metrics: Metrics,
    pending: Mutex<HashMap<SessionId, OffsetDateTime>>,
}

impl Activity {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(store: SessionStore, idle: IdleRule, metrics: Metrics) -> Self {
        Self { store, idle, metrics, pending: Mutex::new(HashMap::new()) }
    }

    /// Brings `session.last_seen_at` up to what this process knows and storage may not know yet.
    pub fn refresh(&self, session: &mut Session) {
        if let Some(&seen) = self.pending().get(&session.id) {
            session.last_seen_at = session.last_seen_at.max(seen);
        }
    }

    /// Notes that a live session is used at `now`.
    ///
    /// Nothing is noted while the stored time is fresher than half a granularity. With a flush at every quarter, storage is
    /// then never a whole granularity behind, which is what the status rule allows for.
    pub fn note(&self, session: &Session, now: OffsetDateTime) {
        if now < session.last_seen_at + self.idle.granularity / 2 {
            return;
        }
        self.add(session.id, now);
    }

    fn add(&self, session: SessionId, now: OffsetDateTime) {
        let mut pending = self.pending();
        if pending.len() >= MAX_PENDING && !pending.contains_key(&session) {
            self.metrics.activity_dropped_total.inc();
            return;
        }
        pending.insert(session, now);
        self.metrics.activity_pending.set(i64::try_from(pending.len()).unwrap_or(i64::MAX));
    }

    /// The same for a session that is kept in memory, where the last use is known without a lock.
    pub fn note_cached(&self, cached: &CachedSession, now: OffsetDateTime) {
        if cached.used(unix_microseconds(now), self.idle.granularity / 2) {
            self.add(cached.id(), now);
        }
    }

    /// How often [`Self::flush`] must run.
    #[must_use]
    pub fn flush_interval(&self) -> std::time::Duration {
        (self.idle.granularity / 4).max(std::time::Duration::from_millis(10))
    }

    /// Writes what is pending. What could not be written stays pending, unless something newer came meanwhile.
    ///
    /// # Errors
    /// [`StorageError`] when a batch failed; the rest is tried at the next flush.
    pub async fn flush(&self) -> Result<(), StorageError> {
        // What is being written stays visible until it is: a session in use must not look idle meanwhile.
        let mut noted: Vec<_> = self.pending().iter().map(|(&id, &seen)| (id, seen)).collect();
        noted.sort_unstable();
        let mut result = Ok(());
        for batch in noted.chunks(BATCH) {
            let timer = self.metrics.activity_flush_duration_seconds.start_timer();
            result = self.store.touch_batch(batch).await.map(drop);
            timer.observe_duration();
            if result.is_err() {
                break;
            }
            let mut pending = self.pending();
            for (id, written) in batch {
                if pending.get(id) == Some(written) {
                    pending.remove(id);
                }
            }
        }
        self.metrics.activity_pending.set(i64::try_from(self.pending().len()).unwrap_or(i64::MAX));
        result
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<SessionId, OffsetDateTime>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
