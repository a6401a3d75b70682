//! Security events on their way out: in the log at once, and at the webhook's receiver whatever becomes of it or of us.

mod delivery;
mod message;
mod process;
mod receiver;
mod sources;

use std::net::IpAddr;

use ephemint::{
    clock::Clock as _,
    domain::{
        event::{Changed, Consequence, Event, Place},
        session::SessionId,
        subject::Subject,
        username::Username,
    },
};

use crate::support::{
    app::{TestApp, sample},
    database::eventually,
};
use receiver::HookReceiver;

/// 32 bytes that are nobody's secret.
const SECRET: &str = "whsec_a2V5LWtleS1rZXkta2V5LWtleS1rZXkta2V5LWtleS0=";

/// The settings of a webhook at a receiver, and more of the section.
fn hooks(receiver: &HookReceiver, more: &str) -> String {
    format!("[hooks]\nurl = 'http://{}/in?room=1'\nsecret = '{SECRET}'\n{more}", receiver.address)
}

fn subject(name: &str) -> Subject {
    Subject::parse(name).unwrap()
}

/// An event of an account.
fn account_disabled(app: &TestApp, name: &str) -> Event {
    Event::AccountDisabled { at: app.clock.now(), subject: subject(name), account: Username::parse(name).unwrap() }
}

/// An event with every field.
fn unusual_activity(app: &TestApp) -> Event {
    Event::UnusualActivity {
        at: app.clock.now(),
        subject: subject("alice"),
        session_id: SessionId::generate(app.clock.now()).unwrap(),
        changed: Changed::UserAgentAndNetwork,
        before: Place { device: Some("Firefox on Linux".to_owned()), address: Some(IpAddr::from([192, 0, 2, 7])) },
        place: Place { device: Some("Safari on \"iOS\"".to_owned()), address: "2001:db8::1".parse().ok() },
        consequence: Consequence::End,
    }
}

/// Looks into the outbox now, as the background does every few seconds.
async fn step(app: &TestApp) {
    app.events.webhook().unwrap().step().await.unwrap();
}

/// How many attempts have had this outcome.
async fn outcomes(app: &TestApp, outcome: &str) -> f64 {
    sample(&app.metrics().await, "ephemint_hook_deliveries_total", &[&format!("outcome=\"{outcome}\"")])
}

/// Waits until that many attempts have had this outcome.
async fn wait_for_outcomes(app: &TestApp, outcome: &str, wanted: u32) {
    eventually(&format!("{wanted} times {outcome}"), async || {
        let found = outcomes(app, outcome).await;
        assert!(found <= f64::from(wanted), "{outcome}: {found} instead of {wanted}");
        (found >= f64::from(wanted)).then_some(())
    })
    .await;
}

/// How many events wait.
async fn pending(app: &TestApp) -> i64 {
    app.database.count("SELECT count(*) FROM hook_delivery").await
}
