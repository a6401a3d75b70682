//! Plans changes of signing keys, and ends keys whose time has come.
//!
//! A rotation is only a plan written down: the signer gets an end, the standby a beginning at the same instant, and a new
//! standby is published. The inequalities that keep every validator able to verify every token:
//!
//! - a key signs no earlier than `publish_lead` after it was published, so caches that honour the key set know it by then;
//! - a plan lies at least `announcement` ahead, so every replica has read it before it comes true;
//! - a retired key stays published for `retention`: the longest token lifetime, the longest cache time of the key set, and a
//!   margin for slow clocks.

use std::time::Duration;

use time::OffsetDateTime;

use super::{
    key_ring::RingKey,
    keys::{Keys, KeysError, announce_published, publish},
};
use crate::{
    domain::{
        audience::Algorithm,
        instant::rfc3339,
        signing_key::{SigningKeyState, StoredSigningKey},
    },
    telemetry::error_chain::ErrorChain,
};

/// How far the clocks of replicas may differ. What must hold at once is dated back by this.
const SKEW: Duration = Duration::from_secs(60);

/// What a rotation has planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The key that signs next.
    pub next_kid: String,
    /// From when it signs.
    pub activates_at: OffsetDateTime,
}

impl Keys {
    /// One step of upkeep: read the keys, plan rotations that are due, erase keys whose end has come.
    ///
    /// # Errors
    /// [`KeysError`]; what was not done is tried at the next step.
    pub async fn step(&self) -> Result<(), KeysError> {
        self.refresh().await?;
        let now = self.clock.now();
        let due = |key: &RingKey| {
            key.dates.retires_at.is_none()
                && key
                    .dates
                    .activates_at
                    .is_some_and(|at| now + self.rules.announcement() >= at + self.rules.rotate_every)
        };
        let due: Vec<_> = self.ring.keys().into_iter().filter(due).map(|key| key.key.algorithm()).collect();
        for algorithm in due.into_iter().filter(|algorithm| self.rules.algorithms.contains(algorithm)) {
            self.plan(algorithm, true).await?;
        }
        let erased = self.store.erase_destroyed(now).await?;
        if erased > 0 {
            tracing::info!(target: "audit", event = "signing_keys_erased", keys = erased, "private halves of old keys erased");
        }
        Ok(())
    }

    /// Plans a rotation of every algorithm in use, as early as the publication lead allows; where one is planned already,
    /// that plan is returned.
    ///
    /// # Errors
    /// [`KeysError`]; algorithms before the failing one are planned.
    pub async fn rotate(&self) -> Result<Vec<Rotation>, KeysError> {
        self.check().await?;
        let mut rotations = Vec::new();
        for &algorithm in &self.rules.algorithms {
            rotations.push(self.plan(algorithm, false).await?.ok_or(KeysError::NothingToRotate)?);
        }
        self.refresh_after_commit().await;
        Ok(rotations)
    }

    /// Drops the keys that sign, and those that signed until lately, at once, and signs with the standbys: a private key may be
    /// known to others.
    ///
    /// # Errors
    /// [`KeysError`]; algorithms before the failing one are rotated.
    pub async fn rotate_compromised(&self) -> Result<Vec<Rotation>, KeysError> {
        self.check().await?;
        let mut rotations = Vec::new();
        for &algorithm in &self.rules.algorithms {
            let fresh = self.make(algorithm).await?;
            let locked = self.store.lock().await?;
            let now = self.clock.now();
            let keys = of_algorithm(locked.list(now).await?, algorithm);
            let planned = keys
                .iter()
                .find(|key| key.dates.state(now) == SigningKeyState::Pending && key.dates.activates_at.is_some());
            let standby = keys.iter().find(|key| key.dates.activates_at.is_none());
            let next = planned.or(standby).ok_or(KeysError::NothingToRotate)?;
            let used = [SigningKeyState::Active, SigningKeyState::Retired];
            let dropped: Vec<_> = keys.iter().filter(|key| used.contains(&key.dates.state(now))).collect();
            // Dated back, so that it holds at once on replicas whose clocks are behind.
            for key in &dropped {
                locked.drop_at(&key.kid, now - SKEW).await?;
            }
            locked.activate(&next.kid, now - SKEW).await?;
            let published = match standby {
                Some(standby) if standby.kid != next.kid => None,
                _ => Some(publish(&locked, fresh, now, None).await?),
            };
            locked.commit().await?;
            for key in dropped {
                tracing::warn!(
                    target: "audit",
                    event = "signing_key_dropped",
                    key.id = key.kid.as_str(),
                    key.next_id = next.kid.as_str(),
                    algorithm = algorithm.as_str(),
                    "signing key dropped as compromised"
                );
            }
            published.iter().for_each(announce_published);
            rotations.push(Rotation { algorithm, next_kid: next.kid.as_str().to_owned(), activates_at: now });
        }
        self.refresh_after_commit().await;
        Ok(rotations)
    }

    /// What was committed holds, whether or not it can be read back now; the next step reads it anyway.
    async fn refresh_after_commit(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(error = %ErrorChain(&error), "the signing keys could not be read after they were changed");
        }
    }

    /// Writes the plan of one rotation. `only_if_due` plans nothing while another replica's plan stands.
    async fn plan(&self, algorithm: Algorithm, only_if_due: bool) -> Result<Option<Rotation>, KeysError> {
        let fresh = self.make(algorithm).await?;
        let locked = self.store.lock().await?;
        let now = self.clock.now();
        let keys = of_algorithm(locked.list(now).await?, algorithm);
        let last = keys.iter().find(|key| key.dates.activates_at.is_some() && key.dates.retires_at.is_none());
        let standby = keys.iter().find(|key| key.dates.activates_at.is_none());
        let (Some(last), Some(standby)) = (last, standby) else { return Ok(None) };
        let last_activates_at = last.dates.activates_at.unwrap_or(now);
        if last_activates_at > now {
            // A plan stands already.
            let standing =
                Rotation { algorithm, next_kid: last.kid.as_str().to_owned(), activates_at: last_activates_at };
            return Ok((!only_if_due).then_some(standing));
        }
        let mut activates_at =
            (standby.dates.published_at + self.rules.publish_lead).max(now + self.rules.announcement());
        if only_if_due {
            if now + self.rules.announcement() < last_activates_at + self.rules.rotate_every {
                return Ok(None);
            }
            activates_at = activates_at.max(last_activates_at + self.rules.rotate_every);
        }
        locked.retire(&last.kid, activates_at, activates_at + self.rules.retention()).await?;
        locked.activate(&standby.kid, activates_at).await?;
        let published = publish(&locked, fresh, now, None).await?;
        locked.commit().await?;
        tracing::info!(
            target: "audit",
            event = "signing_key_rotation_planned",
            key.id = standby.kid.as_str(),
            algorithm = algorithm.as_str(),
            activates_at = rfc3339(activates_at),
            on_request = !only_if_due,
            "signing key rotation planned"
        );
        announce_published(&published);
        Ok(Some(Rotation { algorithm, next_kid: standby.kid.as_str().to_owned(), activates_at }))
    }
}

fn of_algorithm(keys: Vec<StoredSigningKey>, algorithm: Algorithm) -> Vec<StoredSigningKey> {
    keys.into_iter().filter(|key| key.algorithm == algorithm).collect()
}
