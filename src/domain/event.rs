//! Security events: what an operator, or a subject, wants to be told of at once. How they are told lives in `service::events`.
//!
//! A closed set. No event holds a token, a password or anything else that would let its reader in.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;

use super::{session::SessionId, subject::Subject, username::Username};

/// Something that happened to a subject's account or session, and matters for its security.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A subject signed in from a browser or network that none of its sessions remembers.
    NewDevice {
        /// When.
        at: OffsetDateTime,
        /// Who signed in.
        subject: Subject,
        /// The session that was started or stepped up.
        session_id: SessionId,
        /// What none of the subject's earlier sessions remembers.
        new: Changed,
        /// From where.
        place: Place,
    },
    /// A session token was presented after it had been replaced, so two parties may hold the session.
    SessionTokenReused {
        /// When.
        at: OffsetDateTime,
        /// Whose session it is.
        subject: Subject,
        /// The session.
        session_id: SessionId,
        /// From where the former token came.
        place: Place,
        /// What was done about it.
        consequence: Consequence,
    },
    /// A session was used from another browser or network than before.
    UnusualActivity {
        /// When.
        at: OffsetDateTime,
        /// Whose session it is.
        subject: Subject,
        /// The session.
        session_id: SessionId,
        /// What differs.
        changed: Changed,
        /// Where the session was known to be: the family of the browser, and the network by its first address.
        before: Place,
        /// From where it is used now.
        place: Place,
        /// What was done about it.
        consequence: Consequence,
    },
    /// A password account was added.
    AccountAdded {
        /// When.
        at: OffsetDateTime,
        /// Whose account it is.
        subject: Subject,
        /// The account's name.
        account: Username,
    },
    /// The password of an account was replaced; its sessions have ended.
    PasswordChanged {
        /// When.
        at: OffsetDateTime,
        /// Whose account it is.
        subject: Subject,
        /// The account's name.
        account: Username,
    },
    /// An account was disabled; its sessions have ended.
    AccountDisabled {
        /// When.
        at: OffsetDateTime,
        /// Whose account it is.
        subject: Subject,
        /// The account's name.
        account: Username,
    },
    /// An account that was disabled may sign in again.
    AccountEnabled {
        /// When.
        at: OffsetDateTime,
        /// Whose account it is.
        subject: Subject,
        /// The account's name.
        account: Username,
    },
    /// An account was deleted; its sessions have ended.
    AccountDeleted {
        /// When.
        at: OffsetDateTime,
        /// Whose account it was.
        subject: Subject,
        /// The account's name.
        account: Username,
    },
}

/// Where a request came from, as far as it is known and the settings allow it to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Description of the device, such as `Firefox on Linux`.
    pub device: Option<String>,
    /// Address, cut to its network where the settings say so.
    pub address: Option<IpAddr>,
}

/// What differs from what is remembered of a session or a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The family of the browser.
    UserAgent,
    /// The network of the address.
    Network,
    /// Both.
    UserAgentAndNetwork,
}

/// What is done about something suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// It was recorded; nothing else.
    Record,
    /// The session is of no use until its subject has authenticated again.
    Reauthenticate,
    /// The session has ended.
    End,
}

/// The stable name of each event: in the log, in webhooks and in the setting that selects them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventName {
    /// [`Event::NewDevice`].
    NewDevice,
    /// [`Event::SessionTokenReused`].
    SessionTokenReused,
    /// [`Event::UnusualActivity`].
    UnusualActivity,
    /// [`Event::AccountAdded`].
    AccountAdded,
    /// [`Event::PasswordChanged`].
    PasswordChanged,
    /// [`Event::AccountDisabled`].
    AccountDisabled,
    /// [`Event::AccountEnabled`].
    AccountEnabled,
    /// [`Event::AccountDeleted`].
    AccountDeleted,
}

/// What is told of an event, by field name; what does not apply is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Details<'a> {
    /// Whom it is about.
    pub subject: &'a Subject,
    /// The name of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<&'a str>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Description of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What differs from before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
    /// Description of the device before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_device: Option<&'a str>,
    /// Address before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<IpAddr>,
    /// What was done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consequence: Option<Consequence>,
}

impl Event {
    /// The event's name.
    #[must_use]
    pub fn name(&self) -> EventName {
        match self {
            Self::NewDevice { .. } => EventName::NewDevice,
            Self::SessionTokenReused { .. } => EventName::SessionTokenReused,
            Self::UnusualActivity { .. } => EventName::UnusualActivity,
            Self::AccountAdded { .. } => EventName::AccountAdded,
            Self::PasswordChanged { .. } => EventName::PasswordChanged,
            Self::AccountDisabled { .. } => EventName::AccountDisabled,
            Self::AccountEnabled { .. } => EventName::AccountEnabled,
            Self::AccountDeleted { .. } => EventName::AccountDeleted,
        }
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> OffsetDateTime {
        match self {
            Self::NewDevice { at, .. }
            | Self::SessionTokenReused { at, .. }
            | Self::UnusualActivity { at, .. }
            | Self::AccountAdded { at, .. }
            | Self::PasswordChanged { at, .. }
            | Self::AccountDisabled { at, .. }
            | Self::AccountEnabled { at, .. }
            | Self::AccountDeleted { at, .. } => *at,
        }
    }

    /// What is told of it.
    #[must_use]
    pub fn details(&self) -> Details<'_> {
        match self {
            Self::NewDevice { subject, session_id, new, place, .. } => {
                Details { changed: Some(*new), ..Details::of_session(subject, *session_id, place) }
            }
            Self::SessionTokenReused { subject, session_id, place, consequence, .. } => {
                Details { consequence: Some(*consequence), ..Details::of_session(subject, *session_id, place) }
            }
            Self::UnusualActivity { subject, session_id, changed, before, place, consequence, .. } => Details {
                changed: Some(*changed),
                previous_device: before.device.as_deref(),
                previous_address: before.address,
                consequence: Some(*consequence),
                ..Details::of_session(subject, *session_id, place)
            },
            Self::AccountAdded { subject, account, .. }
            | Self::PasswordChanged { subject, account, .. }
            | Self::AccountDisabled { subject, account, .. }
            | Self::AccountEnabled { subject, account, .. }
            | Self::AccountDeleted { subject, account, .. } => {
                Details { account: Some(account.as_str()), ..Details::of_subject(subject) }
            }
        }
    }
}

impl EventName {
    /// Every name.
    pub const ALL: [Self; 8] = [
        Self::NewDevice,
        Self::SessionTokenReused,
        Self::UnusualActivity,
        Self::AccountAdded,
        Self::PasswordChanged,
        Self::AccountDisabled,
        Self::AccountEnabled,
        Self::AccountDeleted,
    ];

    /// The name's text; never changed once it was published.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::SessionTokenReused => "session_token_reused",
            Self::UnusualActivity => "unusual_activity",
            Self::AccountAdded => "account_added",
            Self::PasswordChanged => "password_changed",
            Self::AccountDisabled => "account_disabled",
            Self::AccountEnabled => "account_enabled",
            Self::AccountDeleted => "account_deleted",
        }
    }

    /// What happened, in one clause for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NewDevice => "a subject signed in from a browser or network it had not used before",
            Self::SessionTokenReused => "a session token was presented after it had been replaced",
            Self::UnusualActivity => "a session was used from another browser or network than before",
            Self::AccountAdded => "a password account was added",
            Self::PasswordChanged => "the password of an account was replaced, and its sessions have ended",
            Self::AccountDisabled => "an account was disabled, and its sessions have ended",
            Self::AccountEnabled => "an account that was disabled may sign in again",
            Self::AccountDeleted => "an account was deleted, and its sessions have ended",
        }
    }
}

impl Changed {
    /// The name in logs and webhooks.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserAgent => "user_agent",
            Self::Network => "network",
            Self::UserAgentAndNetwork => "user_agent_and_network",
        }
    }
}

impl Consequence {
    /// The name in logs and webhooks, which is also the setting that asks for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Reauthenticate => "reauthenticate",
            Self::End => "end",
        }
    }
}

impl<'a> Details<'a> {
    fn of_subject(subject: &'a Subject) -> Self {
        Self {
            subject,
            account: None,
            session_id: None,
            device: None,
            address: None,
            changed: None,
            previous_device: None,
            previous_address: None,
            consequence: None,
        }
    }

    fn of_session(subject: &'a Subject, session_id: SessionId, place: &'a Place) -> Self {
        Self {
            session_id: Some(session_id),
            device: place.device.as_deref(),
            address: place.address,
            ..Self::of_subject(subject)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_are_unique_and_in_the_form_of_the_log() {
        let names: BTreeSet<_> = EventName::ALL.map(EventName::as_str).into();
        assert_eq!(names.len(), EventName::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }

    #[test]
    fn what_does_not_apply_is_absent() {
        let (at, subject) = (OffsetDateTime::UNIX_EPOCH, Subject::parse("alice").unwrap());
        let told = |event: &Event| serde_json::to_value(event.details()).unwrap();
        let account = Username::parse("Alice").unwrap();
        let event = Event::PasswordChanged { at, subject: subject.clone(), account };
        assert_eq!(told(&event), json!({ "subject": "alice", "account": "alice" }));
        let event = Event::UnusualActivity {
            at,
            subject,
            session_id: SessionId::from(Uuid::nil()),
            changed: Changed::UserAgentAndNetwork,
            before: Place { device: None, address: Some([192, 0, 2, 1].into()) },
            place: Place { device: Some("Firefox on Linux".to_owned()), address: None },
            consequence: Consequence::Reauthenticate,
        };
        let expected = json!({
            "subject": "alice",
            "session_id": "00000000-0000-0000-0000-000000000000",
            "device": "Firefox on Linux",
            "changed": "user_agent_and_network",
            "previous_address": "192.0.2.1",
            "consequence": "reauthenticate"
        });
        assert_eq!(told(&event), expected);
        assert_eq!((event.name(), event.at()), (EventName::UnusualActivity, at));
    }

    #[test]
    fn words_are_the_same_in_logs_and_in_webhooks() {
        for changed in [Changed::UserAgent, Changed::Network, Changed::UserAgentAndNetwork] {
            assert_eq!(json!(changed), changed.as_str());
        }
        for consequence in [Consequence::Record, Consequence::Reauthenticate, Consequence::End] {
            assert_eq!(json!(consequence), consequence.as_str());
        }
    }
}
