//! Makes and reads signing keys; `key_rotation` plans their changes and ends them.
//!
//! What is published comes from the opened private keys, never from a stored document that somebody else may have written.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use time::OffsetDateTime;

use super::key_ring::{KeyRing, RingKey};
pub use super::{key_rotation::Rotation, key_rules::KeyRules};
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
    /// The thread that makes keys ended.
    #[error("the making of a signing key was interrupted")]
    Interrupted,
    /// There is no key to rotate.
    #[error("there is no active key and standby to rotate")]
    NothingToRotate,
}

/// The keys.
#[derive(Debug)]
pub struct Keys {
    pub(super) store: SigningKeyStore,
    vault: Arc<Vault>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: KeyRules,
    pub(super) ring: Arc<KeyRing>,
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

    /// Opens every key that is not destroyed: under a wrong master key, whatever is made would be of use to nobody.
    ///
    /// # Errors
    /// [`KeysError::Sealed`] names a key that cannot be opened.
    pub async fn check(&self) -> Result<(), KeysError> {
        self.open_all(Unopenable::Fails).await.map(drop)
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

    pub(super) async fn make(&self, algorithm: Algorithm) -> Result<StoredSigningKey, KeysError> {
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

pub(super) async fn publish(
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
pub(super) fn announce_published(key: &StoredSigningKey) {
    tracing::info!(
        target: "audit",
        event = "signing_key_published",
        key.id = key.kid.as_str(),
        algorithm = key.algorithm.as_str(),
        "signing key published"
    );
}
