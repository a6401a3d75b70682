//! Makes, reads, plans and ends signing keys.
//!
//! A rotation is only a plan written down: the signer gets an end, the standby a beginning at the same instant, and a new
//! standby is published. The inequalities that keep every validator able to verify every token:
//!
//! - a key signs no earlier than `publish_lead` after it was published, so caches that honour the key set know it by then;
//! - a plan lies at least `announcement` ahead, so every replica has read it before it comes true;
//! - a retired key stays published for `retention`: the longest token lifetime, the longest cache time of the key set, and a
//!   margin for slow clocks.

use std::sync::Arc;

use time::OffsetDateTime;

use super::key_ring::{KeyRing, RingKey};
pub use super::key_rules::KeyRules;
use crate::{
    clock::Clock,
    crypto::{error::CryptoError, master_key::Vault, signing_key::SigningKey},
    domain::{
        audience::Algorithm,
        signing_key::{SigningKeyDates, SigningKeyState, StoredSigningKey},
    },
    storage::{
        error::StorageError,
        signing_keys::{LockedSigningKeys, SigningKeyStore},
    },
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
};

/// Why the keys are not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database does not answer.
    #[error("the signing keys could not be read or written")]
    Storage(#[from] StorageError),
    /// A private key cannot be opened; nothing was made or changed.
    #[error("signing key {kid} cannot be opened; check secrets.master_key and secrets.previous_master_keys")]
    Sealed {
        /// The key.
        kid: String,
        /// Why.
        #[source]
        source: CryptoError,
    },
    /// A key could not be made.
    #[error("a signing key could not be made")]
    Make(#[source] CryptoError),
    /// There is no key to rotate.
    #[error("there is no active key and standby to rotate")]
    NothingToRotate,
}

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

/// The keys.
#[derive(Debug)]
pub struct Keys {
    store: SigningKeyStore,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    rules: KeyRules,
    ring: Arc<KeyRing>,
    metrics: Metrics,
}

impl Keys {
    /// Wires the service with an empty ring.
    #[must_use]
    pub fn new(
        store: SigningKeyStore,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        rules: KeyRules,
        metrics: Metrics,
    ) -> Self {
        let ring = Arc::new(KeyRing::new(rules.ring_max_age()));
        Self { store, vault, clock, rules, ring, metrics }
    }

    /// The keys in memory.
    #[must_use]
    pub fn ring(&self) -> &Arc<KeyRing> {
        &self.ring
    }

    /// When keys change.
    #[must_use]
    pub fn rules(&self) -> &KeyRules {
        &self.rules
    }

    /// Makes sure that each algorithm has a signer and a standby, then fills the ring. Call it once at the start.
    ///
    /// Every key that exists must open first: a wrong master key stops here, before anything is made.
    ///
    /// # Errors
    /// [`KeysError`]; nothing was made unless the database's answer was lost.
    pub async fn prepare(&self) -> Result<(), KeysError> {
        let lacking = self.lacking(&self.open_all().await?);
        if !lacking.is_empty() {
            // Made before the lock is taken: making an RSA key takes a while.
            let mut made = Vec::new();
            for algorithm in lacking {
                made.push((self.make(algorithm)?, self.make(algorithm)?));
            }
            let locked = self.store.lock().await?;
            let now = self.clock.now();
            let stored = locked.list(now).await?;
            for (signer, standby) in made {
                let of_algorithm = |key: &&StoredSigningKey| key.algorithm == signer.algorithm;
                let keys: Vec<_> = stored.iter().filter(of_algorithm).collect();
                let has_signer =
                    keys.iter().any(|key| key.dates.activates_at.is_some() && key.dates.retires_at.is_none());
                let has_standby = keys.iter().any(|key| key.dates.activates_at.is_none());
                if !has_signer {
                    publish(&locked, signer, now, Some(now)).await?;
                }
                if !has_standby {
                    publish(&locked, standby, now, None).await?;
                }
            }
            locked.commit().await?;
        }
        self.refresh().await
    }

    /// Reads the keys into the ring, opening those that are new.
    ///
    /// # Errors
    /// [`KeysError`]; the ring is as it was.
    pub async fn refresh(&self) -> Result<(), KeysError> {
        let reading = self.ring.begin_reading(&*self.clock);
        let keys = self.open_all().await?;
        self.ring.replace(keys, reading);
        self.observe();
        Ok(())
    }

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
            if let Some(rotation) = self.plan(algorithm, true).await? {
                tracing::info!(
                    target: "audit",
                    event = "signing_key_rotation_planned",
                    key.id = rotation.next_kid,
                    algorithm = algorithm.as_str(),
                    activates_at = %rotation.activates_at,
                    "signing key rotation planned"
                );
            }
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
        let mut rotations = Vec::new();
        for &algorithm in &self.rules.algorithms {
            let rotation = self.plan(algorithm, false).await?.ok_or(KeysError::NothingToRotate)?;
            tracing::info!(
                target: "audit",
                event = "signing_key_rotation_planned",
                key.id = rotation.next_kid,
                algorithm = algorithm.as_str(),
                activates_at = %rotation.activates_at,
                "signing key rotation planned on request"
            );
            rotations.push(rotation);
        }
        self.refresh().await?;
        Ok(rotations)
    }

    /// Drops the signing keys in use at once, and signs with their standbys: a private key may be known to others.
    ///
    /// # Errors
    /// [`KeysError`]; algorithms before the failing one are rotated.
    pub async fn rotate_compromised(&self) -> Result<Vec<Rotation>, KeysError> {
        let mut rotations = Vec::new();
        for &algorithm in &self.rules.algorithms {
            let fresh = self.make(algorithm)?;
            let locked = self.store.lock().await?;
            let now = self.clock.now();
            let keys = of_algorithm(locked.list(now).await?, algorithm);
            let next = keys
                .iter()
                .find(|key| key.dates.state(now) == SigningKeyState::Pending && key.dates.activates_at.is_some());
            let standby = keys.iter().find(|key| key.dates.activates_at.is_none());
            let next = next.or(standby).ok_or(KeysError::NothingToRotate)?;
            for key in keys.iter().filter(|key| key.dates.state(now) == SigningKeyState::Active) {
                locked.drop_at(&key.kid, now).await?;
            }
            locked.activate(&next.kid, now).await?;
            if standby.is_none_or(|standby| standby.kid == next.kid) {
                publish(&locked, fresh, now, None).await?;
            }
            locked.commit().await?;
            tracing::warn!(
                target: "audit",
                event = "signing_key_dropped",
                key.id = next.kid.as_str(),
                algorithm = algorithm.as_str(),
                "signing key dropped as compromised; its standby signs from now on"
            );
            rotations.push(Rotation { algorithm, next_kid: next.kid.as_str().to_owned(), activates_at: now });
        }
        self.refresh().await?;
        Ok(rotations)
    }

    /// Writes the plan of one rotation. `only_if_due` plans nothing while another replica's plan stands.
    async fn plan(&self, algorithm: Algorithm, only_if_due: bool) -> Result<Option<Rotation>, KeysError> {
        let fresh = self.make(algorithm)?;
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
        publish(&locked, fresh, now, None).await?;
        let rotation = Rotation { algorithm, next_kid: standby.kid.as_str().to_owned(), activates_at };
        locked.commit().await?;
        Ok(Some(rotation))
    }

    /// Reads every key and opens those that the ring does not hold, moving them to the current master key where needed.
    async fn open_all(&self) -> Result<Vec<RingKey>, KeysError> {
        let mut keys = Vec::new();
        for stored in self.store.list(self.clock.now()).await? {
            let key = match self.ring.get(&stored.kid) {
                Some(key) => key,
                None => Arc::new(self.open(&stored).await?),
            };
            keys.push(RingKey { key, dates: stored.dates });
        }
        Ok(keys)
    }

    async fn open(&self, stored: &StoredSigningKey) -> Result<SigningKey, KeysError> {
        let sealed_error = |source| KeysError::Sealed { kid: stored.kid.as_str().to_owned(), source };
        let opened = self
            .vault
            .open_private_key(&stored.kid, stored.algorithm, &stored.sealed_private_key)
            .map_err(sealed_error)?;
        let key = SigningKey::from_pkcs8(stored.algorithm, &opened.bytes).map_err(sealed_error)?;
        if key.kid() != &stored.kid {
            return Err(sealed_error(CryptoError::Corrupted(stored.kid.clone())));
        }
        if !opened.current {
            let sealed =
                self.vault.seal_private_key(&stored.kid, stored.algorithm, &opened.bytes).map_err(KeysError::Make)?;
            if let Err(error) = self.store.reseal(&stored.kid, &stored.sealed_private_key, &sealed).await {
                tracing::warn!(key.id = stored.kid.as_str(), error = %ErrorChain(&error), "key not moved to the master key");
            }
        }
        Ok(key)
    }

    fn make(&self, algorithm: Algorithm) -> Result<StoredSigningKey, KeysError> {
        let made = SigningKey::generate(algorithm).map_err(KeysError::Make)?;
        let kid = made.key.kid().clone();
        let sealed_private_key = self.vault.seal_private_key(&kid, algorithm, &made.pkcs8).map_err(KeysError::Make)?;
        let dates =
            SigningKeyDates { published_at: self.clock.now(), activates_at: None, retires_at: None, destroys_at: None };
        Ok(StoredSigningKey { kid, algorithm, sealed_private_key, public_jwk: made.key.public_jwk(), dates })
    }

    fn lacking(&self, keys: &[RingKey]) -> Vec<Algorithm> {
        let lacks = |algorithm: &Algorithm| {
            let of_algorithm = || keys.iter().filter(|key| key.key.algorithm() == *algorithm);
            let has_signer =
                of_algorithm().any(|key| key.dates.activates_at.is_some() && key.dates.retires_at.is_none());
            let has_standby = of_algorithm().any(|key| key.dates.activates_at.is_none());
            !(has_signer && has_standby)
        };
        self.rules.algorithms.iter().copied().filter(lacks).collect()
    }

    fn observe(&self) {
        let now = self.clock.now();
        self.metrics.signing_key_age_seconds.reset();
        for key in self.ring.keys() {
            let age = (now - key.dates.published_at).as_seconds_f64();
            let labels = [key.key.algorithm().as_str(), key.dates.state(now).as_str()];
            // Of several retired keys the oldest is shown.
            let gauge = self.metrics.signing_key_age_seconds.with_label_values(&labels);
            gauge.set(gauge.get().max(age));
            if key.dates.state(now) == SigningKeyState::Active {
                let planned = key.dates.retires_at.or(key.dates.activates_at.map(|at| at + self.rules.rotate_every));
                if let Some(planned) = planned {
                    let gauge = self.metrics.signing_key_next_rotation_seconds.with_label_values(&labels[..1]);
                    gauge.set((planned - now).as_seconds_f64());
                }
            }
        }
    }
}

async fn publish(
    locked: &LockedSigningKeys<'_>,
    mut key: StoredSigningKey,
    now: OffsetDateTime,
    activates_at: Option<OffsetDateTime>,
) -> Result<(), StorageError> {
    key.dates.published_at = now;
    key.dates.activates_at = activates_at;
    locked.insert(&key).await?;
    tracing::info!(
        target: "audit",
        event = "signing_key_published",
        key.id = key.kid.as_str(),
        algorithm = key.algorithm.as_str(),
        "signing key published"
    );
    Ok(())
}

fn of_algorithm(keys: Vec<StoredSigningKey>, algorithm: Algorithm) -> Vec<StoredSigningKey> {
    keys.into_iter().filter(|key| key.algorithm == algorithm).collect()
}
