//! What it means that a session is used from another browser or network than it remembers.

use super::{
    device::Seen,
    event::{Changed, Consequence},
    session::Session,
};

/// What follows when a session is used from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnusualActivityRules {
    /// What follows another family of user agent.
    pub on_user_agent_change: Consequence,
    /// What follows another network.
    pub on_network_change: Consequence,
}

/// What a use says, measured by what the session remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing new.
    Usual,
    /// Something that the session did not know yet, such as the first browser of one that a back end started.
    FirstSeen,
    /// Something else than the session remembers.
    Unusual {
        /// What differs.
        changed: Changed,
        /// What follows: the stricter of the two rules where both differ.
        consequence: Consequence,
    },
}

impl UnusualActivityRules {
    /// Measures a use of `session`. What a request does not tell is not held against it.
    #[must_use]
    pub fn judge(self, session: &Session, seen: &Seen) -> Judgement {
        let user_agent = compare(session.user_agent.as_ref(), seen.user_agent.as_ref());
        let network = compare(session.network.as_ref(), seen.network.as_ref());
        let (changed, consequence) = match (user_agent, network) {
            (Compared::Differs, Compared::Differs) => {
                (Changed::UserAgentAndNetwork, stricter(self.on_user_agent_change, self.on_network_change))
            }
            (Compared::Differs, _) => (Changed::UserAgent, self.on_user_agent_change),
            (_, Compared::Differs) => (Changed::Network, self.on_network_change),
            (Compared::New, _) | (_, Compared::New) => return Judgement::FirstSeen,
            (Compared::Same, Compared::Same) => return Judgement::Usual,
        };
        Judgement::Unusual { changed, consequence }
    }
}

enum Compared {
    Same,
    New,
    Differs,
}

fn compare<T: PartialEq>(remembered: Option<&T>, seen: Option<&T>) -> Compared {
    match (remembered, seen) {
        (_, None) => Compared::Same,
        (None, Some(_)) => Compared::New,
        (Some(remembered), Some(seen)) if remembered == seen => Compared::Same,
        (Some(_), Some(_)) => Compared::Differs,
    }
}

fn stricter(one: Consequence, other: Consequence) -> Consequence {
    match (one, other) {
        (Consequence::End, _) | (_, Consequence::End) => Consequence::End,
        (Consequence::Reauthenticate, _) | (_, Consequence::Reauthenticate) => Consequence::Reauthenticate,
        (Consequence::Record, Consequence::Record) => Consequence::Record,
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::domain::{
        session::{Claims, SessionId},
        subject::Subject,
    };

    const RULES: UnusualActivityRules =
        UnusualActivityRules { on_user_agent_change: Consequence::End, on_network_change: Consequence::Reauthenticate };

    fn judged(remembered: [Option<&str>; 2], seen: [Option<&str>; 2]) -> Judgement {
        let now = OffsetDateTime::UNIX_EPOCH;
        let session = Session {
            id: SessionId::generate(now).unwrap(),
            subject: Subject::parse("alice").unwrap(),
            created_at: now,
            auth_time: now,
            last_seen_at: now,
            expires_at: now,
            revoked_at: None,
            superseded: false,
            subject_disabled: false,
            amr: vec![],
            acr: None,
            claims: Claims::new(),
            device: None,
            ip: None,
            user_agent: remembered[0].map(str::to_owned),
            network: remembered[1].map(|network| network.parse().unwrap()),
            reauthenticate_since: None,
        };
        let seen = Seen {
            user_agent: seen[0].map(str::to_owned),
            network: seen[1].map(|network| network.parse().unwrap()),
            ..Seen::default()
        };
        RULES.judge(&session, &seen)
    }

    #[test]
    fn only_what_is_remembered_and_told_can_differ() {
        let [here, there] = [Some("192.0.2.0/24"), Some("198.51.100.0/24")];
        let unusual = |changed, consequence| Judgement::Unusual { changed, consequence };
        assert_eq!(judged([Some("Firefox"), here], [Some("Firefox"), here]), Judgement::Usual);
        assert_eq!(judged([Some("Firefox"), here], [None, None]), Judgement::Usual);
        assert_eq!(judged([None, None], [None, None]), Judgement::Usual);
        assert_eq!(judged([None, here], [Some("Firefox"), here]), Judgement::FirstSeen);
        assert_eq!(judged([Some("Firefox"), None], [Some("Firefox"), here]), Judgement::FirstSeen);
        assert_eq!(
            judged([Some("Firefox"), here], [Some("Chrome"), here]),
            unusual(Changed::UserAgent, Consequence::End)
        );
        assert_eq!(
            judged([None, here], [Some("Chrome"), there]),
            unusual(Changed::Network, Consequence::Reauthenticate)
        );
        assert_eq!(
            judged([Some("Firefox"), here], [Some("Chrome"), there]),
            unusual(Changed::UserAgentAndNetwork, Consequence::End)
        );
    }

    #[test]
    fn the_stricter_consequence_wins() {
        let order = [Consequence::Record, Consequence::Reauthenticate, Consequence::End];
        for (lax, one) in order.into_iter().enumerate() {
            for (strict, other) in order.into_iter().enumerate() {
                assert_eq!(stricter(one, other), order[lax.max(strict)]);
            }
        }
    }
}
