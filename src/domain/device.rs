//! What a request tells of the device it comes from: the family of its user agent, and its address as precisely as it may be kept.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How much of a `User-Agent` header is looked at, in bytes.
const MAX_USER_AGENT: usize = 512;
/// Longest name that an unknown user agent gives itself, in bytes.
const MAX_PRODUCT: usize = 32;
/// What an unknown user agent without a usable name is called.
const OTHER: &str = "other";
/// Bits of an IPv4 network: what one access network usually shares.
const IPV4_BITS: u8 = 24;
/// Bits of an IPv6 network: what one site is usually given (RFC 6177 §2).
const IPV6_BITS: u8 = 48;

/// How precisely addresses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPrecision {
    /// The whole address.
    Full,
    /// Its /24 or /48 network.
    Network,
    /// Not at all.
    None,
}

impl AddressPrecision {
    /// The part of an address that may be kept.
    #[must_use]
    pub fn keep(self, address: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Full => Some(address.to_canonical()),
            Self::Network => Some(network_of(address).addr()),
            Self::None => None,
        }
    }
}

/// What a request tells of the device it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The family of the user agent, such as `Firefox`; absent where the request names none.
    pub user_agent: Option<String>,
    /// A description for people, such as `Firefox on Linux`.
    pub device: Option<String>,
    /// The address, as precise as the setting allows.
    pub ip: Option<IpAddr>,
    /// Its network, /24 or /48; absent where addresses are not kept.
    pub network: Option<IpNet>,
}

impl Seen {
    /// Reads a `User-Agent` header, of which only a beginning counts, and an address.
    #[must_use]
    pub fn of(user_agent_header: Option<&str>, address: Option<IpAddr>, precision: AddressPrecision) -> Self {
        let agent = user_agent_header.map(beginning).filter(|agent| !agent.trim().is_empty()).map(Agent::read);
        let network = address.filter(|_| precision != AddressPrecision::None).map(network_of);
        Self {
            device: agent.as_ref().map(Agent::description),
            user_agent: agent.map(|agent| agent.family),
            ip: address.and_then(|address| precision.keep(address)),
            network,
        }
    }
}

/// The /24 or /48 network of an address.
#[must_use]
pub fn network_of(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, IPV4_BITS).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, IPV6_BITS).trunc().into(),
    }
}

/// A user agent by its family and its operating system, both without versions: those change under a session.
struct Agent {
    family: String,
    system: Option<&'static str>,
}

impl Agent {
    fn read(header: &str) -> Self {
        let known = woothee::parser::Parser::new().parse(header);
        let name = known.as_ref().map(|known| known.name).filter(|name| !matches!(*name, "UNKNOWN" | "HTTP Library"));
        Self {
            family: name.map_or_else(|| product(header), str::to_owned),
            system: known.and_then(|known| system(known.os)),
        }
    }

    fn description(&self) -> String {
        self.system.map_or_else(|| self.family.clone(), |system| format!("{} on {system}", self.family))
    }
}

/// The first product of a header (RFC 9110 §10.1.5) without its version, for apps that no list knows.
fn product(header: &str) -> String {
    let name = |character: &char| character.is_ascii_alphanumeric() || ['-', '_', '.'].contains(character);
    let product: String = header.trim_start().chars().take_while(name).take(MAX_PRODUCT).collect();
    if product.is_empty() { OTHER.to_owned() } else { product }
}

/// The operating system as people call it; versions are left out, because browsers no longer tell them truly.
fn system(name: &str) -> Option<&'static str> {
    const SYSTEMS: [(&str, &str); 9] = [
        ("Windows Phone", "Windows Phone"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("iOS", "iOS"),
        ("ChromeOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    SYSTEMS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, system)| *system)
}

fn beginning(header: &str) -> &str {
    let mut end = header.len().min(MAX_USER_AGENT);
    while !header.is_char_boundary(end) {
        end -= 1;
    }
    &header[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(header: &str) -> (String, String) {
        let seen = Seen::of(Some(header), None, AddressPrecision::Full);
        (seen.user_agent.unwrap(), seen.device.unwrap())
    }

    #[test]
    fn browsers_are_named_by_family_and_system_without_versions() {
        let cases = [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox", "Firefox on Linux"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                "Chrome",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
                "Edge",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
                "Safari",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                "Safari",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
                "Chrome",
                "Chrome on Android",
            ),
            ("OrdersApp/4.2 (build 17)", "OrdersApp", "OrdersApp"),
            ("curl/8.14.1", "curl", "curl"),
            ("(nothing)", OTHER, OTHER),
            ("\u{fc}\u{fc}", OTHER, OTHER),
        ];
        for (header, family, device) in cases {
            assert_eq!(seen(header), (family.to_owned(), device.to_owned()), "{header}");
        }
    }

    #[test]
    fn a_request_without_a_name_says_nothing() {
        for header in [None, Some(""), Some("  ")] {
            assert_eq!(Seen::of(header, None, AddressPrecision::Full), Seen::default());
        }
    }

    #[test]
    fn addresses_are_kept_as_precisely_as_allowed() {
        let kept = |address: &str, precision| {
            let seen = Seen::of(None, Some(address.parse().unwrap()), precision);
            (seen.ip.map(|ip| ip.to_string()), seen.network.map(|network| network.to_string()))
        };
        let some = |ip: &str, network: &str| (Some(ip.to_owned()), Some(network.to_owned()));
        assert_eq!(kept("203.0.113.9", AddressPrecision::Full), some("203.0.113.9", "203.0.113.0/24"));
        assert_eq!(kept("203.0.113.9", AddressPrecision::Network), some("203.0.113.0", "203.0.113.0/24"));
        assert_eq!(kept("203.0.113.9", AddressPrecision::None), (None, None));
        assert_eq!(kept("::ffff:203.0.113.9", AddressPrecision::Full), some("203.0.113.9", "203.0.113.0/24"));
        assert_eq!(kept("2001:db8:1:2::3", AddressPrecision::Full), some("2001:db8:1:2::3", "2001:db8:1::/48"));
        assert_eq!(kept("2001:db8:1:2::3", AddressPrecision::Network), some("2001:db8:1::", "2001:db8:1::/48"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_names_stay_short_and_printable(header in ".{0,2000}") {
            let seen = Seen::of(Some(&header), None, AddressPrecision::Full);
            for name in [seen.user_agent, seen.device].into_iter().flatten() {
                prop_assert!((1..=64).contains(&name.len()) && !name.chars().any(char::is_control), "{name}");
            }
        }
    }
}
