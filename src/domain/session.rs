//! The session. The rule that says whether it is still alive: [`Standing::status`].

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{instant::unix_microseconds, standing::Standing, subject::Subject};
use crate::random::{self, RandomFailed};

/// Custom claims that a session carries for its access tokens, by name.
pub type Claims = BTreeMap<String, serde_json::Value>;

/// The public handle of a session: `sid` in tokens, safe in URLs and logs, useless as a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

/// The text is not a session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id is a UUID in its hyphenated lower-case form")]
pub struct MalformedSessionId;

impl SessionId {
    /// A new id: UUID version 7 (RFC 9562 §5.7), so that new rows are neighbours in the index.
    ///
    /// # Errors
    /// [`RandomFailed`] when the generator cannot be read.
    pub fn generate(now: OffsetDateTime) -> Result<Self, RandomFailed> {
        let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &random::bytes()?).into_uuid()))
    }

    /// An id that is below every id of a session that started at `instant` or later, by the clock of whoever started it, and above
    /// every one of a session that started a millisecond earlier.
    #[must_use]
    pub fn first_at(instant: OffsetDateTime) -> Self {
        let milliseconds = u64::try_from(instant.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid())
    }

    /// The id as storage keeps it.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SessionId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for SessionId {
    type Err = MalformedSessionId;

    /// Takes the hyphenated lower-case form only, so that one session has one URL.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).map_err(|_| MalformedSessionId)?;
        if uuid.as_hyphenated().to_string() == text { Ok(Self(uuid)) } else { Err(MalformedSessionId) }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

/// The server-side record that a subject is signed in on one browser or device.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its public handle.
    pub id: SessionId,
    /// Whom it belongs to.
    pub subject: Subject,
    /// When it was started.
    pub created_at: OffsetDateTime,
    /// When the subject last proved who they are (`auth_time`, OpenID Connect Core 1.0 §2).
    pub auth_time: OffsetDateTime,
    /// When it was last used, as far as storage knows: at most one granularity behind the truth.
    pub last_seen_at: OffsetDateTime,
    /// The absolute end; nothing moves it later.
    pub expires_at: OffsetDateTime,
    /// When it was revoked, where it was.
    pub revoked_at: Option<OffsetDateTime>,
    /// Whether its subject, or everyone, was signed out after it had started.
    pub superseded: bool,
    /// Whether its subject is disabled.
    pub subject_disabled: bool,
    /// How the subject authenticated (RFC 8176).
    pub amr: Vec<String>,
    /// Which assurance level that reached.
    pub acr: Option<String>,
    /// Custom claims for access tokens; each audience takes those it allows.
    pub claims: Claims,
    /// A human-readable description of the device.
    pub device: Option<String>,
    /// The address from which its subject last signed in, as precise as the setting allowed.
    pub ip: Option<IpAddr>,
    /// The family of the user agent that uses it, as far as it is remembered.
    pub user_agent: Option<String>,
    /// The network from which it is used, as far as it is remembered.
    pub network: Option<IpNet>,
    /// Since when it is of no use until its subject has authenticated again; absent where nothing is demanded.
    pub reauthenticate_since: Option<OffsetDateTime>,
}

/// Why a session is or is not alive at an instant. Computed, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// Usable.
    Active,
    /// Revoked by itself, or with all of its subject's or everyone's sessions.
    Revoked,
    /// Its subject is disabled.
    SubjectDisabled,
    /// Past its absolute end.
    Expired,
    /// Not used for longer than the idle timeout.
    Idle,
    /// Of no use until its subject has authenticated again.
    ReauthenticationNeeded,
}

impl SessionStatus {
    /// Whether the session is usable, or becomes so when its subject authenticates again.
    #[must_use]
    pub fn can_be_used_again(self) -> bool {
        match self {
            Self::Active | Self::ReauthenticationNeeded => true,
            Self::Revoked | Self::SubjectDisabled | Self::Expired | Self::Idle => false,
        }
    }
}

/// How long a session may go unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleRule {
    /// The idle timeout.
    pub timeout: Duration,
    /// How far the stored `last_seen_at` may lag behind the last use. Added to the timeout, so that the rule never ends a
    /// session early; a session may live this much longer instead.
    pub granularity: Duration,
}

impl IdleRule {
    /// The last use of a session that is idle at `now`, by what is stored: only a later one keeps it alive.
    #[must_use]
    pub fn idle_since(self, now: OffsetDateTime) -> OffsetDateTime {
        now - self.timeout - self.granularity
    }

    /// The same in microseconds since 1970.
    #[must_use]
    pub fn idle_since_microseconds(self, now: i64) -> i64 {
        let longest = self.timeout.saturating_add(self.granularity).as_micros();
        now.saturating_sub(i64::try_from(longest).unwrap_or(i64::MAX))
    }
}

impl Session {
    /// Whether this session is alive at `now`, by the rule of [`Standing::status`].
    #[must_use]
    pub fn status(&self, now: OffsetDateTime, idle: IdleRule) -> SessionStatus {
        Standing::of(self).status(unix_microseconds(self.last_seen_at), unix_microseconds(now), idle)
    }

    /// When the idle timeout runs out, counted from the last use that is known.
    #[must_use]
    pub fn idle_expires_at(&self, idle: IdleRule) -> OffsetDateTime {
        self.last_seen_at + idle.timeout
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
    const IDLE: IdleRule = IdleRule { timeout: Duration::from_secs(1_800), granularity: Duration::from_secs(60) };

    fn session() -> Session {
        Session {
            id: SessionId::generate(START).unwrap(),
            subject: Subject::parse("alice").unwrap(),
            created_at: START,
            auth_time: START,
            last_seen_at: START,
            expires_at: START + Duration::from_secs(12 * 3_600),
            revoked_at: None,
            superseded: false,
            subject_disabled: false,
            amr: vec!["pwd".into()],
            acr: None,
            claims: Claims::new(),
            device: None,
            ip: None,
            user_agent: None,
            network: None,
            reauthenticate_since: None,
        }
    }

    #[test]
    fn a_fresh_session_is_active() {
        assert_eq!(session().status(START, IDLE), SessionStatus::Active);
    }

    #[test]
    fn a_session_ends_exactly_at_its_absolute_end() {
        let mut session = session();
        session.last_seen_at = session.expires_at;
        assert_eq!(session.status(session.expires_at - Duration::from_micros(1), IDLE), SessionStatus::Active);
        assert_eq!(session.status(session.expires_at, IDLE), SessionStatus::Expired);
    }

    #[test]
    fn an_unused_session_ends_after_timeout_and_granularity_never_before() {
        let limit = START + IDLE.timeout + IDLE.granularity;
        assert_eq!(session().status(limit - Duration::from_micros(1), IDLE), SessionStatus::Active);
        assert_eq!(session().status(limit, IDLE), SessionStatus::Idle);
    }

    #[test]
    fn a_revoked_session_stays_revoked_whatever_else_holds() {
        let revoked = Session { revoked_at: Some(START), ..session() };
        let superseded = Session { superseded: true, ..session() };
        for instant in [START, START + Duration::from_secs(100 * 3_600)] {
            assert_eq!(revoked.status(instant, IDLE), SessionStatus::Revoked);
            assert_eq!(superseded.status(instant, IDLE), SessionStatus::Revoked);
        }
    }

    #[test]
    fn a_session_that_demands_authentication_is_of_no_use_until_it_has_happened() {
        let since = START + Duration::from_secs(10);
        let demanding = Session { reauthenticate_since: Some(since), ..session() };
        assert_eq!(demanding.status(since, IDLE), SessionStatus::ReauthenticationNeeded);
        for auth_time in [since - Duration::from_secs(1), since] {
            let session = Session { auth_time, ..demanding.clone() };
            assert_eq!(session.status(since, IDLE), SessionStatus::ReauthenticationNeeded);
        }
        let mended = Session { auth_time: since + Duration::from_micros(1), ..demanding.clone() };
        assert_eq!(mended.status(since, IDLE), SessionStatus::Active);
        let over = Session { revoked_at: Some(START), ..demanding };
        assert_eq!(over.status(since, IDLE), SessionStatus::Revoked, "what cannot be mended says so");
    }

    #[test]
    fn a_disabled_subject_has_no_sessions() {
        let session = Session { subject_disabled: true, ..session() };
        assert_eq!(session.status(START, IDLE), SessionStatus::SubjectDisabled);
    }

    #[test]
    fn a_session_id_has_one_spelling() {
        let id = SessionId::generate(START).unwrap();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        for spelling in [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}"), String::new()] {
            assert_eq!(spelling.parse::<SessionId>(), Err(MalformedSessionId));
        }
    }
}
