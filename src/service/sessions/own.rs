//! A subject's own devices: listed, and signed out from afar.

use super::{RevokeReason, Revoked, Sessions, tell_revoked};
use crate::{
    domain::{
        session::{Session, SessionId},
        subject::Subject,
    },
    storage::error::StorageError,
};

/// Most sessions that are listed: as many as the setting for the most per subject allows.
const MAX_LISTED: u16 = 10_000;

impl Sessions {
    /// The live sessions of a subject, newest first, those that only a sign-in makes usable included.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn own(&self, subject: &Subject) -> Result<Vec<Session>, StorageError> {
        let now = self.clock.now();
        let mut sessions = self.store.list_live(subject, now, self.rules.idle.idle_since(now), MAX_LISTED).await?;
        for session in &mut sessions {
            self.activity.refresh(session);
        }
        sessions.retain(|session| session.status(now, self.rules.idle).can_be_used_again());
        Ok(sessions)
    }

    /// Revokes one session of a subject; nothing where they have no such session. Revoking it again ends nothing.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the session must be taken for alive then.
    pub async fn revoke_own(&self, subject: &Subject, id: SessionId) -> Result<Option<Revoked>, StorageError> {
        let reason = RevokeReason::Owner;
        if self.store.revoke_own(id, subject, self.clock.now(), reason.as_str()).await? {
            tell_revoked(&self.metrics, id, reason);
            return Ok(Some(self.revoked(Some(1)).await));
        }
        let theirs = self.store.find_by_id(id).await?.is_some_and(|session| session.subject == *subject);
        Ok(if theirs { Some(self.revoked(Some(0)).await) } else { None })
    }

    /// Revokes every live session of a subject but one.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the sessions must be taken for alive then.
    pub async fn revoke_others(&self, subject: &Subject, keep: SessionId) -> Result<Revoked, StorageError> {
        let now = self.clock.now();
        let reason = RevokeReason::Owner;
        // No sign-in that is under way escapes: it is over before this, or begins after it.
        let (_turn, change) = self.begin_for(subject).await?;
        let others = change.beyond_limit(subject, now, self.rules.idle.idle_since(now), keep, 0).await?;
        let named: Vec<_> = others.into_iter().map(|id| (id, reason.as_str())).collect();
        let revoked = change.revoke(&named, now).await?;
        change.commit().await?;
        for id in &revoked {
            tell_revoked(&self.metrics, *id, reason);
        }
        Ok(self.revoked(Some(u64::try_from(revoked.len()).unwrap_or(u64::MAX))).await)
    }
}
