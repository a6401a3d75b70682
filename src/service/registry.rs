//! The registry of replicas: this replica's own row, and the removal of rows whose hearts have stopped.
//!
//! A replica that is in the registry is waited for by barriers. One that is not, or may be removed soon, answers nobody. How long a heart has stood still is measured by the clock of whoever watches it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::freshness::Freshness;
use crate::{
    clock::Clock,
    storage::{
        error::StorageError,
        replicas::{ReplicaId, ReplicaStore},
    },
    telemetry::error_chain::ErrorChain,
};

/// How often the heart beats.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// For how long after a heartbeat this replica answers. Later it has a new one first, or none of its answers stands.
const COUNTED_IN: Duration = Duration::from_secs(40);
/// For how many seconds a heart must have stood still before others remove the row, beside what the last exchange may take.
const SILENCE: u32 = 60;

/// This replica in the registry.
pub struct Registry {
    id: ReplicaId,
    lease_seconds: u32,
    store: ReplicaStore,
    clock: Arc<dyn Clock>,
    freshness: Arc<Freshness>,
    heart: Mutex<Watch>,
    /// Held while somebody makes sure of the row, so that all who need it share one heartbeat.
    making_sure: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Watch {
    /// When the last heartbeat that has arrived began, in monotonic time.
    beaten_at: Option<Duration>,
    /// The other rows: at which beat each stands, and since when.
    others: HashMap<ReplicaId, (i64, Duration)>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Registry {
    /// A replica without a row. `bound` is how long one decision may take; `freshness` is told until when others wait for it.
    #[must_use]
    pub fn new(
        id: ReplicaId,
        bound: Duration,
        store: ReplicaStore,
        freshness: Arc<Freshness>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let lease_seconds = u32::try_from(bound.as_secs() + 1).unwrap_or(u32::MAX / 2) + SILENCE;
        let making_sure = tokio::sync::Mutex::default();
        Self { id, lease_seconds, store, clock, freshness, heart: Mutex::default(), making_sure }
    }

    /// This replica's id.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Whether a heartbeat is due.
    #[must_use]
    pub fn is_due(&self, monotonic: Duration) -> bool {
        self.watch(|watch| watch.beaten_at).is_none_or(|at| monotonic.saturating_sub(at) >= BEAT_EVERY)
    }

    /// Keeps the row up, or makes it, and removes those of others whose hearts have stopped.
    ///
    /// # Errors
    /// [`StorageError`] when the row may not be there.
    pub async fn beat(&self) -> Result<(), StorageError> {
        let began = self.clock.monotonic();
        self.store.beat(self.id, self.lease_seconds).await?;
        self.watch(|watch| watch.beaten_at = watch.beaten_at.max(Some(began)));
        self.freshness.count_in(began + COUNTED_IN);
        if let Err(error) = self.remove_the_dead().await {
            tracing::debug!(error = %ErrorChain(&error), "the registry of replicas was not looked through");
        }
        Ok(())
    }

    /// Makes sure that others wait for this replica: by a heartbeat, unless the last one is recent.
    ///
    /// # Errors
    /// [`StorageError`] when the row may not be there.
    pub async fn be_counted_in(&self) -> Result<(), StorageError> {
        let _one_at_a_time = self.making_sure.lock().await;
        if self.freshness.counted_in(self.clock.monotonic()) && self.watch(|watch| watch.beaten_at.is_some()) {
            return Ok(());
        }
        self.beat().await
    }

    /// Notes in the registry that everything committed before barrier `number` has been acted upon here.
    ///
    /// # Errors
    /// [`StorageError`]; whoever waits goes on waiting.
    pub async fn pass(&self, number: i64) -> Result<(), StorageError> {
        self.store.pass(self.id, number).await
    }

    /// Takes this replica out: it answers no exchange any more.
    ///
    /// # Errors
    /// [`StorageError`]; another replica removes the row after a while.
    pub async fn leave(&self) -> Result<(), StorageError> {
        self.freshness.count_in(Duration::ZERO);
        self.store.remove(self.id, None).await.map(drop)
    }

    async fn remove_the_dead(&self) -> Result<(), StorageError> {
        let began = self.clock.monotonic();
        let hearts = self.store.list().await?;
        let now = self.clock.monotonic();
        let dead: Vec<_> = self.watch(|watch| {
            let before = std::mem::take(&mut watch.others);
            let others = hearts.iter().filter(|heart| heart.replica != self.id);
            let stood = others.map(|heart| match before.get(&heart.replica) {
                Some(&(beat, since)) if beat == heart.beat => (heart, since),
                // It may have beaten at any time before it was looked at, so its silence begins only now.
                _ => (heart, now),
            });
            let stood: Vec<_> = stood.collect();
            watch.others = stood.iter().map(|(heart, since)| (heart.replica, (heart.beat, *since))).collect();
            let silent = |since: Duration, lease: u32| began.saturating_sub(since) > Duration::from_secs(lease.into());
            stood
                .into_iter()
                .filter(|(heart, since)| silent(*since, heart.lease_seconds))
                .map(|(heart, _)| *heart)
                .collect()
        });
        for heart in dead {
            if self.store.remove(heart.replica, Some(heart.beat)).await? {
                tracing::info!(replica = %heart.replica.as_uuid(), "a replica that has gone was taken out of the registry");
            }
        }
        Ok(())
    }

    fn watch<T>(&self, look: impl FnOnce(&mut Watch) -> T) -> T {
        look(&mut self.heart.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
