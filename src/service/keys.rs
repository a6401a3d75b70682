//! Makes, reads, plans and ends signing keys.
//!
//! A rotation is only a plan written down: the signer gets an end, the standby a beginning at the same instant, and a new
//! standby is published. The inequalities that keep every validator able to verify every token:
//!
//! - a key signs no earlier than `publish_lead` after it was published, so caches that honour the key set know it by then;
//! - a plan lies at least `announcement` ahead, so every replica has read it before it comes true;
//! - a retired key stays published for `retention`: the longest token lifetime, the longest cache time of the key set, and a
//!   margin for slow clocks.
//!
//! What is published comes from the opened private keys, never from a stored document that somebody else may have written.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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

/// How far the clocks of replicas may differ. What must hold at once is dated back by this.
const SKEW: Duration = Duration::from_secs(60);

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
    /// The thread that makes keys ended.
    #[error("the making of a signing key was interrupted")]
    Interrupted,
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
    /// Keys that could not be opened and have been reported.
    reported: Mutex<HashSet<String>>,
}

/// What to do with a key that cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unopenable {
    /// Fail: nothing may be made while one is there.
    Fails,
    /// Leave it out: the keys that can be opened go on serving.
    IsLeftOut,
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
        Self { store, vault, clock, rules, ring, metrics, reported: Mutex::default() }
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
        self.reseal().await?;
        let lacking = self.lacking(&self.open_all(Unopenable::Fails).await?);
        if !lacking.is_empty() {
            // Made before the lock is taken: making an RSA key takes a while.
            let mut made = Vec::new();
            for algorithm in lacking {
                made.push((self.make(algorithm).await?, self.make(algorithm).await?));
            }
            let mut published = Vec::new();
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
                    published.push(publish(&locked, signer, now, Some(now)).await?);
                }
                if !has_standby {
                    published.push(publish(&locked, standby, now, None).await?);
                }
            }
            locked.commit().await?;
            published.iter().for_each(announce_published);
        }
        self.refresh().await
    }

    /// Reads the keys into the ring, opening those that are new. One that cannot be opened is reported once and left out.
    ///
    /// # Errors
    /// [`KeysError`]; the ring is as it was.
    pub async fn refresh(&self) -> Result<(), KeysError> {
        let reading = self.ring.begin_reading(&*self.clock);
        let keys = self.open_all(Unopenable::IsLeftOut).await?;
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
        // A key made under a wrong master key would be of use to nobody.
        self.open_all(Unopenable::Fails).await?;
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
        self.open_all(Unopenable::Fails).await?;
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
            activates_at = %activates_at,
            on_request = !only_if_due,
            "signing key rotation planned"
        );
        announce_published(&published);
        Ok(Some(Rotation { algorithm, next_kid: standby.kid.as_str().to_owned(), activates_at }))
    }

    /// Reads every key and opens those that the ring does not hold.
    async fn open_all(&self, unopenable: Unopenable) -> Result<Vec<RingKey>, KeysError> {
        let mut keys = Vec::new();
        for stored in self.store.list(self.clock.now()).await? {
            let key = match self.ring.get(&stored.kid) {
                Some(key) => Ok(key),
                None => self.open(&stored).map(|(key, _)| Arc::new(key)),
            };
            match key {
                Ok(key) => keys.push(RingKey { key, dates: stored.dates }),
                Err(error) if unopenable == Unopenable::Fails => return Err(error),
                Err(error) => self.report_once(stored.kid.as_str(), &error),
            }
        }
        Ok(keys)
    }

    /// Opens a key; also tells how its private half is to be sealed anew, where that was under a previous master key.
    fn open(&self, stored: &StoredSigningKey) -> Result<(SigningKey, Option<Vec<u8>>), KeysError> {
        let sealed_error = |source| KeysError::Sealed { kid: stored.kid.as_str().to_owned(), source };
        let opened = self
            .vault
            .open_private_key(&stored.kid, stored.algorithm, &stored.sealed_private_key)
            .map_err(sealed_error)?;
        let key = SigningKey::from_pkcs8(stored.algorithm, &opened.bytes).map_err(sealed_error)?;
        if key.kid() != &stored.kid {
            return Err(sealed_error(CryptoError::Corrupted(stored.kid.clone())));
        }
        let seal = || self.vault.seal_private_key(&stored.kid, stored.algorithm, &opened.bytes);
        let resealed = if opened.current { None } else { Some(seal().map_err(KeysError::Make)?) };
        Ok((key, resealed))
    }

    /// Moves every key to the current master key.
    async fn reseal(&self) -> Result<(), KeysError> {
        for stored in self.store.list(self.clock.now()).await? {
            if let (_, Some(resealed)) = self.open(&stored)? {
                self.store.reseal(&stored.kid, &stored.sealed_private_key, &resealed).await?;
            }
        }
        Ok(())
    }

    fn report_once(&self, kid: &str, error: &KeysError) {
        let new = self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(kid.to_owned());
        if new {
            tracing::error!(error = %ErrorChain(error), "a signing key is left out: it is neither used nor published here");
        }
    }

    async fn make(&self, algorithm: Algorithm) -> Result<StoredSigningKey, KeysError> {
        // Making an RSA key takes a while; requests on this thread go on meanwhile.
        let making = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await;
        let made = making.map_err(|_| KeysError::Interrupted)?.map_err(KeysError::Make)?;
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
) -> Result<StoredSigningKey, StorageError> {
    key.dates.published_at = now;
    key.dates.activates_at = activates_at;
    locked.insert(&key).await?;
    Ok(key)
}

/// Called after the commit, so that no record speaks of what never was.
fn announce_published(key: &StoredSigningKey) {
    tracing::info!(
        target: "audit",
        event = "signing_key_published",
        key.id = key.kid.as_str(),
        algorithm = key.algorithm.as_str(),
        "signing key published"
    );
}

fn of_algorithm(keys: Vec<StoredSigningKey>, algorithm: Algorithm) -> Vec<StoredSigningKey> {
    keys.into_iter().filter(|key| key.algorithm == algorithm).collect()
}
