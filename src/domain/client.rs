//! Service credentials: who may call the admin API, and for what.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::random::{self, RandomFailed};

const SECRET_PREFIX: &str = "emc_";

/// What a client may do. Nothing is implied by anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Start sessions for subjects that the caller has authenticated.
    SessionsCreate,
    /// List and read sessions.
    SessionsRead,
    /// Revoke sessions.
    SessionsRevoke,
    /// List signing keys.
    KeysRead,
    /// Rotate signing keys.
    KeysRotate,
    /// Read audit events.
    AuditRead,
    /// Use the OAuth token endpoint.
    TokenExchange,
    /// Use the OAuth introspection endpoint.
    TokenIntrospect,
}

impl Scope {
    /// Every scope, in the order in which help texts list them.
    pub const ALL: [Self; 8] = [
        Self::SessionsCreate,
        Self::SessionsRead,
        Self::SessionsRevoke,
        Self::KeysRead,
        Self::KeysRotate,
        Self::AuditRead,
        Self::TokenExchange,
        Self::TokenIntrospect,
    ];

    /// The scope's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionsCreate => "sessions:create",
            Self::SessionsRead => "sessions:read",
            Self::SessionsRevoke => "sessions:revoke",
            Self::KeysRead => "keys:read",
            Self::KeysRotate => "keys:rotate",
            Self::AuditRead => "audit:read",
            Self::TokenExchange => "token:exchange",
            Self::TokenIntrospect => "token:introspect",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown scope; known are sessions:create, sessions:read, sessions:revoke, keys:read, keys:rotate, audit:read, \
     token:exchange and token:introspect"
)]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// The secret of a client: 256 random bits with a prefix, shown once and stored as a keyed digest.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientSecret([u8; 32]);

impl ClientSecret {
    /// Makes a new secret.
    ///
    /// # Errors
    /// [`RandomFailed`] when the generator cannot be read.
    pub fn generate() -> Result<Self, RandomFailed> {
        random::bytes().map(Self)
    }

    /// Reads the one canonical spelling of a secret; nothing for anything else.
    #[must_use]
    pub fn parse(presented: &[u8]) -> Option<Self> {
        let encoded = presented.strip_prefix(SECRET_PREFIX.as_bytes()).filter(|encoded| encoded.len() == 43)?;
        let mut bytes = [0; 32];
        (URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()? == 32).then_some(Self(bytes))
    }

    /// The secret's text, for the one time it is shown.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The 32 secret bytes, for digesting.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSecret(…)")
    }
}

/// The only form of a client secret that is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientSecretDigest([u8; 32]);

impl ClientSecretDigest {
    /// Wraps the output of the keyed hash.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl AsRef<[u8]> for ClientSecretDigest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClientSecretDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSecretDigest(…)")
    }
}

/// A service that may call the admin API.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Client {
    /// Its public id, `client_id` in OAuth.
    pub client_id: String,
    /// Its name, unique, for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was added.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its secret was last replaced.
    #[serde(with = "time::serde::rfc3339")]
    pub rotated_at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_never_shows_itself() {
        let secret = ClientSecret::generate().unwrap();
        let text = secret.expose();
        assert_eq!(ClientSecret::parse(text.as_bytes()).unwrap().expose(), text);
        assert_eq!(format!("{secret:?}"), "ClientSecret(…)");
        for spelling in ["", "emc_", &text[1..], &format!("{text}A"), &text.replacen("emc_", "ems_", 1)] {
            assert!(ClientSecret::parse(spelling.as_bytes()).is_none());
        }
    }

    #[test]
    fn a_scope_reads_back() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert_eq!("sessions".parse::<Scope>(), Err(UnknownScope));
    }
}
