//! Why an exchange gives no token.

use std::time::Duration;

use crate::{
    crypto::error::CryptoError,
    domain::session::SessionId,
    random::RandomFailed,
    service::{
        key_ring::NoSigner,
        live_sessions::LiveError,
        session_loader::LoadError,
        sessions::{AuthenticateError, RefusalReason},
    },
    storage::error::StorageError,
};

/// What a session lacks for an audience (RFC 9470 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepUp {
    /// The subject must authenticate again: the last time is longer ago than this.
    MaxAge(Duration),
    /// The subject must authenticate with more methods.
    Methods,
}

/// Why an exchange gives no token.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no live session.
    #[error("no live session")]
    Unauthenticated(RefusalReason, Option<SessionId>),
    /// No audience was named and none is the default, or the one named is not configured.
    #[error("unknown audience")]
    UnknownAudience,
    /// The audience is switched off.
    #[error("the audience is disabled")]
    AudienceDisabled,
    /// The request may change something, and a browser sends it from another site.
    #[error("a write from another site")]
    CrossSiteWrite(SessionId),
    /// The session is live but not strong enough.
    #[error("the session needs a step-up")]
    StepUp(StepUp, SessionId),
    /// The whole took longer than an exchange may.
    #[error("the exchange did not finish in time")]
    TimedOut,
    /// The session could not be looked up.
    #[error("the session could not be looked up")]
    Storage(#[source] StorageError),
    /// The session could not be read together with others.
    #[error(transparent)]
    NotRead(LoadError),
    /// There is no key to sign with.
    #[error("no token could be signed")]
    NoSigner(#[from] NoSigner),
    /// The token could not be signed.
    #[error("no token could be signed")]
    Sign(#[from] CryptoError),
    /// The token got no id.
    #[error("no token id could be made")]
    Random(#[from] RandomFailed),
}

impl From<LiveError> for ExchangeError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::NotRead(error) => Self::NotRead(error),
            LiveError::Former(AuthenticateError::Refused(reason, id)) | LiveError::Refused(reason, id) => {
                Self::Unauthenticated(reason, id)
            }
            LiveError::Former(AuthenticateError::Unavailable(error)) => Self::Storage(error),
            LiveError::Former(AuthenticateError::Random(error)) => Self::Random(error),
        }
    }
}

impl ExchangeError {
    /// The outcome's name in metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unauthenticated(reason, _) => reason.as_str(),
            Self::UnknownAudience => "unknown_audience",
            Self::AudienceDisabled => "audience_disabled",
            Self::CrossSiteWrite(_) => "cross_site_write",
            Self::StepUp(..) => "step_up_required",
            Self::TimedOut => "timed_out",
            Self::Storage(_) | Self::NotRead(_) => "storage_unavailable",
            Self::NoSigner(_) => "no_signing_key",
            Self::Sign(_) | Self::Random(_) => "internal",
        }
    }

    /// Whether something of ours failed, so that nothing could be decided.
    #[must_use]
    pub fn is_a_failure(&self) -> bool {
        match self {
            Self::Unauthenticated(..)
            | Self::UnknownAudience
            | Self::AudienceDisabled
            | Self::CrossSiteWrite(_)
            | Self::StepUp(..) => false,
            Self::TimedOut
            | Self::Storage(_)
            | Self::NotRead(_)
            | Self::NoSigner(_)
            | Self::Sign(_)
            | Self::Random(_) => true,
        }
    }

    /// Whether it was decided from the request alone.
    pub(super) fn came_before_any_lookup(&self) -> bool {
        let from_the_request = [RefusalReason::Absent, RefusalReason::Conflicting, RefusalReason::Malformed];
        matches!(self, Self::Unauthenticated(reason, _) if from_the_request.contains(reason))
    }

    /// The session that was refused, where one was found.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        match self {
            Self::Unauthenticated(_, id) => *id,
            Self::StepUp(_, id) | Self::CrossSiteWrite(id) => Some(*id),
            Self::UnknownAudience
            | Self::AudienceDisabled
            | Self::TimedOut
            | Self::Storage(_)
            | Self::NotRead(_)
            | Self::NoSigner(_)
            | Self::Sign(_)
            | Self::Random(_) => None,
        }
    }
}
