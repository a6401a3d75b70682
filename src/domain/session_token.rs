//! The session token: the secret that a browser holds, and the digest that storage keeps of it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::random::{self, RandomFailed};

/// What every session token starts with, so that secret scanners and people recognise one.
pub const PREFIX: &str = "ems_";
/// Length of a session token in bytes: the prefix and 256 bits in unpadded base64url.
pub const LENGTH: usize = PREFIX.len() + 43;

/// The opaque secret in a session cookie: 256 random bits (OWASP ASVS 5.0 §7.2.3 asks for 128).
///
/// It is compared through its [`SessionTokenDigest`] only, and never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SessionToken([u8; 32]);

/// The presented text cannot be a session token; the text itself is not repeated, since it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session token")]
pub struct MalformedSessionToken;

impl SessionToken {
    /// Makes a new token from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomFailed`] when the generator cannot be read.
    pub fn generate() -> Result<Self, RandomFailed> {
        random::bytes().map(Self)
    }

    /// Reads the one canonical spelling of a token: the prefix, then 43 base64url characters with zero trailing bits.
    ///
    /// The length is checked first, so that long garbage costs nothing.
    ///
    /// # Errors
    /// [`MalformedSessionToken`] for anything else.
    pub fn parse(presented: &[u8]) -> Result<Self, MalformedSessionToken> {
        if presented.len() != LENGTH {
            return Err(MalformedSessionToken);
        }
        let encoded = presented.strip_prefix(PREFIX.as_bytes()).ok_or(MalformedSessionToken)?;
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(MalformedSessionToken),
        }
    }

    /// The token's text, exactly as the cookie carries it. Only for handing it to its owner.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The 32 secret bytes, for digesting.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionToken(…)")
    }
}

/// The only form of a session token that is stored: HMAC-SHA-256 under a key derived from the master key.
///
/// A reader of the database cannot turn it back into a token, and a writer cannot make one for a token of theirs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionTokenDigest([u8; 32]);

impl SessionTokenDigest {
    /// Wraps the output of the keyed hash.
    #[must_use]
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl AsRef<[u8]> for SessionTokenDigest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SessionTokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionTokenDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_reads_back_and_never_shows_itself() {
        let token = SessionToken::generate().unwrap();
        let text = token.expose();
        assert_eq!(text.len(), LENGTH);
        assert_eq!(SessionToken::parse(text.as_bytes()).unwrap().expose(), text);
        assert_eq!(format!("{token:?}"), "SessionToken(…)");
    }

    #[test]
    fn only_the_canonical_spelling_is_a_token() {
        let text = SessionToken::generate().unwrap().expose();
        let upper = text.to_uppercase();
        let padded = format!("{text}=");
        let short = &text[..LENGTH - 1];
        let other_prefix = text.replacen("ems_", "emc_", 1);
        let last = text.as_bytes()[LENGTH - 1];
        // 256 bits leave two unused bits in the last character; a spelling that sets them is another text for the same bytes.
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let position = alphabet.iter().position(|&character| character == last).unwrap();
        let stray = format!("{}{}", short, char::from(alphabet[position | 1]));
        for spelling in [upper.as_str(), &padded, short, &other_prefix, &stray, "", "ems_"] {
            assert_eq!(SessionToken::parse(spelling.as_bytes()).unwrap_err(), MalformedSessionToken, "{spelling}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_its_own_spelling(presented in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(token) = SessionToken::parse(&presented) {
                prop_assert_eq!(token.expose().into_bytes(), presented);
            }
        }

        #[test]
        fn one_changed_byte_is_never_the_same_token(position in 0..LENGTH, byte in any::<u8>()) {
            let text = SessionToken::generate().unwrap().expose();
            let mut changed = text.clone().into_bytes();
            prop_assume!(changed[position] != byte);
            changed[position] = byte;
            if let Ok(token) = SessionToken::parse(&changed) {
                prop_assert_ne!(token.expose(), text);
            }
        }
    }
}
