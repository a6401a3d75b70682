//! The signing keys in memory: who signs now, and what is published.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    crypto::{fingerprint::etag, signing_key::SigningKey},
    domain::{
        audience::Algorithm,
        signing_key::{KeyId, SigningKeyDates, SigningKeyState},
    },
};

/// A key that was opened and parsed once.
#[derive(Debug, Clone)]
pub struct RingKey {
    /// Signs.
    pub key: Arc<SigningKey>,
    /// Its dates.
    pub dates: SigningKeyDates,
}

/// The key set of one algorithm as it is served (RFC 7517 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    /// The document.
    pub body: String,
    /// A strong validator of it, with its quotes (RFC 9110 §8.8.3).
    pub etag: String,
}

/// All keys of one reading of storage. A new reading replaces it whole.
#[derive(Debug, Default)]
struct Ring {
    keys: Vec<RingKey>,
    read_at: Duration,
}

/// The active signer of each algorithm and all published keys, replaced as a whole when storage was read again.
#[derive(Debug)]
pub struct KeyRing {
    ring: RwLock<Arc<Ring>>,
    max_age: Duration,
}

/// There is no key to sign with, or what is known of the keys is too old to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSigner {
    /// No key of the algorithm is active.
    #[error("no signing key is active")]
    NoActiveKey,
    /// The keys have not been read for too long; a dropped key might still be used.
    #[error("the signing keys have not been read from storage for too long")]
    Stale,
}

impl KeyRing {
    /// An empty ring. What it is given counts as known for `max_age`.
    #[must_use]
    pub fn new(max_age: Duration) -> Self {
        Self { ring: RwLock::default(), max_age }
    }

    /// Replaces all keys by those that were read from storage; the reading began at the monotonic time `read_at`.
    pub fn replace(&self, keys: Vec<RingKey>, read_at: Duration) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ring { keys, read_at });
    }

    /// Every key of the last reading.
    #[must_use]
    pub fn keys(&self) -> Vec<RingKey> {
        self.current().keys.clone()
    }

    /// The key that signs for `algorithm` at `now`.
    ///
    /// # Errors
    /// [`NoSigner`] says why there is none.
    pub fn signer(
        &self,
        algorithm: Algorithm,
        now: OffsetDateTime,
        monotonic: Duration,
    ) -> Result<Arc<SigningKey>, NoSigner> {
        let ring = self.current();
        if monotonic.saturating_sub(ring.read_at) > self.max_age {
            return Err(NoSigner::Stale);
        }
        // Dates may overlap for an instant where a plan was brought forward: the newest plan signs.
        let active =
            |key: &&RingKey| key.key.algorithm() == algorithm && key.dates.state(now) == SigningKeyState::Active;
        let signer = ring.keys.iter().filter(active).max_by_key(|key| key.dates.activates_at);
        signer.map(|key| Arc::clone(&key.key)).ok_or(NoSigner::NoActiveKey)
    }

    /// The key set of `algorithm` at `now`: pending, active and retired keys, the signer first.
    #[must_use]
    pub fn key_set(&self, algorithm: Algorithm, now: OffsetDateTime) -> KeySet {
        let ring = self.current();
        let mut published: Vec<&RingKey> = ring
            .keys
            .iter()
            .filter(|key| key.key.algorithm() == algorithm && key.dates.state(now) != SigningKeyState::Destroyed)
            .collect();
        let order = |key: &RingKey| match key.dates.state(now) {
            SigningKeyState::Active => 0,
            SigningKeyState::Pending => 1,
            SigningKeyState::Retired | SigningKeyState::Destroyed => 2,
        };
        published.sort_by_key(|key| (order(key), key.dates.published_at));
        let keys: Vec<_> = published.iter().map(|key| key.key.public_jwk()).collect();
        let body = serde_json::json!({ "keys": keys }).to_string();
        let etag = etag(body.as_bytes());
        KeySet { body, etag }
    }

    /// Whether a key of that id has been opened already.
    #[must_use]
    pub fn get(&self, kid: &KeyId) -> Option<Arc<SigningKey>> {
        self.current().keys.iter().find(|key| key.key.kid() == kid).map(|key| Arc::clone(&key.key))
    }

    fn current(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}
