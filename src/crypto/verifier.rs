//! The one place where a presented access token is read. Nothing else in the program decodes one.
//!
//! Strict on purpose: only tokens of our own are read here, so anything that we would not have written is refused.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use josekit::jws;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::domain::{
    access_token::AccessTokenClaims,
    audience::{AudienceName, TokenType},
    signing_key::KeyId,
    strict_json::{self, NotStrictJson},
};

use super::{claims, error::CryptoError, header, token_refused::TokenRefused, verifying_key::VerifyingKey};

/// Longest token that is looked at, in bytes. Ours fit into a response head of 3.5 KiB.
pub const MAX_LENGTH: usize = 8 * 1024;

/// What the caller expects of a token.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The exact issuer.
    pub issuer: &'a str,
    /// The exact audience; without one, any audience of ours will do.
    pub audience: Option<&'a AudienceName>,
    /// The present.
    pub now: OffsetDateTime,
    /// The tolerated clock difference (RFC 7519 §4.1.4).
    pub leeway: Duration,
}

/// A token that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims {
    /// The key that signed it.
    pub kid: KeyId,
    /// Its `typ`. A caller that insists on one kind compares it.
    pub token_type: TokenType,
    /// What it says, custom claims included.
    pub claims: AccessTokenClaims,
}

/// Verifies access tokens against a set of our own published keys.
#[derive(Debug, Clone)]
pub struct TokenVerifier {
    keys: Vec<VerifyingKey>,
}

impl TokenVerifier {
    /// Reads public JWKs as [`SigningKey::public_jwk`](super::signing_key::SigningKey::public_jwk) wrote them.
    ///
    /// # Errors
    /// [`CryptoError::PublicJwkRejected`] for any other, one with a private member included.
    pub fn new<'a>(public_jwks: impl IntoIterator<Item = &'a Value>) -> Result<Self, CryptoError> {
        let keys = public_jwks.into_iter().map(VerifyingKey::from_jwk).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Checks a presented token: form, header, key, signature and claims, in this order.
    ///
    /// # Errors
    /// [`TokenRefused`] names the first broken rule.
    pub fn verify(&self, token: &str, expected: Expected<'_>) -> Result<VerifiedClaims, TokenRefused> {
        if token.len() > MAX_LENGTH {
            return Err(TokenRefused::TooLong);
        }
        let [presented_header, ..] = segments(token)?;
        let header = header::check(&json_object(&presented_header)?)?;
        let key =
            self.keys.iter().find(|key| key.kid().as_str() == header.presented_kid).ok_or(TokenRefused::KeyUnknown)?;
        if key.algorithm() != header.algorithm {
            return Err(TokenRefused::AlgorithmNotOfKey);
        }
        let (payload, _) = jws::deserialize_compact(token, key).map_err(|_| TokenRefused::WrongSignature)?;
        let claims = claims::check(json_object(&payload)?, &expected)?;
        Ok(VerifiedClaims { kid: key.kid().clone(), token_type: header.token_type, claims })
    }
}

fn json_object(text: &[u8]) -> Result<Map<String, Value>, TokenRefused> {
    strict_json::object(text).map_err(|error| match error {
        NotStrictJson::DuplicateName => TokenRefused::DuplicateMember,
        NotStrictJson::Malformed { .. } | NotStrictJson::NotAnObject | NotStrictJson::Nul => {
            TokenRefused::NotJsonObject
        }
    })
}

/// The decoded segments. The decoder refuses padding, white space, other alphabets and stray trailing bits, so that a token
/// has one spelling.
fn segments(token: &str) -> Result<[Vec<u8>; 3], TokenRefused> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenRefused::NotThreeSegments);
    };
    let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefused::NotBase64Url);
    Ok([decode(header)?, decode(payload)?, decode(signature)?])
}
