//! The one rule for whether a session is alive, over the few things that it looks at.

use super::session::{IdleRule, Session, SessionStatus};
use crate::domain::instant::unix_microseconds;

/// What decides whether a session is alive, its last use apart. Takes little room, because a process keeps many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Microseconds since 1970.
    expires_at: i64,
    barred: Option<Barred>,
    must_reauthenticate: bool,
}

/// What ends a session whatever else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Barred {
    Revoked,
    SubjectDisabled,
}

impl Standing {
    /// How a session stands.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        let barred = if session.revoked_at.is_some() || session.superseded {
            Some(Barred::Revoked)
        } else {
            session.subject_disabled.then_some(Barred::SubjectDisabled)
        };
        Self {
            expires_at: unix_microseconds(session.expires_at),
            barred,
            must_reauthenticate: session.reauthenticate_since.is_some_and(|since| session.auth_time <= since),
        }
    }

    /// The absolute end, in microseconds since 1970.
    #[must_use]
    pub fn expires_at(self) -> i64 {
        self.expires_at
    }

    /// Whether it was revoked, by itself or with others.
    #[must_use]
    pub fn is_revoked(self) -> bool {
        self.barred == Some(Barred::Revoked)
    }

    /// The one rule for whether a session is alive, used on every path. Instants are microseconds since 1970.
    ///
    /// An end is exclusive: at `expires_at` itself the session is over (OWASP Session Management, "Session Expiration").
    #[must_use]
    pub fn status(self, last_seen_at: i64, now: i64, idle: IdleRule) -> SessionStatus {
        match self.barred {
            Some(Barred::Revoked) => SessionStatus::Revoked,
            Some(Barred::SubjectDisabled) => SessionStatus::SubjectDisabled,
            None if now >= self.expires_at => SessionStatus::Expired,
            None if last_seen_at <= idle.idle_since_microseconds(now) => SessionStatus::Idle,
            None if self.must_reauthenticate => SessionStatus::ReauthenticationNeeded,
            None => SessionStatus::Active,
        }
    }
}
