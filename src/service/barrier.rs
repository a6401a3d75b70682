//! Waiting until every replica has acted upon what is committed now.
//!
//! Whoever waits raises a number in the database. A poll of the log that sees the number sees, in the same snapshot, everything that
//! was committed before. Each replica writes down the number once it has marked what that poll found.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::registry::Registry;
use crate::{
    clock::Clock,
    storage::{error::StorageError, replicas::ReplicaStore},
};

/// The first and the longest pause between two looks at how far the others are.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(32)];

/// Raises barriers, and waits until all others have passed.
pub struct Barrier {
    registry: Arc<Registry>,
    store: ReplicaStore,
    clock: Arc<dyn Clock>,
    /// The last barrier of this process, and when raising it began. Held while one is raised, so that calls share one.
    raised: Mutex<Option<(Duration, i64)>>,
    /// How far the others were at the last look of this process, and when that look began. Held while one looks, so that many who
    /// wait ask no more often than one.
    seen: Mutex<Option<(Duration, Option<i64>)>>,
}

impl fmt::Debug for Barrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Barrier")
    }
}

impl Barrier {
    /// Barriers of this replica, which does not wait for itself.
    #[must_use]
    pub fn new(registry: Arc<Registry>, store: ReplicaStore, clock: Arc<dyn Clock>) -> Self {
        Self { registry, store, clock, raised: Mutex::new(None), seen: Mutex::new(None) }
    }

    /// This replica among the others.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns once every other replica has acted upon everything that was committed before the call. That may be never: it is for
    /// the caller to stop waiting.
    ///
    /// # Errors
    /// [`StorageError`] when nobody can tell.
    pub async fn passed_by_all(&self) -> Result<(), StorageError> {
        let number = self.raise().await?;
        let [mut pause, longest] = PAUSES;
        // Whoever is not in the registry by the time of this look begins to read the log after it, and so sees the same.
        while self.lowest_passed().await?.is_some_and(|lowest| lowest < number) {
            tokio::time::sleep(pause).await;
            pause = longest.min(2 * pause);
        }
        Ok(())
    }

    /// How far the slowest of the others is, by a look that begins after this call.
    async fn lowest_passed(&self) -> Result<Option<i64>, StorageError> {
        let called_at = self.clock.monotonic();
        let mut seen = self.seen.lock().await;
        match *seen {
            Some((began, lowest)) if began > called_at => Ok(lowest),
            _ => {
                let began = self.clock.monotonic();
                let lowest = self.store.lowest_passed(self.registry.id()).await?;
                *seen = Some((began, lowest));
                Ok(lowest)
            }
        }
    }

    async fn raise(&self) -> Result<i64, StorageError> {
        let called_at = self.clock.monotonic();
        let mut raised = self.raised.lock().await;
        match *raised {
            // Somebody else's that was raised meanwhile is as good.
            Some((began, number)) if began > called_at => Ok(number),
            _ => {
                let began = self.clock.monotonic();
                let number = self.store.raise().await?;
                *raised = Some((began, number));
                Ok(number)
            }
        }
    }
}
