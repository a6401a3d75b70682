//! What a sign-in attempt is counted under, and what the counts lead to: a refusal, a delay, or nothing.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use time::OffsetDateTime;

/// What attempts are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThrottleKind {
    /// One account from one network: refused for a growing time after a few failures.
    AccountNetwork,
    /// One network, whatever the account: the same, after more failures.
    Network,
    /// One account, from anywhere: answered later, never refused, so that nobody can lock its owner out from elsewhere.
    Account,
    /// Everybody together: answered later, never refused.
    Overall,
}

impl ThrottleKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::AccountNetwork, Self::Network, Self::Account, Self::Overall];

    /// The kind's name in storage.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountNetwork => "account_network",
            Self::Network => "network",
            Self::Account => "account",
            Self::Overall => "overall",
        }
    }

    /// The kind of that name in storage.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The keyed digest that a count is kept under: a reader of the database learns neither account nor address from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThrottleKey([u8; 32]);

impl ThrottleKey {
    /// Wraps the output of the keyed hash.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl AsRef<[u8]> for ThrottleKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The network that an address counts for: an IPv4 address itself, the /64 of an IPv6 address, since one customer has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address; an IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The limits of one kind of count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThrottleLimit {
    /// How many failures have no consequence.
    pub free: u32,
    /// Time after which half of the failures are forgotten.
    pub half_life: Duration,
    /// Longest refusal; zero where this kind never refuses.
    pub longest_refusal: Duration,
}

/// How sign-in attempts are throttled.
#[derive(Debug, Clone, PartialEq)]
pub struct ThrottleRules {
    /// Failures of one account from one network that have no consequence.
    pub free_failures: u32,
    /// Failures from one network that have no consequence.
    pub network_free_failures: u32,
    /// Failures everywhere within about a minute that have no consequence.
    pub overall_free_failures: u32,
    /// Longest refusal.
    pub longest_refusal: Duration,
    /// Longest delay of an answer.
    pub longest_delay: Duration,
    /// Time after which half of the failures are forgotten.
    pub half_life: Duration,
}

/// How long a network from which an account has signed in stays known.
pub const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);
/// Half-life of the count of everybody's failures.
const OVERALL_HALF_LIFE: Duration = Duration::from_mins(1);
/// How many times as many failures an account has free from everywhere together as from one network.
const ACCOUNT_FACTOR: u32 = 4;

impl ThrottleRules {
    /// The limits of a kind.
    #[must_use]
    pub fn limit(&self, kind: ThrottleKind) -> ThrottleLimit {
        let (free, half_life, longest_refusal) = match kind {
            ThrottleKind::AccountNetwork => (self.free_failures, self.half_life, self.longest_refusal),
            ThrottleKind::Network => (self.network_free_failures, self.half_life, self.longest_refusal),
            ThrottleKind::Account => {
                (self.free_failures.saturating_mul(ACCOUNT_FACTOR), self.half_life, Duration::ZERO)
            }
            ThrottleKind::Overall => (self.overall_free_failures, OVERALL_HALF_LIFE, Duration::ZERO),
        };
        ThrottleLimit { free, half_life, longest_refusal }
    }

    /// What the counts of one attempt lead to.
    #[must_use]
    pub fn decide(&self, counts: &[ThrottleCount], now: OffsetDateTime) -> Throttled {
        let count = |kind| counts.iter().find(|count| count.kind == kind);
        let known = count(ThrottleKind::AccountNetwork)
            .and_then(|count| count.known_until)
            .is_some_and(|known_until| known_until > now);
        let uncounted = |kind| !count(kind).is_some_and(|count| count.counted);
        // An account's own network stands for its owner: what others do there is held against them, not against the owner.
        let refused = uncounted(ThrottleKind::AccountNetwork) || (uncounted(ThrottleKind::Network) && !known);
        let delay = [ThrottleKind::Account, ThrottleKind::Overall]
            .into_iter()
            .map(|kind| self.delay(kind, count(kind).map_or(0.0, |count| count.failures)))
            .max()
            .unwrap_or_default();
        Throttled { refused, delay: if known { Duration::ZERO } else { delay } }
    }

    /// Nothing up to the free failures, then growing evenly, the longest at twice as many.
    fn delay(&self, kind: ThrottleKind, failures: f64) -> Duration {
        let free = f64::from(self.limit(kind).free);
        let share = ((failures - free) / free).clamp(0.0, 1.0);
        self.longest_delay.mul_f64(if share.is_finite() { share } else { 0.0 })
    }
}

/// One count, after the attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThrottleCount {
    /// Its key.
    pub key: ThrottleKey,
    /// What it counts.
    pub kind: ThrottleKind,
    /// Whether this attempt was counted; it is not while the key is refused.
    pub counted: bool,
    /// Failures not yet forgotten, this attempt included.
    pub failures: f64,
    /// Until when attempts are refused.
    pub refused_until: Option<OffsetDateTime>,
    /// Until when this network is a known one of the account.
    pub known_until: Option<OffsetDateTime>,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// Whether it is refused whatever the password.
    pub refused: bool,
    /// How much later it is answered.
    pub delay: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-31 12:00 UTC);

    fn rules() -> ThrottleRules {
        ThrottleRules {
            free_failures: 5,
            network_free_failures: 100,
            overall_free_failures: 1_000,
            longest_refusal: Duration::from_secs(900),
            longest_delay: Duration::from_secs(2),
            half_life: Duration::from_hours(3),
        }
    }

    fn counts() -> [ThrottleCount; 4] {
        ThrottleKind::ALL.map(|kind| ThrottleCount {
            key: ThrottleKey::new([0; 32]),
            kind,
            counted: true,
            failures: 1.0,
            refused_until: None,
            known_until: None,
        })
    }

    fn decide(change: impl Fn(&mut ThrottleCount)) -> (bool, u128) {
        let mut counts = counts();
        counts.iter_mut().for_each(change);
        let throttled = rules().decide(&counts, NOW);
        (throttled.refused, throttled.delay.as_millis())
    }

    #[test]
    fn a_network_is_an_address_or_a_whole_64() {
        let network = |text: &str| Network::of(text.parse().unwrap()).to_string();
        assert_eq!(network("203.0.113.9"), "203.0.113.9");
        assert_eq!(network("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:0DB8:0001:0002::ffff"), "2001:db8:1:2::");
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
    }

    #[test]
    fn what_was_not_counted_for_account_or_network_is_refused_and_nothing_else() {
        use ThrottleKind::{Account, AccountNetwork, Network, Overall};
        assert_eq!(decide(|_| ()), (false, 0));
        for (kind, refused) in [(AccountNetwork, true), (Network, true), (Account, false), (Overall, false)] {
            assert_eq!(decide(|count| count.counted = count.kind != kind), (refused, 0), "{kind:?}");
        }
        assert!(rules().decide(&[], NOW).refused, "nothing counted is nothing allowed");
    }

    #[test]
    fn a_known_network_is_not_held_to_what_others_do_there_or_elsewhere() {
        let known = |until| {
            move |count: &mut ThrottleCount| match count.kind {
                ThrottleKind::AccountNetwork => count.known_until = Some(until),
                ThrottleKind::Network => count.counted = false,
                ThrottleKind::Account | ThrottleKind::Overall => count.failures = 1e9,
            }
        };
        assert_eq!(decide(known(NOW + Duration::from_secs(1))), (false, 0));
        assert_eq!(decide(known(NOW)), (true, 2_000));
        // But to what is done to the account there.
        let own = |count: &mut ThrottleCount| {
            count.known_until = Some(NOW + Duration::from_secs(1));
            count.counted = count.kind != ThrottleKind::AccountNetwork;
        };
        assert_eq!(decide(own), (true, 0));
    }

    #[test]
    fn delays_grow_evenly_from_nothing_to_the_longest() {
        for (kind, failures, delay) in [
            (ThrottleKind::Account, 20.0, 0),
            (ThrottleKind::Account, 30.0, 1_000),
            (ThrottleKind::Account, 40.0, 2_000),
            (ThrottleKind::Account, 4_000.0, 2_000),
            (ThrottleKind::Overall, 1_000.0, 0),
            (ThrottleKind::Overall, 1_500.0, 1_000),
            (ThrottleKind::Overall, f64::MAX, 2_000),
            (ThrottleKind::AccountNetwork, 1e9, 0),
            (ThrottleKind::Network, 1e9, 0),
        ] {
            let one = |count: &mut ThrottleCount| {
                if count.kind == kind {
                    count.failures = failures;
                }
            };
            assert_eq!(decide(one), (false, delay), "{kind:?} {failures}");
        }
    }

    #[test]
    fn names_in_storage_read_back() {
        for kind in ThrottleKind::ALL {
            assert_eq!(ThrottleKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(ThrottleKind::from_name("other"), None);
    }
}
