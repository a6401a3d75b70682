//! Follows the revocation log, so that what is kept in memory is trusted only while this replica knows who was ended.
//!
//! A poll reads from the previous poll's horizon: the oldest transaction that was still running then. So a row that was
//! written early and became visible late is never skipped. Rows that are read again are known and do nothing.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};

use super::freshness::Freshness;
use crate::{
    clock::Clock,
    storage::{
        error::StorageError,
        revocation_feed::{Horizon, LogEntry, RevocationFeed},
    },
    telemetry::metrics::Metrics,
};

/// For how long rows stay in the log after every poll can have read them.
const RETENTION: Duration = Duration::from_mins(15);
/// A replica that has not polled for this long may have missed rows.
const LONGEST_GAP: Duration = Duration::from_mins(5);
/// How often a horizon is noted for sweeping.
const SWEEP_STEP: Duration = Duration::from_mins(1);
/// How many rows one statement sweeps.
const SWEEP_BATCH: i64 = 10_000;

/// Keeps [`Freshness`] up to date with the database.
pub struct RevocationFollower {
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    woken: Arc<Notify>,
    /// Whether anybody polls in this process.
    follows: AtomicBool,
    state: Mutex<State>,
}

struct State {
    feed: RevocationFeed,
    cursor: Option<Horizon>,
    /// The server that the cursor is from.
    server: Option<String>,
    /// Rows that the next poll may find again.
    known: HashSet<LogEntry>,
    /// When the last successful poll began, in monotonic time.
    polled_at: Option<Duration>,
    /// Horizons and when they were read, oldest first.
    horizons: VecDeque<(Duration, Horizon)>,
}

impl fmt::Debug for RevocationFollower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RevocationFollower")
    }
}

impl RevocationFollower {
    /// A follower that has read nothing yet.
    #[must_use]
    pub fn new(feed: RevocationFeed, freshness: Arc<Freshness>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let woken = feed.woken();
        let state = State {
            feed,
            cursor: None,
            server: None,
            known: HashSet::new(),
            polled_at: None,
            horizons: VecDeque::new(),
        };
        Self { freshness, clock, metrics, woken, follows: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Is told when a poll is worth while before its time.
    #[must_use]
    pub fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }

    /// Reads what is new, marks whom it concerns, and renews the lease as of when this poll began.
    ///
    /// # Errors
    /// [`StorageError`]; the lease is not renewed then, and runs out by itself.
    pub async fn poll(&self) -> Result<(), StorageError> {
        self.follows.store(true, Ordering::Release);
        let mut state = self.state.lock().await;
        self.poll_locked(&mut state).await
    }

    /// Returns once everything that was committed before the call is marked here, or nothing is trusted any more.
    ///
    /// Whoever has ended a session calls this before saying so.
    pub async fn catch_up(&self) {
        if !self.follows.load(Ordering::Acquire) {
            return;
        }
        let called_at = self.clock.monotonic();
        let mut state = self.state.lock().await;
        // A poll of somebody else that began meanwhile has seen it.
        if state.polled_at.is_some_and(|began| began > called_at) {
            return;
        }
        if self.poll_locked(&mut state).await.is_err() {
            self.freshness.distrust();
        }
    }

    async fn poll_locked(&self, state: &mut State) -> Result<(), StorageError> {
        let began = self.clock.monotonic();
        let reading = state.feed.read(state.cursor).await?;
        // Rows before the first reading are not known; after a long silence rows may have been swept; and a server that has
        // taken over may use transaction ids again that the cursor is already past.
        let silent = state.polled_at.is_none_or(|last| began.saturating_sub(last) > LONGEST_GAP);
        if silent || state.server.as_ref() != Some(&reading.server) {
            self.freshness.mark_everyone(began);
        }
        state.server = Some(reading.server);
        let mut known = HashSet::new();
        for (entry, age) in reading.entries {
            if !state.known.contains(&entry) {
                self.metrics.revocation_propagation_seconds.observe(age.max(0.0));
                self.freshness.mark(&entry.concerned, began);
            }
            if entry.written_by >= reading.horizon {
                known.insert(entry);
            }
        }
        state.known = known;
        state.cursor = Some(reading.horizon);
        state.polled_at = Some(began);
        if state.horizons.back().is_none_or(|(at, _)| began.saturating_sub(*at) >= SWEEP_STEP) {
            state.horizons.push_back((began, reading.horizon));
        }
        self.freshness.age(began);
        self.freshness.renew(began);
        Ok(())
    }

    /// Deletes rows that every replica has either read or will not trust itself to have read.
    ///
    /// # Errors
    /// [`StorageError`]; what is left is swept the next time.
    pub async fn sweep(&self) -> Result<u64, StorageError> {
        let mut state = self.state.lock().await;
        let now = self.clock.monotonic();
        let mut horizon = None;
        while let Some(&(at, old)) = state.horizons.front()
            && now.saturating_sub(at) >= RETENTION
        {
            horizon = Some(old);
            state.horizons.pop_front();
        }
        let Some(horizon) = horizon else { return Ok(0) };
        let mut swept = 0;
        loop {
            let rows = state.feed.sweep(horizon, SWEEP_BATCH).await?;
            swept += rows;
            if rows < u64::try_from(SWEEP_BATCH).unwrap_or(u64::MAX) {
                return Ok(swept);
            }
        }
    }
}
