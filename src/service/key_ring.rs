//! The signing keys in memory: who signs now, and what is published.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    clock::Clock,
    crypto::{fingerprint::etag, signing_key::SigningKey},
    domain::{
        audience::Algorithm,
        instant::rfc3339,
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

impl RingKey {
    /// What operators are told of the key: its id, algorithm, state at `now`, and dates.
    #[must_use]
    pub fn describe(&self, now: OffsetDateTime) -> serde_json::Value {
        serde_json::json!({
            "kid": self.key.kid().as_str(),
            "algorithm": self.key.algorithm().as_str(),
            "state": self.dates.state(now).as_str(),
            "published_at": rfc3339(self.dates.published_at),
            "activates_at": self.dates.activates_at.map(rfc3339),
            "retires_at": self.dates.retires_at.map(rfc3339),
            "destroys_at": self.dates.destroys_at.map(rfc3339),
        })
    }
}

/// The key set of one algorithm as it is served (RFC 7517 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    /// The document.
    pub body: String,
    /// A strong validator of it, with its quotes (RFC 9110 §8.8.3).
    pub etag: String,
}

/// One reading of storage: its place in the order in which readings began, and the monotonic time at which it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    number: u64,
    began_at: Duration,
}

/// All keys of one reading of storage. A newer reading replaces it whole.
#[derive(Debug, Default)]
struct Ring {
    keys: Vec<RingKey>,
    reading: Reading,
}

/// The active signer of each algorithm and all published keys, replaced as a whole when storage was read again.
#[derive(Debug)]
pub struct KeyRing {
    ring: RwLock<Arc<Ring>>,
    readings: AtomicU64,
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
        Self { ring: RwLock::default(), readings: AtomicU64::new(0), max_age }
    }

    /// Notes that a reading of storage begins; call it before storage is asked.
    #[must_use]
    pub fn begin_reading(&self, clock: &dyn Clock) -> Reading {
        // In this order, so that a later number never comes with an earlier time.
        let number = self.readings.fetch_add(1, Ordering::SeqCst) + 1;
        Reading { number, began_at: clock.monotonic() }
    }

    /// Replaces all keys by those of a reading, unless the ring holds one that began later: of two readings under way at
    /// once the older may end last, and it may not know yet that a key was dropped.
    pub fn replace(&self, keys: Vec<RingKey>, reading: Reading) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if reading.number > ring.reading.number {
            *ring = Arc::new(Ring { keys, reading });
        }
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
        // Every exchange comes here: the ring is looked at where it is, and only the key is taken along.
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if monotonic.saturating_sub(ring.reading.began_at) > self.max_age {
            return Err(NoSigner::Stale);
        }
        // Dates may overlap for an instant where a plan was brought forward: the newest plan signs.
        let active =
            |key: &&RingKey| key.key.algorithm() == algorithm && key.dates.state(now) == SigningKeyState::Active;
        let signer = ring.keys.iter().filter(active).max_by_key(|key| key.dates.activates_at);
        signer.map(|key| Arc::clone(&key.key)).ok_or(NoSigner::NoActiveKey)
    }

    /// The key set of `algorithm` at `now`: pending, active and retired keys, the signer first.
    ///
    /// # Errors
    /// [`NoSigner::Stale`] when a dropped key might still be in it; caches may go on with what they have.
    pub fn key_set(&self, algorithm: Algorithm, now: OffsetDateTime, monotonic: Duration) -> Result<KeySet, NoSigner> {
        let ring = self.current();
        if monotonic.saturating_sub(ring.reading.began_at) > self.max_age {
            return Err(NoSigner::Stale);
        }
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
        Ok(KeySet { body, etag })
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

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::clock::ManualClock;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn key() -> RingKey {
        let dates = SigningKeyDates { published_at: NOW, activates_at: Some(NOW), retires_at: None, destroys_at: None };
        RingKey { key: Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap().key), dates }
    }

    fn kids(ring: &KeyRing) -> Vec<KeyId> {
        ring.keys().iter().map(|key| key.key.kid().clone()).collect()
    }

    #[test]
    fn a_reading_that_began_earlier_does_not_replace_a_later_one() {
        let (ring, clock) = (KeyRing::new(Duration::from_secs(30)), ManualClock::at(NOW));
        let (dropped, kept) = (key(), key());
        let earlier = ring.begin_reading(&clock);
        let later = ring.begin_reading(&clock);

        ring.replace(vec![kept.clone()], later);
        ring.replace(vec![dropped.clone(), kept.clone()], earlier);

        assert_eq!(kids(&ring), [kept.key.kid().clone()]);
        let again = ring.begin_reading(&clock);
        ring.replace(vec![dropped.clone()], again);
        assert_eq!(kids(&ring), [dropped.key.kid().clone()]);
    }

    #[test]
    fn what_was_read_too_long_ago_signs_nothing() {
        let (ring, clock) = (KeyRing::new(Duration::from_secs(30)), ManualClock::at(NOW));
        let reading = ring.begin_reading(&clock);
        ring.replace(vec![key()], reading);

        let signer = |monotonic| ring.signer(Algorithm::EdDsa, NOW, monotonic).map(drop);
        assert_eq!(signer(Duration::from_secs(30)), Ok(()));
        assert_eq!(signer(Duration::from_secs(31)), Err(NoSigner::Stale));
    }
}
