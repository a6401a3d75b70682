//! Which live session a presented token stands for.
//!
//! A token is looked for among the current ones first, so that a hit costs one statement. One that was replaced still works
//! for a short grace after a renewal; after that somebody else may hold it, and that is reported.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{AuthenticateError, RefusalReason, RevokeReason, Sessions, tell_revoked, to_the_end};
use crate::{
    domain::{
        cookie_header::Presented,
        device::Seen,
        event::{Consequence, Event, Place},
        session::Session,
        session_token::{SessionToken, SessionTokenDigest},
    },
    storage::{error::StorageError, former_tokens::FoundFormerToken, sessions::FoundSession},
    telemetry::error_chain::ErrorChain,
};

/// The session that a token stands for, alive or not.
#[derive(Debug)]
pub(super) struct LookedUp {
    /// The session.
    pub(super) session: Session,
    /// Whether the token has been replaced, and is in its grace.
    pub(super) in_grace: bool,
    /// Every digest of the token.
    pub(super) digests: Vec<SessionTokenDigest>,
}

impl Sessions {
    /// The live session of a presented token, now noted as used.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`] when there is none, [`AuthenticateError::Unavailable`] when that cannot be decided.
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Session, AuthenticateError> {
        let now = self.clock.now();
        let found = self.look_up(presented, &Seen::default(), now).await?;
        self.refuse_unusable(&found.session, now)?;
        self.activity.note(&found.session, now);
        Ok(found.session)
    }

    /// The session that a presented token stands for, where it is alive or would be after a sign-in. From where it is used is not
    /// judged: whoever wants it ended or stepped up may ask from anywhere.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn find_usable_again(
        &self,
        presented: Presented<'_>,
        seen: &Seen,
    ) -> Result<Option<Session>, StorageError> {
        let now = self.clock.now();
        match self.look_up(presented, seen, now).await {
            Ok(found) => {
                Ok(Some(found.session).filter(|session| session.status(now, self.rules.idle).can_be_used_again()))
            }
            Err(AuthenticateError::Unavailable(error)) => Err(error),
            // No token is made here.
            Err(AuthenticateError::Refused(..) | AuthenticateError::Random(_)) => Ok(None),
        }
    }

    /// The session that a presented token stands for, alive or not. `seen` only says where a reused token came from.
    pub(super) async fn look_up(
        &self,
        presented: Presented<'_>,
        seen: &Seen,
        now: OffsetDateTime,
    ) -> Result<LookedUp, AuthenticateError> {
        let token = parse(presented).map_err(|reason| AuthenticateError::Refused(reason, None))?;
        let digests = self.vault.session_token_digests(&token);
        if let Some(session) = self.find(&token, &digests).await? {
            return Ok(LookedUp { session, in_grace: false, digests });
        }
        let former = self.store.find_former_token(&digests).await?;
        let mut former = former.ok_or(AuthenticateError::Refused(RefusalReason::Unknown, None))?;
        self.activity.refresh(&mut former.session);
        let id = former.session.id;
        let status = former.session.status(now, self.rules.idle);
        if let Some(reason) = RefusalReason::of(status).filter(|_| !status.can_be_used_again()) {
            return Err(AuthenticateError::Refused(reason, Some(id)));
        }
        if now < former.valid_until {
            return Ok(LookedUp { session: former.session, in_grace: true, digests });
        }
        // Also after a step-up, whose old token is dead at once: what was on its way then is no theft.
        if now >= former.replaced_at + self.rules.renewal_grace && former.reused_at.is_none() {
            self.report_reuse(former, seen, now).await;
        }
        Err(AuthenticateError::Refused(RefusalReason::Replaced, Some(id)))
    }

    pub(super) fn refuse_unusable(&self, session: &Session, now: OffsetDateTime) -> Result<(), AuthenticateError> {
        match RefusalReason::of(session.status(now, self.rules.idle)) {
            None => Ok(()),
            Some(reason) => Err(AuthenticateError::Refused(reason, Some(session.id))),
        }
    }

    async fn find(
        &self,
        token: &SessionToken,
        digests: &[SessionTokenDigest],
    ) -> Result<Option<Session>, StorageError> {
        let Some(FoundSession { mut session, stored_digest }) = self.store.find_by_token_digest(digests).await? else {
            return Ok(None);
        };
        let current = self.vault.session_token_digest(token);
        if stored_digest != current.as_ref() {
            // Stored under a previous master key. Failing to move it costs nothing but a try at the next use.
            if let Err(error) = self.store.replace_token_digest(session.id, &stored_digest, current).await {
                tracing::warn!(session.id = %session.id, error = %ErrorChain(&error), "session not moved to the master key");
            }
        }
        self.activity.refresh(&mut session);
        Ok(Some(session))
    }

    /// Records once that a former token came after its grace, and ends its session where the rules say so. The token is refused
    /// either way, so a failure here is only logged; the next try reports it again.
    async fn report_reuse(&self, former: FoundFormerToken, seen: &Seen, now: OffsetDateTime) {
        let (store, events, metrics) = (self.store.clone(), Arc::clone(&self.events), self.metrics.clone());
        let follower = Arc::clone(&self.follower);
        let consequence = self.rules.on_token_reuse;
        let place = Place { device: seen.device.clone(), address: seen.ip };
        let work = async move {
            let change = store.begin().await?;
            let session = former.session;
            if change.lock(session.id).await?.is_none() || !change.mark_reused(&former.stored_digest, now).await? {
                // Nothing was changed; a commit keeps the connection.
                return change.commit().await;
            }
            let ended = if consequence == Consequence::End {
                change.revoke(&[(session.id, RevokeReason::TokenReuse.as_str())], now).await?
            } else {
                Vec::new()
            };
            change.commit().await?;
            follower.catch_up().await;
            for id in ended {
                tell_revoked(&metrics, id, RevokeReason::TokenReuse);
            }
            let (subject, session_id) = (session.subject, session.id);
            events.record(&Event::SessionTokenReused { at: now, subject, session_id, place, consequence }).await;
            Ok::<(), StorageError>(())
        };
        if let Some(Err(error)) = to_the_end(work).await {
            tracing::error!(error = %ErrorChain(&error), "a reused session token could not be recorded");
        }
    }
}

pub(in crate::service) fn parse(presented: Presented<'_>) -> Result<SessionToken, RefusalReason> {
    match presented {
        Presented::Absent => Err(RefusalReason::Absent),
        Presented::Conflicting => Err(RefusalReason::Conflicting),
        Presented::Value(text) => SessionToken::parse(text).map_err(|_| RefusalReason::Malformed),
    }
}
