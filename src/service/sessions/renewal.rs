//! Another token for the same session (OWASP Session Management, "Renew the Session ID").

use super::{AuthenticateError, RefusalReason, Sessions};
use crate::domain::{cookie_header::Presented, device::Seen, session::Session, session_token::SessionToken};

/// A renewed session.
#[derive(Debug)]
pub struct Renewed {
    /// The session.
    pub session: Session,
    /// Its new token; absent where the presented one is in its grace, because a parallel request has brought the new one.
    pub token: Option<SessionToken>,
}

impl Sessions {
    /// Gives the live session of a presented token a new one. The presented token works for a short grace still, so that
    /// requests which are on their way are not refused.
    ///
    /// # Errors
    /// [`AuthenticateError`]; the presented token is what it was then, unless the database's answer was lost.
    pub async fn renew(&self, presented: Presented<'_>, seen: &Seen) -> Result<Renewed, AuthenticateError> {
        let now = self.clock.now();
        let found = self.look_up_live(presented, seen, now).await?;
        let id = found.session.id;
        if found.in_grace {
            return Ok(Renewed { session: found.session, token: None });
        }
        let token = SessionToken::generate()?;
        let change = self.store.begin().await?;
        let stored = change.lock(id).await?;
        let stored = stored.ok_or(AuthenticateError::Refused(RefusalReason::Revoked, Some(id)))?;
        if !found.digests.iter().any(|digest| digest.as_ref() == stored) {
            // A parallel request was first: the presented token is a former one by now. Nothing was changed here; a commit
            // ends the transaction and keeps the connection.
            change.commit().await?;
            let found = self.look_up_live(presented, seen, now).await?;
            return Ok(Renewed { session: found.session, token: None });
        }
        let new_digest = self.vault.session_token_digest(&token);
        change.renew(id, &stored, new_digest, now, now + self.rules.renewal_grace).await?;
        change.commit().await?;
        tracing::info!(
            target: "audit",
            event = "session_renewed",
            session.id = %id,
            subject = %found.session.subject,
            "session renewed"
        );
        Ok(Renewed { session: found.session, token: Some(token) })
    }
}
