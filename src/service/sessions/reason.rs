//! Why a token is refused, a session is not started, and a session is revoked.

use crate::{
    domain::session::{SessionId, SessionStatus},
    random::RandomFailed,
    storage::error::StorageError,
};

/// Why a presented token is not a live session. Never told to whoever presented it: all of these look the same from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// No token was presented.
    Absent,
    /// Two different tokens were presented.
    Conflicting,
    /// The text cannot be a token.
    Malformed,
    /// No session has this token.
    Unknown,
    /// A session had this token, and has another one now.
    Replaced,
    /// The session was revoked.
    Revoked,
    /// Its subject is disabled.
    SubjectDisabled,
    /// It is past its absolute end.
    Expired,
    /// It was not used for too long.
    Idle,
    /// Its subject must authenticate again first.
    ReauthenticationNeeded,
}

impl RefusalReason {
    /// The reason's name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "no_session_token",
            Self::Conflicting => "conflicting_session_tokens",
            Self::Malformed => "malformed_session_token",
            Self::Unknown => "unknown_session",
            Self::Replaced => "session_token_replaced",
            Self::Revoked => "session_revoked",
            Self::SubjectDisabled => "subject_disabled",
            Self::Expired => "session_expired",
            Self::Idle => "session_idle",
            Self::ReauthenticationNeeded => "reauthentication_needed",
        }
    }

    /// Why a session of this status is of no use; nothing where it is usable.
    #[must_use]
    pub fn of(status: SessionStatus) -> Option<Self> {
        match status {
            SessionStatus::Active => None,
            SessionStatus::Revoked => Some(Self::Revoked),
            SessionStatus::SubjectDisabled => Some(Self::SubjectDisabled),
            SessionStatus::Expired => Some(Self::Expired),
            SessionStatus::Idle => Some(Self::Idle),
            SessionStatus::ReauthenticationNeeded => Some(Self::ReauthenticationNeeded),
        }
    }
}

/// Why a request is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// There is no live session. The session's id is known where a row was found, for the log alone.
    #[error("no live session")]
    Refused(RefusalReason, Option<SessionId>),
    /// It could not be decided.
    #[error("the session could not be looked up")]
    Unavailable(#[from] StorageError),
    /// It is live, but no new token could be made.
    #[error("no session token could be made")]
    Random(#[from] RandomFailed),
}

/// Why a session was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The subject is disabled, or all of its sessions were ended after it had authenticated.
    #[error("the subject is disabled, or was signed out everywhere meanwhile")]
    SubjectDisabled,
    /// No token could be made.
    #[error("no session token could be made")]
    Random(#[from] RandomFailed),
    /// It could not be stored.
    #[error("the session could not be stored")]
    Unavailable(#[from] StorageError),
}

/// Why a session is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeReason {
    /// Its owner signed out of it.
    Logout,
    /// Its owner ended it from the list of their devices.
    Owner,
    /// An operator or a trusted back end ended it.
    Admin,
    /// Its subject had too many, and it was the oldest.
    Limit,
    /// Another subject signed in on the same browser.
    Replaced,
    /// A former token of it was presented after its grace.
    TokenReuse,
    /// It was used from another browser or network.
    UnusualActivity,
    /// The password of its subject's account was replaced.
    PasswordChanged,
    /// Its subject's account was disabled.
    AccountDisabled,
    /// Its subject's account was deleted.
    AccountDeleted,
}

impl RevokeReason {
    /// The reason's name in storage, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Limit => "limit",
            Self::Replaced => "replaced",
            Self::TokenReuse => "token_reuse",
            Self::UnusualActivity => "unusual_activity",
            Self::PasswordChanged => "password_changed",
            Self::AccountDisabled => "account_disabled",
            Self::AccountDeleted => "account_deleted",
        }
    }
}
