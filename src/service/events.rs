//! Security events, told at once in the log, and by webhook where one is configured.

use std::sync::Arc;

use super::webhook::Webhook;
use crate::{
    domain::event::{Changed, Consequence, Event, EventName},
    telemetry::metrics::Metrics,
};

/// Where security events go.
#[derive(Debug)]
pub struct Events {
    webhook: Option<Arc<Webhook>>,
    metrics: Metrics,
}

impl Events {
    /// Events go to the log, and to the webhook where there is one.
    #[must_use]
    pub fn new(webhook: Option<Arc<Webhook>>, metrics: Metrics) -> Self {
        // Each is there from the start, so that the first one shows as an increase.
        for name in EventName::ALL {
            drop(metrics.security_events_total.with_label_values(&[name.as_str()]));
        }
        Self { webhook, metrics }
    }

    /// The webhook, where there is one.
    #[must_use]
    pub fn webhook(&self) -> Option<&Arc<Webhook>> {
        self.webhook.as_ref()
    }

    /// Tells of an event: one audit line at once, then a row in the webhook's outbox.
    ///
    /// Never fails: what has happened has happened, whether or not it can be told. Waits for the database no longer than for any
    /// other statement. Call it after the change is committed.
    pub async fn record(&self, event: &Event) {
        log(event);
        self.metrics.security_events_total.with_label_values(&[event.name().as_str()]).inc();
        if let Some(webhook) = &self.webhook {
            webhook.queue(event).await;
        }
    }
}

/// The audit line. Its fields are those of [`Event::details`].
fn log(event: &Event) {
    let details = event.details();
    tracing::info!(
        target: "audit",
        event = event.name().as_str(),
        subject = details.subject.as_str(),
        account = details.account,
        session.id = details.session_id.map(tracing::field::display),
        device = details.device,
        address = details.address.map(tracing::field::display),
        changed = details.changed.map(Changed::as_str),
        previous_device = details.previous_device,
        previous_address = details.previous_address.map(tracing::field::display),
        consequence = details.consequence.map(Consequence::as_str),
        "{}",
        event.name().meaning()
    );
}
