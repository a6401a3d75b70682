//! What an access token says: the exact claim set, before anything is signed.

use std::time::Duration;

use serde::Serialize;

use super::{
    audience::{Algorithm, AudienceName, AudiencePolicy},
    session::{Claims, SessionId},
    subject::Subject,
};

/// Names that a custom claim may not take: the registered and profiled claims that Ephemint alone decides.
pub const RESERVED_CLAIMS: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "auth_time",
    "amr",
    "acr",
    "scope",
    "client_id",
    "cnf",
    "act",
    "may_act",
];

/// The claims of one access token (RFC 7519 §4.1, RFC 9068 §2.2). Times are whole seconds since the epoch, as integers.
///
/// What is the same for all tokens of an audience comes first, so that it is encoded once ([`super::claims_text`]).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccessTokenClaims {
    /// The issuer.
    pub iss: String,
    /// The one audience, as a string.
    pub aud: AudienceName,
    /// Scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The subject.
    pub sub: Subject,
    /// Issued at, back-dated so that a validator with no leeway and a slow clock accepts it.
    pub iat: i64,
    /// Expires at; never later than the session's absolute end.
    pub exp: i64,
    /// The token's own id: unique per signature, not a replay guard, since a token may be handed out more than once.
    pub jti: String,
    /// The session's public handle.
    pub sid: SessionId,
    /// When the subject authenticated.
    pub auth_time: i64,
    /// How the subject authenticated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Which assurance level that reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The client that asked, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Custom claims that the audience allows.
    #[serde(flatten)]
    pub custom: Claims,
}

/// When a token begins and ends, in whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Issued at, back-dated.
    pub iat: i64,
    /// Expires at.
    pub exp: i64,
}

impl Times {
    /// The times of a token that is minted at `now` for a session that ends at `session_end`, both in microseconds since 1970.
    ///
    /// Returns nothing when less than one whole second of the session is left: there is no token worth signing.
    #[must_use]
    pub fn new(now: i64, session_end: i64, lifetime: Duration, backdate: Duration) -> Option<Self> {
        let now = whole_seconds(now);
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let exp = now.saturating_add(lifetime).min(whole_seconds(session_end));
        let iat = now - i64::try_from(backdate.as_secs()).unwrap_or(0);
        (exp > now).then_some(Self { iat, exp })
    }
}

/// The whole seconds of an instant in microseconds since 1970.
#[must_use]
pub fn whole_seconds(microseconds: i64) -> i64 {
    microseconds.div_euclid(1_000_000)
}

/// Longest access token in bytes: with the other headers of an answer it stays under the 4 KiB that gateways buffer.
pub const MAX_TOKEN_LENGTH: usize = 3_300;

/// Most bytes of a token's header before encoding: its algorithm, key id and type.
const HEADER: usize = 96;

/// Bytes of an encoded signature.
fn signature(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Es256 | Algorithm::EdDsa => 86,
        Algorithm::Rs256 => 342,
    }
}

/// The longest token that a policy allows before any custom claim, in bytes.
///
/// Every part of a session that a token repeats is bounded where it comes in; JSON escapes at most double a text.
#[must_use]
pub fn longest_token(audience: &AudiencePolicy, issuer: &str) -> usize {
    const NAMES_AND_NUMBERS: usize = 240;
    const SUBJECT: usize = 2 * 255;
    const METHODS: usize = 10 * (2 * 32 + 3);
    const ACR: usize = 2 * 64;
    let scopes: usize = audience.scopes.iter().map(|scope| scope.len() + 1).sum();
    let payload = NAMES_AND_NUMBERS + SUBJECT + METHODS + ACR + scopes + issuer.len() + audience.name.as_str().len();
    encoded_length(payload, audience.algorithm)
}

/// The length of a token whose payload has so many bytes, a little rounded up.
#[must_use]
pub fn encoded_length(payload: usize, algorithm: Algorithm) -> usize {
    (HEADER * 4).div_ceil(3) + (payload * 4).div_ceil(3) + signature(algorithm) + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_with_its_session_at_the_latest_and_is_not_worth_signing_in_the_last_second() {
        let (minute, second) = (Duration::from_mins(1), 1_000_000);
        let times = |end| Times::new(100 * second + 999_999, end, minute, Duration::from_secs(5));
        assert_eq!(times(1_000 * second), Some(Times { iat: 95, exp: 160 }));
        assert_eq!(times(130 * second + 999_999), Some(Times { iat: 95, exp: 130 }));
        assert_eq!(times(101 * second), Some(Times { iat: 95, exp: 101 }));
        assert_eq!(times(101 * second - 1), None);
    }
}
