//! A session of nobody's that one replica revokes on a schedule and every replica watches.
//!
//! Its revocation travels like any other, so that the time this takes is measured where nobody signs out for hours. And each replica
//! checks by its own clock that it has stopped believing the session when it must have.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::freshness::{Freshness, Generation};
use crate::{
    clock::Clock,
    domain::{
        session::SessionId,
        session_token::SessionTokenDigest,
        subject::{Subject, SubjectError},
    },
    random::{self, RandomFailed},
    storage::{
        canary::{CanaryStore, CanaryTurn, SUBJECT, StoredCanary},
        error::StorageError,
    },
    telemetry::metrics::{Metrics, seconds},
};

/// For how many intervals a revoked canary stays stored, so that every replica reads of it.
const KEPT: u32 = 6;

/// What a step finds wrong.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// This replica does not notice revocations, and believes that it does.
    #[error(
        "a canary session is still believed {after:?} after its revocation was stored; is a trigger of the revocation log missing?"
    )]
    StillBelieved {
        /// At least so long after the revocation.
        after: Duration,
    },
    /// No id could be made.
    #[error("no id could be made")]
    Random(#[from] RandomFailed),
    /// The name of the canary's subject is none.
    #[error("the subject of the canary cannot be used")]
    Subject(#[from] SubjectError),
    /// The database did not answer.
    #[error("the canary could not be looked after")]
    Storage(#[from] StorageError),
}

/// The canary of one replica.
pub struct Canary {
    store: CanaryStore,
    freshness: Arc<Freshness>,
    interval: Duration,
    bound: Duration,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    watched: Mutex<HashMap<SessionId, Watched>>,
}

/// A canary that this replica has read while it was not revoked: it would be in memory if anybody used it.
#[derive(Debug, Clone, Copy)]
struct Watched {
    generation: Generation,
    read_at: Duration,
    /// Since when this replica could know of its revocation.
    revoked_since: Option<Duration>,
    overdue: bool,
}

impl fmt::Debug for Canary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Canary")
    }
}

impl Canary {
    /// Watches nothing yet. A revocation must be known within `bound`.
    #[must_use]
    pub fn new(
        store: CanaryStore,
        freshness: Arc<Freshness>,
        interval: Duration,
        bound: Duration,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { store, freshness, interval, bound, clock, metrics, watched: Mutex::default() }
    }

    /// How often [`Self::step`] must run.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes the turn if it is due and nobody else has, then looks at what is stored and at what is believed.
    ///
    /// # Errors
    /// [`CanaryError`].
    pub async fn step(&self) -> Result<(), CanaryError> {
        let now = self.clock.now();
        let turn = CanaryTurn {
            id: SessionId::generate(now)?,
            token_digest: SessionTokenDigest::new(random::bytes()?),
            now,
            // A little earlier than the next step, so that the one who steps next need not wait for another round.
            due_before: now - self.interval * 9 / 10,
            due_after: now + self.interval,
            forget_before: now - self.interval * KEPT,
        };
        self.store.take_turn(&turn).await?;
        // Noted before the reading, as for any session that is read.
        let (generation, read_at) = (self.freshness.generation(), self.clock.monotonic());
        let stored = self.store.watch().await?;
        self.check(&stored, generation, read_at, self.clock.monotonic())
    }

    fn check(
        &self,
        stored: &[StoredCanary],
        generation: Generation,
        read_at: Duration,
        monotonic: Duration,
    ) -> Result<(), CanaryError> {
        let subject = Subject::parse(SUBJECT)?;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for canary in stored {
            if !canary.revoked {
                let fresh = Watched { generation, read_at, revoked_since: None, overdue: false };
                watched.insert(canary.id, fresh);
            } else if let Some(watched) = watched.get_mut(&canary.id) {
                watched.revoked_since.get_or_insert(monotonic);
            }
        }
        let is_stored = |id: &SessionId| stored.iter().any(|canary| canary.id == *id);
        let believed = |id: &SessionId, watched: &Watched| {
            self.freshness.trusted(monotonic)
                && self.freshness.holds(*id, subject.as_str(), watched.generation, watched.read_at, monotonic)
        };
        // What is no longer believed needs no watching once it is revoked; nor does what somebody has deleted.
        watched.retain(|id, watched| match watched.revoked_since {
            None => is_stored(id),
            Some(_) => believed(id, watched),
        });
        let mut longest = None;
        for watched in watched.values_mut() {
            let Some(since) = watched.revoked_since else { continue };
            let after = monotonic.saturating_sub(since);
            // A lease that is valid now comes from a poll that began after the revocation: it must have been found.
            if after <= self.bound {
                continue;
            }
            longest = longest.max(Some(after));
            if !watched.overdue {
                watched.overdue = true;
                self.metrics.canary_overdue_total.inc();
                self.metrics.revocation_propagation_seconds.observe(seconds(after));
            }
        }
        longest.map_or(Ok(()), |after| Err(CanaryError::StillBelieved { after }))
    }
}
