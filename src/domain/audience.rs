//! Who an access token is for, and what that audience's tokens may say.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Longest audience name in bytes; it is a path segment and a metric label.
pub const MAX_LENGTH: usize = 64;

/// The name of one audience: the `aud` of its tokens (RFC 7519 §4.1.3) and the last segment of its exchange path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AudienceName(String);

/// The text is not an audience name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an audience name is 1 to 64 characters of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit")]
pub struct MalformedAudienceName;

impl AudienceName {
    /// Checks the rules of a name.
    ///
    /// # Errors
    /// [`MalformedAudienceName`].
    pub fn parse(text: impl Into<String>) -> Result<Self, MalformedAudienceName> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if starts_well && text.len() <= MAX_LENGTH && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(MalformedAudienceName)
        }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AudienceName {
    type Error = MalformedAudienceName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<AudienceName> for String {
    fn from(name: AudienceName) -> Self {
        name.0
    }
}

impl fmt::Display for AudienceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The signature algorithms that access tokens may use. One issuer publishes keys of one algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4): accepted almost everywhere.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 under its original name (RFC 8037 §3.1): the fastest to sign, refused by some validators.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3): for validators that know nothing else; under an issuer of its own.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The name in a token's `alg` header (RFC 7515 §4.1.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name, by exact spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa, Self::Rs256].into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The `typ` header of an audience's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TokenType {
    /// `JWT`: accepted by every validator.
    #[default]
    #[serde(rename = "JWT")]
    Jwt,
    /// `at+jwt` (RFC 9068 §2.1): for validators that insist on it.
    #[serde(rename = "at+jwt")]
    AccessToken,
}

impl TokenType {
    /// The header's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::AccessToken => "at+jwt",
        }
    }
}

/// How fresh the session must be when a token for an audience is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// A cached session serves within the staleness bound.
    #[default]
    Bounded,
    /// The session's row is checked for each exchange.
    Strict,
}

/// What becomes of unsafe requests that a browser sends from another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrossSiteWrites {
    /// They get no token.
    #[default]
    Deny,
    /// They are exchanged like any other; the service behind must defend itself.
    Allow,
}

/// What the operator decided for one audience.
#[derive(Debug, Clone, PartialEq)]
pub struct AudiencePolicy {
    /// Its name.
    pub name: AudienceName,
    /// How long its tokens live.
    pub lifetime: Duration,
    /// Which custom claims of a session its tokens carry.
    pub claims: Vec<String>,
    /// The `scope` of its tokens (RFC 8693 §4.2); absent where empty.
    pub scopes: Vec<String>,
    /// The `typ` of its tokens.
    pub token_type: TokenType,
    /// What its tokens are signed with.
    pub algorithm: Algorithm,
    /// Whether it may be exchanged for at all.
    pub enabled: bool,
    /// The longest time since the subject authenticated; older sessions need a step-up (RFC 9470 §3).
    pub max_auth_age: Option<Duration>,
    /// Authentication methods that the session must have shown, all of them.
    pub required_amr: Vec<String>,
    /// How fresh the session must be.
    pub consistency: Consistency,
    /// Which clients may ask for it at the token endpoint, by id; absent: any with the scope for it.
    pub allowed_clients: Option<Vec<String>>,
    /// What becomes of unsafe requests from other sites.
    pub cross_site_writes: CrossSiteWrites,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_safe_in_a_path_and_a_label_are_audiences() {
        for name in ["orders", "a", "9", "billing-v2", "a.b_c"] {
            assert_eq!(AudienceName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn anything_else_is_not() {
        for name in ["", "Orders", "a/b", "..", "-a", "a b", "a%2f", "é", "*", &"a".repeat(65)] {
            assert_eq!(AudienceName::parse(name), Err(MalformedAudienceName), "{name}");
        }
    }

    #[test]
    fn an_algorithm_has_one_name() {
        assert_eq!(Algorithm::from_name("ES256"), Some(Algorithm::Es256));
        for name in ["es256", "none", "HS256", "Ed25519", ""] {
            assert_eq!(Algorithm::from_name(name), None);
        }
    }
}
