//! The bridge from josekit to AWS-LC for verifying: a public key that was parsed and checked once.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use josekit::{
    JoseError,
    jws::{JwsAlgorithm, JwsVerifier},
};
use serde_json::Value;

use crate::domain::{audience::Algorithm, signing_key::KeyId};

use super::{error::CryptoError, jwk::PublicKey, low_s, signer::jose_algorithm};

/// A published key that checks signatures of its one algorithm.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    kid: KeyId,
    algorithm: Algorithm,
    key: Arc<ParsedPublicKey>,
}

impl VerifyingKey {
    /// Reads a public JWK of ours.
    ///
    /// # Errors
    /// [`CryptoError::PublicJwkRejected`].
    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, CryptoError> {
        let public = PublicKey::from_jwk(jwk)?;
        let parsed = match &public {
            PublicKey::Es256 { x, y } => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [[4].as_slice(), x, y].concat())
            }
            PublicKey::EdDsa { x } => ParsedPublicKey::new(&ED25519, x),
            // NIST SP 800-131A: no RSA below 2048 bits. The library would notice only when it verifies.
            PublicKey::Rs256 { modulus, .. } if modulus.len() < 256 => {
                return Err(CryptoError::PublicJwkRejected("the modulus is too short"));
            }
            PublicKey::Rs256 { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
        };
        let key = parsed.map_err(|_| CryptoError::PublicJwkRejected("its numbers are not a public key"))?;
        Ok(Self { kid: public.thumbprint(), algorithm: public.algorithm(), key: Arc::new(key) })
    }

    /// The key's id.
    pub(super) fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The one algorithm of its signatures.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn is_second_spelling(&self, signature: &[u8]) -> bool {
        self.algorithm == Algorithm::Es256 && !signature.last_chunk().is_some_and(low_s::is_low)
    }
}

impl JwsVerifier for VerifyingKey {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        jose_algorithm(self.algorithm)
    }

    fn key_id(&self) -> Option<&str> {
        Some(self.kid.as_str())
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        let refused = || JoseError::InvalidSignature(aws_lc_rs::error::Unspecified.into());
        if self.is_second_spelling(signature) {
            return Err(refused());
        }
        self.key.verify_sig(message, signature).map_err(|_| refused())
    }

    fn box_clone(&self) -> Box<dyn JwsVerifier> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifyingKey({} {})", self.algorithm, self.kid)
    }
}
