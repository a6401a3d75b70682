//! What an access token says: the exact claim set, before anything is signed.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::{
    audience::{Algorithm, AudienceName, AudiencePolicy},
    session::{Claims, Session, SessionId},
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccessTokenClaims {
    /// The issuer.
    pub iss: String,
    /// The subject.
    pub sub: Subject,
    /// The one audience, as a string.
    pub aud: AudienceName,
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
    /// Scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The client that asked, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Custom claims that the audience allows.
    #[serde(flatten)]
    pub custom: Claims,
}

impl AccessTokenClaims {
    /// The claims of a token for `session` at `audience`, minted at `now`.
    ///
    /// Returns nothing when less than one whole second of the session is left: there is no token worth signing.
    #[must_use]
    pub fn for_session(
        session: &Session,
        audience: &AudiencePolicy,
        issuer: &str,
        jti: String,
        now: OffsetDateTime,
        backdate: Duration,
    ) -> Option<Self> {
        let now_seconds = now.unix_timestamp();
        let lifetime = i64::try_from(audience.lifetime.as_secs()).unwrap_or(i64::MAX);
        let exp = now_seconds.saturating_add(lifetime).min(session.expires_at.unix_timestamp());
        if exp <= now_seconds {
            return None;
        }
        let backdated = now_seconds - i64::try_from(backdate.as_secs()).unwrap_or(0);
        let custom = audience.claims.iter().filter_map(|name| session.claims.get_key_value(name));
        Some(Self {
            iss: issuer.to_owned(),
            sub: session.subject.clone(),
            aud: audience.name.clone(),
            iat: backdated,
            exp,
            jti,
            sid: session.id,
            auth_time: session.auth_time.unix_timestamp(),
            amr: session.amr.clone(),
            acr: session.acr.clone(),
            scope: (!audience.scopes.is_empty()).then(|| audience.scopes.join(" ")),
            client_id: None,
            custom: custom.map(|(name, value)| (name.clone(), value.clone())).collect(),
        })
    }
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
    (HEADER * 4).div_ceil(3) + (payload * 4).div_ceil(3) + signature(audience.algorithm) + 2
}

impl AccessTokenClaims {
    /// Leaves out custom claims, the longest first, until the token fits; returns the names of those left out.
    pub fn shorten(&mut self, audience: &AudiencePolicy) -> Vec<String> {
        let mut left_out = Vec::new();
        // Without custom claims it fits: policies for which it might not are refused at the start.
        while let Some(longest) = self.custom.iter().max_by_key(|(_, value)| value.to_string().len()) {
            let longest = longest.0.clone();
            let payload = serde_json::to_string(self).map_or(usize::MAX / 8, |payload| payload.len());
            let length = (HEADER * 4).div_ceil(3) + (payload * 4).div_ceil(3) + signature(audience.algorithm) + 2;
            if length <= MAX_TOKEN_LENGTH {
                break;
            }
            self.custom.remove(&longest);
            left_out.push(longest);
        }
        left_out
    }
}
