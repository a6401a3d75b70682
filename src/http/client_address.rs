//! Whose request this is: the socket's peer, or what a trusted proxy says of it.

use std::net::IpAddr;

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

/// How many forwarded addresses are looked at; a longer chain is cut from its left.
const MAX_HOPS: usize = 32;

/// Whether `peer` is one of the proxies that are believed.
#[must_use]
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
}

/// The client's address: the peer's, or where that is a trusted proxy, what it says.
///
/// That is the right-most address of `X-Forwarded-For` that is no trusted proxy itself. An entry that is not a plain address
/// ends the search at the last one that was.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(MAX_HOPS) {
        let Ok(address) = hop.trim_matches([' ', '\t']).parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn address(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(line).unwrap());
        }
        let trusted = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn an_untrusted_peer_speaks_for_itself() {
        assert_eq!(address("203.0.113.9", &["127.0.0.1"]), "203.0.113.9");
    }

    #[test]
    fn a_trusted_peer_names_the_rightmost_untrusted_hop() {
        assert_eq!(address("127.0.0.1", &["6.6.6.6, 203.0.113.9, 10.1.1.1"]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &["6.6.6.6", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("::ffff:127.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &["2001:DB8::0:1"]), "2001:db8::1");
    }

    #[test]
    fn garbage_ends_the_search_and_never_counts() {
        assert_eq!(address("127.0.0.1", &["203.0.113.9, garbage"]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &["garbage, 10.0.0.1"]), "10.0.0.1");
        assert_eq!(address("127.0.0.1", &["010.0.0.1"]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
    }
}
