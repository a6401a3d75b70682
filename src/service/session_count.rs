//! Counts live sessions for the metric, and keeps what that costs small however many there are.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::Clock,
    domain::session::IdleRule,
    storage::{error::StorageError, sessions::SessionStore},
    telemetry::metrics::Metrics,
};

/// The share of time that counting may take: after a count it rests for so many times as long as that took.
const REST: u32 = 100;

/// The count.
#[derive(Debug)]
pub struct SessionCount {
    store: SessionStore,
    idle: IdleRule,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// Monotonic time before which nothing is counted.
    rests_until: Mutex<Duration>,
}

impl SessionCount {
    /// Has counted nothing yet.
    #[must_use]
    pub fn new(store: SessionStore, idle: IdleRule, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        metrics.sessions_active.set(f64::NAN);
        Self { store, idle, clock, metrics, rests_until: Mutex::new(Duration::ZERO) }
    }

    /// Counts, unless it rests. Too many to count in time is no error: then the metric says that it does not know.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn step(&self) -> Result<(), StorageError> {
        let began = self.clock.monotonic();
        if began < *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        let now = self.clock.now();
        let counted = self.store.count_live(None, now, self.idle.idle_since(now)).await;
        let ended = self.clock.monotonic();
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = ended + ended.saturating_sub(began) * REST;
        #[expect(clippy::cast_precision_loss, reason = "no database holds as many sessions as an f64 has integers")]
        self.metrics.sessions_active.set(counted.as_ref().map_or(f64::NAN, |live| *live as f64));
        match counted {
            Ok(_) => Ok(()),
            Err(error) if error.took_too_long() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
