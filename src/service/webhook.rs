//! The webhook: events wait in an outbox in the database and are posted by whichever replica comes first.
//!
//! A replica takes what is due by moving its next attempt ahead by a lease; so no connection to the database is held while a
//! receiver thinks, and what a replica has taken with it into its death is due again when the lease ends. An event arrives at
//! least once.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    clock::Clock,
    crypto::webhook_key::WebhookKey,
    domain::{
        event::{Details, Event, EventName},
        instant::rfc3339,
        retry,
    },
    outbound::webhook::{Answer, MessageHeaders, PostError, Receiver},
    random,
    storage::{
        error::StorageError,
        hook_deliveries::{ClaimedDelivery, HookDeliveryStore, NewDelivery},
    },
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
};

/// How many events one replica posts at the same time.
const BATCH: u16 = 8;
/// How much longer than one attempt a replica may keep an event to itself: for the database's answers before and after.
const MARGIN: Duration = Duration::from_secs(10);

/// What is posted, and how patiently.
#[derive(Debug, Clone)]
pub struct WebhookRules {
    /// The events that are posted.
    pub events: HashSet<EventName>,
    /// How often an event is tried before it is given up.
    pub max_attempts: u16,
    /// Most events that wait.
    pub max_pending: u32,
}

/// The outbox, and the way from there to the receiver.
#[derive(Debug)]
pub struct Webhook {
    store: HookDeliveryStore,
    receiver: Receiver,
    keys: Vec<WebhookKey>,
    rules: WebhookRules,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    wake: Arc<Notify>,
    failing: AtomicBool,
}

/// The message, field by field: `docs/events.md`.
#[derive(Serialize)]
struct Message<'a> {
    id: Uuid,
    r#type: &'static str,
    timestamp: String,
    data: Details<'a>,
}

/// Why an event was not put into the outbox.
#[derive(Debug, thiserror::Error)]
enum QueueError {
    #[error("no id could be made")]
    Random(#[from] random::RandomFailed),
    #[error("the message could not be written")]
    Message(#[from] serde_json::Error),
    #[error("the message could not be stored")]
    Storage(#[from] StorageError),
}

/// Why an event has not arrived.
enum Failure {
    Refused { status: u16, asked_for: Option<Duration> },
    Unanswered(PostError),
}

impl Webhook {
    /// Wires the webhook. With several keys, each signs.
    #[must_use]
    pub fn new(
        store: HookDeliveryStore,
        receiver: Receiver,
        keys: Vec<WebhookKey>,
        rules: WebhookRules,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        for outcome in ["delivered", "retried", "given_up", "dropped", "lost"] {
            drop(metrics.hook_deliveries_total.with_label_values(&[outcome]));
        }
        Self { store, receiver, keys, rules, clock, metrics, wake: Arc::default(), failing: AtomicBool::new(false) }
    }

    /// Says when [`Self::step`] has something to do before its time.
    #[must_use]
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// Puts an event into the outbox, if it is one that is posted. Where that fails, it is counted and logged and no more.
    pub(super) async fn queue(&self, event: &Event) {
        let name = event.name();
        if !self.rules.events.contains(&name) {
            return;
        }
        match self.insert(event).await {
            Ok(true) => self.wake.notify_one(),
            Ok(false) => {
                self.count("dropped");
                tracing::error!(
                    event = name.as_str(),
                    max_pending = self.rules.max_pending,
                    "too many events wait for the webhook; this one is not posted"
                );
            }
            Err(error) => {
                self.count("lost");
                tracing::error!(event = name.as_str(), error = %ErrorChain(&error), "an event is not posted to the webhook");
            }
        }
    }

    async fn insert(&self, event: &Event) -> Result<bool, QueueError> {
        let now = self.clock.now();
        let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random::bytes()?).into_uuid();
        let name = event.name().as_str();
        let message = Message { id, r#type: name, timestamp: rfc3339(event.at()), data: event.details() };
        let body = serde_json::to_string(&message)?;
        let new = NewDelivery { id, event: name, body: &body, created_at: now };
        Ok(self.store.insert(&new, self.rules.max_pending).await?)
    }

    /// Posts a batch of what is due, all at the same time. Wakes itself where there may be more.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer. An event that arrived but could not be removed is posted again.
    pub async fn step(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let lease_ends_at = now + self.receiver.timeout() + MARGIN;
        let claimed = self.store.claim(now, lease_ends_at, BATCH).await?;
        if claimed.len() == usize::from(BATCH) {
            self.wake.notify_one();
        }
        let settled = join_all(claimed.iter().map(|delivery| self.deliver(delivery))).await;
        self.metrics.hook_deliveries_pending.set(self.store.count().await?);
        settled.into_iter().collect()
    }

    async fn deliver(&self, delivery: &ClaimedDelivery) -> Result<(), StorageError> {
        let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
        let most = u32::from(self.rules.max_attempts);
        if attempts > most {
            // Taken for the last time by a replica that died over it.
            return self.give_up(delivery, "its last attempt was never finished").await;
        }
        let Err(failure) = self.post(delivery).await else {
            self.count("delivered");
            if self.failing.swap(false, Ordering::Relaxed) {
                tracing::info!("the webhook's receiver takes events again");
            }
            self.store.settle(delivery).await?;
            return Ok(());
        };
        let reason = failure.to_string();
        if attempts == most || failure.is_final() {
            return self.give_up(delivery, &reason).await;
        }
        let asked_for = if let Failure::Refused { asked_for, .. } = failure { asked_for } else { None };
        // Without chance it is tried again all the same.
        let [chance] = random::bytes::<1>().unwrap_or_default();
        let delay = retry::delay(attempts, chance, asked_for);
        self.store.postpone(delivery, self.clock.now() + delay).await?;
        self.count("retried");
        let delay_seconds = delay.as_secs_f64();
        let (id, event) = (delivery.id, delivery.event.as_str());
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(delivery.id = %id, event, attempts, delay_seconds, reason, "an event was not taken");
        } else {
            tracing::warn!(
                delivery.id = %id, event, attempts, delay_seconds, reason,
                "the webhook's receiver does not take events; they are tried again"
            );
        }
        Ok(())
    }

    async fn post(&self, delivery: &ClaimedDelivery) -> Result<(), Failure> {
        let id = delivery.id.as_hyphenated().to_string();
        let now = self.clock.now();
        let signatures: Vec<_> = self.keys.iter().map(|key| key.sign(&id, now, &delivery.body)).collect();
        let headers = MessageHeaders { id: &id, timestamp: now.unix_timestamp(), signature: &signatures.join(" ") };
        let answer = self.receiver.post(headers, delivery.body.clone()).await.map_err(Failure::Unanswered)?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(Failure::Refused { status: answer.status, asked_for: asked_for(&answer, self.clock.now()) })
    }

    async fn give_up(&self, delivery: &ClaimedDelivery, reason: &str) -> Result<(), StorageError> {
        if self.store.settle(delivery).await? {
            self.count("given_up");
            tracing::error!(
                delivery.id = %delivery.id,
                event = delivery.event.as_str(),
                attempts = delivery.attempts,
                reason,
                "an event is given up; the webhook's receiver has not taken it"
            );
        }
        Ok(())
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.hook_deliveries_total.with_label_values(&[outcome]).inc();
    }
}

impl Failure {
    /// Whether trying again is useless: the receiver says that it is gone for good (RFC 9110 §15.5.11).
    fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status: 410, .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, .. } => write!(formatter, "it answered with status {status}"),
            Self::Unanswered(error) => ErrorChain(error).fmt(formatter),
        }
    }
}

/// The pause that a receiver asks for where its status allows it to: too many requests, or out of service (RFC 9110 §10.2.3).
fn asked_for(answer: &Answer, now: OffsetDateTime) -> Option<Duration> {
    let text = answer.retry_after.as_deref().filter(|_| matches!(answer.status, 429 | 503))?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::from(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_granted_in_seconds_or_as_a_date_and_only_to_who_may_ask() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        let asked = |status, text: &str| asked_for(&Answer { status, retry_after: Some(text.to_owned()) }, now);
        assert_eq!(asked(429, "120"), Some(Duration::from_secs(120)));
        assert_eq!(asked(503, "Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        for (status, text) in [(500, "120"), (200, "120"), (503, "soon"), (503, "-1"), (503, "")] {
            assert_eq!(asked(status, text), None, "{status} {text}");
        }
        assert_eq!(asked(503, "Sun, 06 Nov 1994 08:48:37 GMT"), None, "in the past");
        assert_eq!(asked_for(&Answer { status: 503, retry_after: None }, now), None);
    }
}
