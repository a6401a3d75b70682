//! Counts attempts to sign in, in the database that all replicas share, and makes too many of them wait.

use std::{net::IpAddr, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::{
    crypto::master_key::Vault,
    domain::login_throttle::{KNOWN_FOR, Network, ThrottleCount, ThrottleKind, ThrottleRules, Throttled},
    storage::{error::StorageError, login_throttle::LoginThrottleStore},
    telemetry::error_chain::ErrorChain,
};

/// An attempt that was counted, or refused.
#[derive(Debug)]
pub(super) struct Counted {
    counts: Vec<ThrottleCount>,
    pub(super) throttled: Throttled,
}

/// The throttle.
#[derive(Debug)]
pub(super) struct LoginThrottle {
    store: LoginThrottleStore,
    vault: Arc<Vault>,
    rules: ThrottleRules,
    delayed: Semaphore,
}

impl LoginThrottle {
    pub(super) fn new(store: LoginThrottleStore, vault: Arc<Vault>, rules: ThrottleRules, most_delayed: usize) -> Self {
        Self { store, vault, rules, delayed: Semaphore::new(most_delayed) }
    }

    /// Counts an attempt before anything is known of it, so that many at once count as many.
    pub(super) async fn count(
        &self,
        account: &[u8],
        address: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Counted, StorageError> {
        let network = Network::of(address);
        let mut keys = ThrottleKind::ALL.map(|kind| (kind, self.vault.throttle_key(kind, account, network)));
        keys.sort_unstable_by_key(|(_, key)| *key);
        let counts = self.store.count(&keys, &self.rules, now).await?;
        let throttled = self.rules.decide(&counts, now);
        let counted = Counted { counts, throttled };
        if throttled.refused && counted.counts.iter().any(|count| count.counted) {
            // Another attempt has brought the refusal at this very moment: what is refused counts nowhere.
            self.forget(&counted).await;
        }
        Ok(counted)
    }

    /// The attempt was right: it does not count, and its network is a known one of the account for a time.
    pub(super) async fn forgive(&self, counted: &Counted, now: OffsetDateTime) {
        self.take_back(counted, Some(now + KNOWN_FOR)).await;
    }

    /// The attempt was never decided: it does not count.
    pub(super) async fn forget(&self, counted: &Counted) {
        self.take_back(counted, None).await;
    }

    /// Waits as long as the counts demand, unless too many are waiting.
    pub(super) async fn delay(&self, counted: &Counted) {
        if counted.throttled.delay > Duration::ZERO
            && let Ok(_place) = self.delayed.try_acquire()
        {
            tokio::time::sleep(counted.throttled.delay).await;
        }
    }

    /// Removes counts that make no difference any more.
    pub(super) async fn sweep(&self, now: OffsetDateTime, most: u32) -> Result<u64, StorageError> {
        self.store.sweep(now, most).await
    }

    async fn take_back(&self, counted: &Counted, known_until: Option<OffsetDateTime>) {
        // The counts are a precaution: what was decided stands, whether they can be written or not.
        if let Err(error) = self.store.take_back(&counted.counts, known_until).await {
            tracing::warn!(error = %ErrorChain(&error), "an attempt to sign in still counts as failed although it did not");
        }
    }
}
