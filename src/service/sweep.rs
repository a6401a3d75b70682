//! Sweeps what is over: sessions that ended long ago with their former tokens, counts of sign-in attempts, and events that nobody
//! has taken.
//!
//! Any number of replicas may sweep at once: each passes over the rows that another holds.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::sync::Notify;

use super::accounts::Accounts;
use crate::{
    clock::Clock,
    storage::{
        error::StorageError,
        sweep::{SweepStore, SweptSessions},
    },
    telemetry::metrics::{Metrics, seconds},
};

/// How many rows one statement deletes at most; keeps its locks short.
const BATCH: u32 = 500;
/// The shortest rest after a batch where more is left.
const SHORTEST_REST: Duration = Duration::from_millis(10);
/// The longest one, so that a stop never waits long for it.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// The sweep.
pub struct Sweep {
    store: SweepStore,
    accounts: Arc<Accounts>,
    /// How long the row of a session that has ended is kept.
    keep_ended: Duration,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    wake: Arc<Notify>,
    progress: Mutex<Progress>,
}

impl fmt::Debug for Sweep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sweep").field("keep_ended", &self.keep_ended).finish_non_exhaustive()
    }
}

/// Up to which ends a round has come. Rows that are dead but not vacuumed yet are not looked at again and again that way; each
/// round begins anew, for those that were passed over.
#[derive(Debug, Clone, Copy)]
struct Progress {
    expired: OffsetDateTime,
    revoked: OffsetDateTime,
}

impl Default for Progress {
    fn default() -> Self {
        Self { expired: OffsetDateTime::UNIX_EPOCH, revoked: OffsetDateTime::UNIX_EPOCH }
    }
}

impl Sweep {
    /// A sweep that keeps sessions for `keep_ended` after they have ended.
    #[must_use]
    pub fn new(
        store: SweepStore,
        accounts: Arc<Accounts>,
        keep_ended: Duration,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { store, accounts, keep_ended, clock, metrics, wake: Arc::new(Notify::new()), progress: Mutex::default() }
    }

    /// Is told when a step has left something over, so that the next one need not wait.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Deletes at most one batch of each kind. Where more is left it rests for as long as it took, and calls for the next step.
    /// Returns whether more is left.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; what is left is swept by a later step.
    pub async fn step(&self) -> Result<bool, StorageError> {
        let began = self.clock.monotonic();
        let before = self.clock.now() - self.keep_ended;
        let mut progress = *self.progress();
        let result = self.batches(before, &mut progress).await;
        let more = *result.as_ref().unwrap_or(&false);
        *self.progress() = if more { progress } else { Progress::default() };
        if more {
            let took = self.clock.monotonic().saturating_sub(began);
            tokio::time::sleep(took.clamp(SHORTEST_REST, LONGEST_REST)).await;
            self.wake.notify_one();
        }
        result
    }

    async fn batches(&self, before: OffsetDateTime, progress: &mut Progress) -> Result<bool, StorageError> {
        let expired = self.timed("session", self.store.expired(before, progress.expired, BATCH)).await?;
        progress.expired = expired.last_ended_at.unwrap_or(progress.expired);
        let revoked = self.timed("session", self.store.revoked(before, progress.revoked, BATCH)).await?;
        progress.revoked = revoked.last_ended_at.unwrap_or(progress.revoked);
        for SweptSessions { sessions, former_tokens, .. } in [expired, revoked] {
            self.count("session", sessions);
            self.count("former_token", former_tokens);
        }
        let deliveries = self.timed("hook_delivery", self.store.hook_deliveries(before, BATCH)).await?;
        self.count("hook_delivery", deliveries);
        let attempts = self.timed("login_throttle", self.accounts.sweep(BATCH)).await?;
        self.count("login_throttle", attempts);
        Ok([expired.sessions, revoked.sessions, deliveries, attempts].iter().any(|rows| *rows >= u64::from(BATCH)))
    }

    async fn timed<T>(
        &self,
        table: &'static str,
        batch: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let began = self.clock.monotonic();
        let result = batch.await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.metrics.sweep_duration_seconds.with_label_values(&[table]).observe(seconds(took));
        result
    }

    fn count(&self, table: &'static str, rows: u64) {
        self.metrics.rows_swept_total.with_label_values(&[table]).inc_by(rows);
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
