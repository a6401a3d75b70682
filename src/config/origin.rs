//! The addresses with rules: the origin that browsers see, the issuer that validators compare, and a receiver's URL.

use std::fmt;

use url::{Host, Url};

use super::value::{Parsed, Refusal};

/// Longest issuer in characters; it is part of every token.
const LONGEST_ISSUER: usize = 255;

/// The origin of the public listener as browsers see it (RFC 6454 §6.2): scheme, host and, where not the default, port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    serialised: String,
    url: Url,
}

impl Origin {
    /// Reads `https://host[:port]`, or `http` on a loopback host.
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let authority = authority(text)?;
        if authority.contains(['/', '?', '#']) {
            return Err(Refusal::with_hint("leave out path, query and trailing slash"));
        }
        let url = secure_url(text)?;
        Ok(Self { serialised: url.origin().ascii_serialization(), url })
    }

    /// The serialised form: lower-case host, no default port, no trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.serialised
    }

    /// The host, IPv6 addresses in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.serialised)
    }
}

/// The `iss` of access tokens: a URL without query, fragment or trailing slash (RFC 8414 §2), compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Reads an issuer in its one canonical spelling.
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        if authority(text)?.contains(['?', '#']) {
            return Err(Refusal::with_hint("leave out query and fragment"));
        }
        if text.ends_with('/') {
            return Err(Refusal::with_hint("leave out the trailing slash"));
        }
        if text.len() > LONGEST_ISSUER {
            return Err(Refusal::with_hint("it is part of every token: use at most 255 characters"));
        }
        let url = secure_url(text)?;
        let canonical = url.as_str().trim_end_matches('/');
        if canonical != text {
            return Err(Refusal::with_hint(format!("write it as {canonical}")));
        }
        Ok(Self(text.to_owned()))
    }

    /// The issuer's text, as tokens and metadata carry it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Origin> for Issuer {
    fn from(origin: &Origin) -> Self {
        Self(origin.serialised.clone())
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What follows the scheme, without the characters that a URL parser would quietly drop or reinterpret.
fn authority(text: &str) -> Parsed<&str> {
    let (_, rest) = text.split_once("://").ok_or_else(Refusal::default)?;
    let repaired = |character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '\\' | '@' | '%' | '*')
    };
    let sound = !rest.is_empty() && !rest.starts_with('/') && !rest.ends_with(':') && !text.contains(repaired);
    sound.then_some(rest).ok_or_else(Refusal::default)
}

/// A URL to post to: `https`, or `http` on a loopback host; path and query as they are.
pub(super) fn webhook_url(text: &str) -> Parsed<Url> {
    let unsound = |character: char| character.is_whitespace() || character.is_control() || character == '\\';
    if text.contains(unsound) {
        return Err(Refusal::default());
    }
    if text.contains('#') {
        return Err(Refusal::with_hint("leave out the fragment"));
    }
    let url = secure_url(text)?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(Refusal::with_hint("leave out user and password; the signature proves who sends"))
    }
}

fn secure_url(text: &str) -> Parsed<Url> {
    let url = Url::parse(text).map_err(|_| Refusal::default())?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if url.host().is_some_and(|host| is_loopback(&host)) => Ok(url),
        "http" => Err(Refusal::with_hint("use https: http is for loopback hosts only")),
        _ => Err(Refusal::default()),
    }
}

/// Hosts that never leave the machine (RFC 6761 §6.3 for `localhost`).
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_serialised_form() {
        for (text, serialised) in [
            ("https://id.example.com", "https://id.example.com"),
            ("HTTPS://ID.Example.COM:443", "https://id.example.com"),
            ("https://id.example.com:8443", "https://id.example.com:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.8.9.1", "http://127.8.9.1"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://shop.localhost", "http://shop.localhost"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), serialised);
        }
        assert_eq!(Origin::parse("http://[::1]:8080").unwrap().host(), "[::1]");
    }

    #[test]
    fn an_origin_is_nothing_but_an_origin() {
        for text in [
            "",
            "https://",
            "https:/host",
            "https:host",
            "host",
            "ftp://host",
            "https://host/",
            "https://host/path",
            "https://host?q",
            "https://host#f",
            "https://user@host",
            "https://user:pw@host",
            "https://ho st",
            " https://host",
            "https://host\n",
            "https://host\\path",
            "https://host:",
            "https://host:70000",
            "https://*.host",
            "https:///host",
            "https://h%6Fst",
            "http://host",
            "http://128.0.0.1",
            "http://[::2]",
            "http://localhost.example.com",
            "http://notlocalhost",
        ] {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_issuer_may_have_a_path_but_only_one_spelling() {
        for text in ["https://example.com", "https://example.com/tenant/a", "http://localhost:8080"] {
            assert_eq!(Issuer::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "https://example.com/",
            "https://example.com/a/",
            "https://example.com?a",
            "https://example.com#a",
            "http://example.com",
            "https://EXAMPLE.com",
            "https://example.com:443",
            "https://example.com/a/../b",
            "example.com",
        ] {
            assert!(Issuer::parse(text).is_err(), "{text:?}");
        }
        let hint = Issuer::parse("https://EXAMPLE.com:443/a").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("write it as https://example.com/a"));
    }
}
