//! Which sessions an operator means: a closed set of members, each of which narrows the choice.
//!
//! Read from texts by name, so that the query of a list, the body of a revocation and the command line speak alike.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::{instant::rfc3339, session::SessionStatus, subject::Subject};

/// How sessions are started by people and back ends.
pub const START_METHODS: [&str; 2] = ["admin_api", "password"];
const MAX_USER_AGENT_LENGTH: usize = 64;
const MAX_METHOD_LENGTH: usize = 32;
/// 9999-01-01T00:00:00Z, in seconds since 1970.
const LATEST: i64 = 253_370_764_800;

/// Sessions that fit every member that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Whose they are.
    pub subject: Option<Subject>,
    /// Started at this instant or later.
    pub started_after: Option<OffsetDateTime>,
    /// Started before this instant.
    pub started_before: Option<OffsetDateTime>,
    /// Last seen at this instant or later, as far as storage knows: at most one granularity behind the truth.
    pub seen_after: Option<OffsetDateTime>,
    /// Last seen before this instant, as far as storage knows.
    pub seen_before: Option<OffsetDateTime>,
    /// What is known of where they were signed in, or are used from, lies within this network.
    pub ip: Option<IpNet>,
    /// How they were started: one of [`START_METHODS`].
    pub start_method: Option<String>,
    /// The family of the user agent that uses them, such as `Firefox`.
    pub user_agent: Option<String>,
    /// A method by which the subject authenticated (RFC 8176), among others.
    pub amr: Option<String>,
    /// What has become of them.
    pub status: Option<StatusFilter>,
}

/// One member of the filter, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterMember {
    /// [`SessionFilter::subject`].
    Subject,
    /// [`SessionFilter::started_after`].
    StartedAfter,
    /// [`SessionFilter::started_before`].
    StartedBefore,
    /// [`SessionFilter::seen_after`].
    SeenAfter,
    /// [`SessionFilter::seen_before`].
    SeenBefore,
    /// [`SessionFilter::ip`].
    Ip,
    /// [`SessionFilter::start_method`].
    StartMethod,
    /// [`SessionFilter::user_agent`].
    UserAgent,
    /// [`SessionFilter::amr`].
    Amr,
    /// [`SessionFilter::status`].
    Status,
}

/// A text does not say what a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", member.as_str(), member.allowed())]
pub struct InvalidMember {
    /// The member.
    pub member: FilterMember,
}

/// One status, or all those that are alive or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// Usable, or usable again after a sign-in.
    Live,
    /// Over for good.
    Ended,
    /// Exactly this.
    Exactly(SessionStatus),
}

impl FilterMember {
    /// Every member, in the order in which help texts list them.
    pub const ALL: [Self; 10] = [
        Self::Subject,
        Self::StartedAfter,
        Self::StartedBefore,
        Self::SeenAfter,
        Self::SeenBefore,
        Self::Ip,
        Self::StartMethod,
        Self::UserAgent,
        Self::Amr,
        Self::Status,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::StartedAfter => "started_after",
            Self::StartedBefore => "started_before",
            Self::SeenAfter => "seen_after",
            Self::SeenBefore => "seen_before",
            Self::Ip => "ip",
            Self::StartMethod => "start_method",
            Self::UserAgent => "user_agent",
            Self::Amr => "amr",
            Self::Status => "status",
        }
    }

    /// Whether it takes an instant.
    #[must_use]
    pub fn takes_instant(self) -> bool {
        matches!(self, Self::StartedAfter | Self::StartedBefore | Self::SeenAfter | Self::SeenBefore)
    }

    /// What it takes, in words.
    #[must_use]
    pub fn allowed(self) -> &'static str {
        match self {
            Self::Subject => "1 to 255 bytes without control characters, and without white space at its ends",
            Self::StartedAfter | Self::StartedBefore | Self::SeenAfter | Self::SeenBefore => {
                "an instant, as RFC 3339 text such as 2026-01-31T12:00:00Z or as seconds since 1970"
            }
            Self::Ip => "an address such as 203.0.113.9, or a network such as 203.0.113.0/24",
            Self::StartMethod => "admin_api or password",
            Self::UserAgent => "the family of a user agent such as Firefox, 1 to 64 bytes without control characters",
            Self::Amr => "one authentication method such as pwd, 1 to 32 visible ASCII characters",
            Self::Status => "live, ended, active, reauthentication_needed, revoked, subject_disabled, expired or idle",
        }
    }
}

impl SessionFilter {
    /// Narrows the choice by one member, given as a text.
    ///
    /// # Errors
    /// [`InvalidMember`] when the text is not what the member takes; nothing has changed then.
    pub fn narrow(&mut self, member: FilterMember, text: &str) -> Result<(), InvalidMember> {
        let invalid = || InvalidMember { member };
        match member {
            FilterMember::Subject => self.subject = Some(Subject::parse(text).map_err(|_| invalid())?),
            FilterMember::StartedAfter => self.started_after = Some(instant(text).ok_or_else(invalid)?),
            FilterMember::StartedBefore => self.started_before = Some(instant(text).ok_or_else(invalid)?),
            FilterMember::SeenAfter => self.seen_after = Some(instant(text).ok_or_else(invalid)?),
            FilterMember::SeenBefore => self.seen_before = Some(instant(text).ok_or_else(invalid)?),
            FilterMember::Ip => self.ip = Some(network(text).ok_or_else(invalid)?),
            FilterMember::StartMethod => {
                let known = START_METHODS.contains(&text).then(|| text.to_owned());
                self.start_method = Some(known.ok_or_else(invalid)?);
            }
            FilterMember::UserAgent => {
                let sound = (1..=MAX_USER_AGENT_LENGTH).contains(&text.len()) && !text.chars().any(char::is_control);
                self.user_agent = Some(sound.then(|| text.to_owned()).ok_or_else(invalid)?);
            }
            FilterMember::Amr => {
                let sound = (1..=MAX_METHOD_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                self.amr = Some(sound.then(|| text.to_owned()).ok_or_else(invalid)?);
            }
            FilterMember::Status => self.status = Some(StatusFilter::from_name(text).ok_or_else(invalid)?),
        }
        Ok(())
    }

    /// Whether nothing narrows the choice: then it is every session of everyone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The subject, where nothing else narrows the choice.
    #[must_use]
    pub fn only_subject(&self) -> Option<&Subject> {
        let subject = self.subject.as_ref()?;
        (*self == Self { subject: Some(subject.clone()), ..Self::default() }).then_some(subject)
    }

    /// The same choice among live sessions alone, which are all that can be revoked; nothing where it asks for ended ones.
    #[must_use]
    pub fn among_live(&self) -> Option<Self> {
        let status = match self.status {
            None | Some(StatusFilter::Live) => StatusFilter::Live,
            Some(StatusFilter::Exactly(status)) if status.can_be_used_again() => StatusFilter::Exactly(status),
            Some(StatusFilter::Exactly(_) | StatusFilter::Ended) => return None,
        };
        Some(Self { status: Some(status), ..self.clone() })
    }
}

impl fmt::Display for SessionFilter {
    /// The members that are given, as `name=text`, for people and logs; `*` where there is none.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = [
            (FilterMember::Subject, self.subject.as_ref().map(ToString::to_string)),
            (FilterMember::StartedAfter, self.started_after.map(rfc3339)),
            (FilterMember::StartedBefore, self.started_before.map(rfc3339)),
            (FilterMember::SeenAfter, self.seen_after.map(rfc3339)),
            (FilterMember::SeenBefore, self.seen_before.map(rfc3339)),
            (FilterMember::Ip, self.ip.map(|ip| ip.to_string())),
            (FilterMember::StartMethod, self.start_method.clone()),
            (FilterMember::UserAgent, self.user_agent.clone()),
            (FilterMember::Amr, self.amr.clone()),
            (FilterMember::Status, self.status.map(|status| status.as_str().to_owned())),
        ];
        let given = members.iter().filter_map(|(member, text)| Some((member, text.as_ref()?)));
        let mut separator = "";
        for (member, text) in given {
            write!(formatter, "{separator}{}={text}", member.as_str())?;
            separator = " ";
        }
        if separator.is_empty() { formatter.write_str("*") } else { Ok(()) }
    }
}

impl StatusFilter {
    /// The filter of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "live" => Some(Self::Live),
            "ended" => Some(Self::Ended),
            name => SessionStatus::ALL.into_iter().find(|status| status.as_str() == name).map(Self::Exactly),
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Exactly(status) => status.as_str(),
        }
    }

    /// Every status that fits.
    #[must_use]
    pub fn statuses(self) -> Vec<SessionStatus> {
        let fits = |status: &SessionStatus| match self {
            Self::Live => status.can_be_used_again(),
            Self::Ended => !status.can_be_used_again(),
            Self::Exactly(exactly) => *status == exactly,
        };
        SessionStatus::ALL.into_iter().filter(fits).collect()
    }
}

fn instant(text: &str) -> Option<OffsetDateTime> {
    let seconds = text.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let instant = seconds.or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())?;
    // In UTC, and far enough from the end of the calendar to be reckoned with.
    (0..LATEST).contains(&instant.unix_timestamp()).then(|| instant.to_offset(UtcOffset::UTC))
}

/// An address is the network of itself alone; an IPv4 address in an IPv6 one is the IPv4 address.
fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|| text.parse::<IpNet>().ok().map(|network| network.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(members: &[(FilterMember, &str)]) -> SessionFilter {
        let mut filter = SessionFilter::default();
        for (member, text) in members {
            filter.narrow(*member, text).unwrap();
        }
        filter
    }

    #[test]
    fn every_member_reads_back_from_its_text() {
        let all = filter(&[
            (FilterMember::Subject, "alice"),
            (FilterMember::StartedAfter, "2026-01-31T12:00:00Z"),
            (FilterMember::StartedBefore, "1769860801"),
            (FilterMember::SeenAfter, "2026-01-31T13:00:00.5+01:00"),
            (FilterMember::SeenBefore, "2026-02-01T00:00:00Z"),
            (FilterMember::Ip, "203.0.113.77/24"),
            (FilterMember::StartMethod, "password"),
            (FilterMember::UserAgent, "Firefox"),
            (FilterMember::Amr, "pwd"),
            (FilterMember::Status, "live"),
        ]);
        assert_eq!(
            all.to_string(),
            "subject=alice started_after=2026-01-31T12:00:00Z started_before=2026-01-31T12:00:01Z \
             seen_after=2026-01-31T12:00:00.5Z seen_before=2026-02-01T00:00:00Z ip=203.0.113.0/24 \
             start_method=password user_agent=Firefox amr=pwd status=live"
        );
        assert_eq!(SessionFilter::default().to_string(), "*");
        assert_eq!(filter(&[(FilterMember::Ip, "::ffff:203.0.113.9")]).to_string(), "ip=203.0.113.9/32");
    }

    #[test]
    fn what_a_member_does_not_take_is_refused_and_changes_nothing() {
        for (member, texts) in [
            (FilterMember::Subject, &["", " alice", "a\n"][..]),
            (
                FilterMember::StartedAfter,
                &["", "yesterday", "-1", "2026-01-31", "1e9", "99999999999999", "9999-12-31T23:59:59-23:59"],
            ),
            (FilterMember::SeenBefore, &["2026-13-01T00:00:00Z"]),
            (FilterMember::Ip, &["", "203.0.113", "203.0.113.9/33", "localhost", "203.0.113.0 /24"]),
            (FilterMember::StartMethod, &["", "Password", "canary"]),
            (FilterMember::UserAgent, &["", "a\0"]),
            (FilterMember::Amr, &["", "two words"]),
            (FilterMember::Status, &["", "dead", "Active"]),
        ] {
            for text in texts {
                let mut filter = SessionFilter::default();
                let error = filter.narrow(member, text).unwrap_err();
                assert!(error.to_string().starts_with(&format!("{}: ", member.as_str())), "{error}");
                assert!(filter.is_empty(), "{text:?}");
            }
        }
    }

    #[test]
    fn only_live_sessions_can_be_revoked() {
        for (name, among) in [("live", Some("live")), ("active", Some("active")), ("ended", None), ("idle", None)] {
            let live = filter(&[(FilterMember::Status, name)]).among_live();
            assert_eq!(live.and_then(|filter| filter.status).map(StatusFilter::as_str), among);
        }
        assert_eq!(SessionFilter::default().among_live().unwrap().status, Some(StatusFilter::Live));
        for name in ["live", "ended"].into_iter().chain(SessionStatus::ALL.map(SessionStatus::as_str)) {
            let filter = StatusFilter::from_name(name).unwrap();
            assert!(filter.as_str() == name && FilterMember::Status.allowed().contains(name), "{name}");
            assert!(!filter.statuses().is_empty());
        }
    }

    #[test]
    fn a_subject_alone_is_told_apart() {
        let alone = filter(&[(FilterMember::Subject, "alice")]);
        assert_eq!(alone.only_subject().map(Subject::as_str), Some("alice"));
        let narrower = filter(&[(FilterMember::Subject, "alice"), (FilterMember::Amr, "pwd")]);
        assert_eq!(narrower.only_subject(), None);
        assert_eq!(SessionFilter::default().only_subject(), None);
    }
}
