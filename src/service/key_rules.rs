//! When signing keys change, as durations; [`super::keys`] turns them into plans.

use std::time::Duration;

use crate::domain::audience::Algorithm;

/// How long a retired key stays published beyond what lifetimes and caches demand.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest cache time of a key set.
const LONGEST_CACHE: Duration = Duration::from_secs(300);

/// The shortest time between two readings of the keys.
const SHORTEST_POLL: Duration = Duration::from_millis(50);

/// When keys change.
#[derive(Debug, Clone)]
pub struct KeyRules {
    /// The algorithms that are in use, each with a signer and a standby.
    pub algorithms: Vec<Algorithm>,
    /// How long a key signs.
    pub rotate_every: Duration,
    /// How long a key is published before it signs.
    pub publish_lead: Duration,
    /// How often replicas read the keys.
    pub poll_interval: Duration,
    /// The longest lifetime of any access token.
    pub longest_token: Duration,
}

impl KeyRules {
    /// How long caches may keep a key set: 5 minutes, or half of a shorter publication lead.
    #[must_use]
    pub fn cache_time(&self) -> Duration {
        LONGEST_CACHE.min(self.publish_lead / 2)
    }

    /// How often replicas read the keys in fact: often enough for a short publication lead, too.
    #[must_use]
    pub fn effective_poll_interval(&self) -> Duration {
        self.poll_interval.min(self.publish_lead / 10).max(SHORTEST_POLL)
    }

    /// How far ahead a rotation is planned at least, so that every replica knows of it in time.
    #[must_use]
    pub fn announcement(&self) -> Duration {
        self.effective_poll_interval() * 5
    }

    /// How long a retired key stays published.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.longest_token + self.cache_time() + MARGIN
    }

    /// How long a replica may rely on its last reading of the keys.
    #[must_use]
    pub fn ring_max_age(&self) -> Duration {
        (self.effective_poll_interval() * 5).max(Duration::from_secs(30))
    }
}
