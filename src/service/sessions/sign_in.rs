//! A subject that has just proved who they are, and the session that comes of it.
//!
//! A live session of theirs that the request presents is stepped up: same id, new token. One of somebody else is ended. A
//! presented token is never adopted (OWASP Session Management, "Session Fixation").

use time::OffsetDateTime;

use super::{Sessions, StartError, start::Ended};
use crate::{
    domain::{
        cookie_header::Presented,
        device::Seen,
        event::{Changed, Event, Place},
        session::{Claims, Session, SessionId},
        session_token::SessionToken,
        subject::{Subject, SubjectEpoch},
    },
    storage::{
        session_changes::{SessionChange, StepUp},
        sessions::NewSession,
    },
};

/// A sign-in that has succeeded.
#[derive(Debug)]
pub struct SignIn<'a> {
    /// Who signed in.
    pub subject: Subject,
    /// The subject's revocation epoch when it authenticated: what it authenticated with may have been taken away since. Absent
    /// where nobody asked.
    pub authenticated_under: Option<SubjectEpoch>,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// The session token that the request presented.
    pub presented: Presented<'a>,
    /// From where.
    pub seen: Seen,
    /// How, as a word for metrics and logs.
    pub method: &'static str,
}

/// The session of a sign-in and, this once, its token.
#[derive(Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Its new token.
    pub token: SessionToken,
    /// Whether the session was there before.
    pub stepped_up: bool,
}

impl Sessions {
    /// Gives a subject that has authenticated a session under a new token: the one presented if it is theirs and alive, a new
    /// one otherwise.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then, unless the database's answer was lost.
    pub async fn sign_in(&self, sign_in: SignIn<'_>) -> Result<SignedIn, StartError> {
        let now = self.clock.now();
        let token = SessionToken::generate()?;
        let presented = self.find_usable_again(sign_in.presented, &sign_in.seen).await?;
        let (_turn, change) = self.begin_for(&sign_in.subject).await?;
        let new = change.new_to(&sign_in.subject, &sign_in.seen).await?;
        let (own, other) = match presented {
            Some(session) if session.subject == sign_in.subject => (Some(session.id), None),
            Some(session) => (None, Some(session.id)),
            None => (None, None),
        };
        if let Some(id) = own
            && let Some(session) = self.step_up(&change, id, &sign_in, &token, now).await?
        {
            change.commit().await?;
            self.follower.catch_up().await;
            tracing::info!(
                target: "audit",
                event = "session_stepped_up",
                session.id = %session.id,
                subject = %session.subject,
                method = sign_in.method,
                "session stepped up"
            );
            self.tell_new_device(new, &session, &sign_in.seen, now).await;
            return Ok(SignedIn { session, token, stepped_up: true });
        }
        let session = self.session_of(&sign_in, now)?;
        let stored = self.stored(&session, &token, &sign_in);
        let ended: Vec<Ended> = self.insert(&change, &stored, other).await?;
        change.commit().await?;
        if !ended.is_empty() {
            self.follower.catch_up().await;
        }
        self.tell_started(&stored, &ended);
        self.tell_new_device(new, &session, &sign_in.seen, now).await;
        Ok(SignedIn { session, token, stepped_up: false })
    }

    /// Steps a session up. Nothing where it has ended since it was looked up.
    async fn step_up(
        &self,
        change: &SessionChange<'_>,
        id: SessionId,
        sign_in: &SignIn<'_>,
        token: &SessionToken,
        now: OffsetDateTime,
    ) -> Result<Option<Session>, StartError> {
        let Some(old_digest) = change.lock(id).await? else { return Ok(None) };
        let Some(mut session) = change.get(id).await? else { return Ok(None) };
        self.activity.refresh(&mut session);
        if !session.status(now, self.rules.idle).can_be_used_again() {
            return Ok(None);
        }
        for method in &sign_in.amr {
            if !session.amr.contains(method) {
                session.amr.push(method.clone());
            }
        }
        let seen = &sign_in.seen;
        let token_digest = self.vault.session_token_digest(token);
        change.step_up(id, &old_digest, &StepUp { token_digest, auth_time: now, amr: &session.amr, seen }).await?;
        session.auth_time = now;
        session.last_seen_at = session.last_seen_at.max(now);
        session.device = seen.device.clone().or(session.device);
        session.ip = seen.ip.or(session.ip);
        session.user_agent = seen.user_agent.clone().or(session.user_agent);
        session.network = seen.network.or(session.network);
        session.reauthenticate_since = None;
        Ok(Some(session))
    }

    fn session_of(&self, sign_in: &SignIn<'_>, now: OffsetDateTime) -> Result<Session, StartError> {
        Ok(Session {
            id: SessionId::generate(now)?,
            subject: sign_in.subject.clone(),
            created_at: now,
            auth_time: now,
            last_seen_at: now,
            expires_at: now + self.rules.absolute_timeout,
            revoked_at: None,
            superseded: false,
            subject_disabled: false,
            amr: sign_in.amr.clone(),
            acr: None,
            claims: Claims::new(),
            device: sign_in.seen.device.clone(),
            ip: sign_in.seen.ip,
            user_agent: sign_in.seen.user_agent.clone(),
            network: sign_in.seen.network,
            reauthenticate_since: None,
        })
    }

    fn stored<'a>(&self, session: &'a Session, token: &SessionToken, sign_in: &SignIn<'_>) -> NewSession<'a> {
        NewSession {
            id: session.id,
            token_digest: self.vault.session_token_digest(token),
            subject: &session.subject,
            created_at: session.created_at,
            auth_time: session.auth_time,
            expires_at: session.expires_at,
            start_method: sign_in.method,
            amr: &session.amr,
            acr: session.acr.as_deref(),
            claims: &session.claims,
            device: session.device.as_deref(),
            ip: session.ip,
            user_agent: session.user_agent.as_deref(),
            network: session.network,
            authenticated_under: sign_in.authenticated_under,
        }
    }

    /// Tells of a sign-in from a browser or network that none of the subject's stored sessions remembers.
    async fn tell_new_device(&self, new: Option<Changed>, session: &Session, seen: &Seen, now: OffsetDateTime) {
        let Some(new) = new else { return };
        let place = Place { device: seen.device.clone(), address: seen.ip };
        let (subject, session_id) = (session.subject.clone(), session.id);
        self.events.record(&Event::NewDevice { at: now, subject, session_id, new, place }).await;
    }
}
