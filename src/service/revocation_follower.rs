//! Follows the revocation log, so that what is kept in memory is trusted only while this replica knows who was ended.
//!
//! How long memory is trusted after a poll is [`Freshness`]'s to say, and what a poll's answer changes is [`LogPosition`]'s.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};

use super::{
    freshness::Freshness,
    log_position::LogPosition,
    registry::Registry,
    revocations::{Moment, Revocations},
};
use crate::{
    clock::Clock,
    storage::{
        error::StorageError,
        revocation_feed::{Horizon, RevocationFeed},
    },
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
};

/// For how long rows stay in the log after every poll can have read them: longer than the gap after which a replica starts over.
const RETENTION: Duration = Duration::from_mins(15);
/// How often a horizon is noted for sweeping.
const SWEEP_STEP: Duration = Duration::from_mins(1);
/// How many rows one statement sweeps.
const SWEEP_BATCH: i64 = 1_000;

/// Keeps [`Freshness`] up to date with the database.
pub struct RevocationFollower {
    registry: Arc<Registry>,
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    woken: Arc<Notify>,
    /// Is told whom the log names.
    revocations: Option<Arc<Revocations>>,
    /// Whether anybody polls in this process.
    follows: AtomicBool,
    state: Mutex<State>,
}

struct State {
    feed: RevocationFeed,
    position: LogPosition,
    /// Horizons and when they were read, oldest first.
    horizons: VecDeque<(Duration, Horizon)>,
    /// When the last attempt to catch up began that failed; everyone was marked after it.
    gave_up_at: Option<Duration>,
}

impl fmt::Debug for RevocationFollower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RevocationFollower")
    }
}

impl RevocationFollower {
    /// A follower that has read nothing yet.
    #[must_use]
    pub fn new(
        feed: RevocationFeed,
        registry: Arc<Registry>,
        freshness: Arc<Freshness>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let woken = feed.woken();
        let state = State { feed, position: LogPosition::default(), horizons: VecDeque::new(), gave_up_at: None };
        let (follows, state) = (AtomicBool::new(false), Mutex::new(state));
        Self { registry, freshness, clock, metrics, woken, revocations: None, follows, state }
    }

    /// The same, telling a feed whom the log names.
    #[must_use]
    pub fn telling(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations: Some(revocations), ..self }
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
        let now = self.clock.monotonic();
        if !self.freshness.counted_in(now) {
            // A lease needs it.
            self.beat().await;
        } else if self.registry.is_due(now) {
            return tokio::join!(self.poll_once(), self.beat()).0;
        }
        self.poll_once().await
    }

    async fn poll_once(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock().await;
        self.poll_locked(&mut state).await
    }

    async fn beat(&self) {
        if let Err(error) = self.registry.beat().await {
            tracing::debug!(error = %ErrorChain(&error), "the registry of replicas was not told that this one lives");
        }
    }

    /// Returns once everything that was committed before the call is marked here, or everyone is.
    ///
    /// Whoever has ended a session calls this before saying so. A caller who goes away does not break the poll off: that would
    /// cost the connection, and with it everything in memory.
    pub async fn catch_up(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let caught_up = tokio::spawn(async move {
            this.catch_up_now().await;
            if let Some(revocations) = &this.revocations {
                revocations.catch_up().await;
            }
        });
        if caught_up.await.is_err() {
            self.freshness.mark_everyone(self.clock.monotonic());
        }
    }

    async fn catch_up_now(&self) {
        let called_at = self.clock.monotonic();
        if !self.follows.load(Ordering::Acquire) {
            // Nothing in memory is believed here yet, but a decision may be on its way.
            self.freshness.mark_everyone(called_at);
            return;
        }
        let mut state = self.state.lock().await;
        // A poll of somebody else that began meanwhile has seen it.
        if state.position.polled_at().is_some_and(|began| began > called_at) {
            return;
        }
        if state.gave_up_at.is_some_and(|began| began > called_at) {
            // One that began meanwhile has failed, and has marked everyone. Another try would only keep those behind it waiting.
            return;
        }
        let began = self.clock.monotonic();
        if self.poll_locked(&mut state).await.is_err() {
            state.gave_up_at = Some(began);
            self.freshness.mark_everyone(self.clock.monotonic());
            if let Some(revocations) = &self.revocations {
                revocations.lose_track();
            }
        }
    }

    async fn poll_locked(&self, state: &mut State) -> Result<(), StorageError> {
        let began = self.clock.monotonic();
        let wall = self.clock.now();
        // Asked before: a heartbeat in the meantime makes a row anew, and says nothing of the time in which there was none.
        let counted_in = self.freshness.counted_in(began);
        let (mut reading, ages) = state.feed.read().await?;
        reading.registered &= counted_in;
        for (entry, age) in reading.entries.iter().zip(ages) {
            if !state.position.knows(entry) {
                self.metrics.revocation_propagation_seconds.observe(age.max(0.0));
            }
        }
        let horizon = reading.horizon;
        if let Some(revocations) = &self.revocations {
            let found = (!state.position.starts_over(&reading, began)).then_some(reading.entries.as_slice());
            revocations.note(found, Moment { monotonic: began, wall });
        }
        state.position.apply(&reading, began, &self.freshness);
        if let Some(number) = reading.barrier {
            // Everything that was committed before it was raised is marked. Whoever waits may wait a little longer; others poll.
            let registry = Arc::clone(&self.registry);
            tokio::spawn(async move {
                if let Err(error) = registry.pass(number).await {
                    tracing::debug!(error = %ErrorChain(&error), "a barrier was passed, and nobody was told");
                }
            });
        }
        if state.horizons.back().is_some_and(|(_, last)| horizon < *last) {
            // Another server, or one that has lost transactions: places in that log say nothing about this one.
            state.horizons.clear();
        }
        if state.horizons.back().is_none_or(|(at, _)| began.saturating_sub(*at) >= SWEEP_STEP) {
            state.horizons.push_back((began, horizon));
        }
        Ok(())
    }

    /// Deletes rows that every replica has either read or will not trust itself to have read.
    ///
    /// # Errors
    /// [`StorageError`]; what is left is swept the next time.
    pub async fn sweep(&self) -> Result<u64, StorageError> {
        let Some(horizon) = self.take_horizon().await else { return Ok(0) };
        let mut swept = 0;
        loop {
            // For one batch at a time: polls, and whoever has ended a session, wait no longer.
            let mut state = self.state.lock().await;
            if state.horizons.front().is_some_and(|(_, oldest)| *oldest < horizon) {
                // Another server's log by now.
                return Ok(swept);
            }
            let rows = state.feed.sweep(horizon, SWEEP_BATCH).await?;
            drop(state);
            swept += rows;
            if rows < u64::try_from(SWEEP_BATCH).unwrap_or(u64::MAX) {
                return Ok(swept);
            }
            tokio::task::yield_now().await;
        }
    }

    /// The latest place in the log that is old enough to be swept up to.
    async fn take_horizon(&self) -> Option<Horizon> {
        let mut state = self.state.lock().await;
        let now = self.clock.monotonic();
        let mut horizon = None;
        while let Some(&(at, old)) = state.horizons.front()
            && now.saturating_sub(at) >= RETENTION
        {
            horizon = Some(old);
            state.horizons.pop_front();
        }
        horizon
    }
}
