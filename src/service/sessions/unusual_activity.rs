//! Watches from where a session is used. Asked on the public listener only: what a gateway passes on must not change the
//! exchange's decision. What is decided here holds on every path, because it is written on the session.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{
    AuthenticateError, RefusalReason, RevokeReason, Sessions, authentication::LookedUp, tell_revoked, to_the_end,
};
use crate::{
    domain::{
        cookie_header::Presented,
        device::Seen,
        event::{Changed, Consequence, Event, Place},
        session::Session,
        unusual_activity::Judgement,
    },
    storage::{error::StorageError, former_tokens::DeviceChange},
    telemetry::error_chain::ErrorChain,
};

impl Sessions {
    /// The live session of a presented token, now noted as used; a use from elsewhere is recorded, and refused where the rules
    /// say so.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`] when there is none, [`AuthenticateError::Unavailable`] when that cannot be decided.
    pub async fn authenticate_seen(&self, presented: Presented<'_>, seen: &Seen) -> Result<Session, AuthenticateError> {
        Ok(self.look_up_live(presented, seen, self.clock.now()).await?.session)
    }

    /// The live session of a presented token after the watch, now noted as used.
    pub(super) async fn look_up_live(
        &self,
        presented: Presented<'_>,
        seen: &Seen,
        now: OffsetDateTime,
    ) -> Result<LookedUp, AuthenticateError> {
        let mut found = self.look_up(presented, seen, now).await?;
        self.refuse_unusable(&found.session, now)?;
        self.watch(&mut found.session, seen, now).await?;
        self.activity.note(&found.session, now);
        Ok(found)
    }

    async fn watch(&self, session: &mut Session, seen: &Seen, now: OffsetDateTime) -> Result<(), AuthenticateError> {
        let (event, consequence) = match self.rules.unusual_activity.judge(session, seen) {
            Judgement::Usual => return Ok(()),
            Judgement::FirstSeen => (None, Consequence::Record),
            Judgement::Unusual { changed, consequence } => {
                (Some(event(session, seen, changed, consequence, now)), consequence)
            }
        };
        // What refuses somebody is never left out: it ends by itself, with the session or with a sign-in.
        if event.is_some()
            && consequence == Consequence::Record
            && self.restraint.is_exhausted(session.id, self.clock.monotonic())
        {
            return Ok(());
        }
        let written = self.remember(session, seen, event, consequence, now).await;
        match (consequence, written) {
            (Consequence::Record, Ok(())) => {}
            // Nothing was to be refused: then a failure to remember refuses nothing either.
            (Consequence::Record, Err(error)) => {
                tracing::warn!(session.id = %session.id, error = %ErrorChain(&error), "a session's device could not be remembered");
            }
            (Consequence::Reauthenticate | Consequence::End, Err(error)) => return Err(error.into()),
            (Consequence::Reauthenticate, Ok(())) => {
                return Err(AuthenticateError::Refused(RefusalReason::ReauthenticationNeeded, Some(session.id)));
            }
            (Consequence::End, Ok(())) => {
                return Err(AuthenticateError::Refused(RefusalReason::Revoked, Some(session.id)));
            }
        }
        session.user_agent = seen.user_agent.clone().or_else(|| session.user_agent.take());
        session.network = seen.network.or(session.network);
        Ok(())
    }

    /// Writes what a session is used from now. Of several requests that notice the same, one writes and tells.
    async fn remember(
        &self,
        session: &Session,
        seen: &Seen,
        event: Option<Event>,
        consequence: Consequence,
        now: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let (store, events, metrics) = (self.store.clone(), Arc::clone(&self.events), self.metrics.clone());
        let (follower, restraint) = (Arc::clone(&self.follower), Arc::clone(&self.restraint));
        let monotonic = self.clock.monotonic();
        let (session, seen) = (session.clone(), seen.clone());
        let work = async move {
            let ended = consequence == Consequence::End;
            let change = DeviceChange {
                user_agent: seen.user_agent.as_deref().or(session.user_agent.as_deref()),
                network: seen.network.or(session.network).map(|network| network.to_string()),
                reauthenticate_since: (consequence == Consequence::Reauthenticate).then_some(now),
                revoked: ended.then_some((now, RevokeReason::UnusualActivity.as_str())),
            };
            if store.remember_device(&session, &change).await? {
                if consequence != Consequence::Record {
                    follower.catch_up().await;
                }
                if ended {
                    tell_revoked(&metrics, session.id, RevokeReason::UnusualActivity);
                }
                if let Some(event) = event {
                    restraint.count(session.id, monotonic);
                    events.record(&event).await;
                }
            }
            Ok(())
        };
        // Nothing comes back only where it panicked, which was logged; the session is as it was then.
        to_the_end(work).await.unwrap_or(Ok(()))
    }
}

fn event(session: &Session, seen: &Seen, changed: Changed, consequence: Consequence, now: OffsetDateTime) -> Event {
    Event::UnusualActivity {
        at: now,
        subject: session.subject.clone(),
        session_id: session.id,
        changed,
        before: Place { device: session.user_agent.clone(), address: session.network.map(|network| network.addr()) },
        place: Place { device: seen.device.clone(), address: seen.ip },
        consequence,
    }
}
