//! The bridge from josekit to AWS-LC for signing: josekit frames the token, AWS-LC signs it.
//!
//! AWS-LC draws its nonces from the same operating system generator as `crate::random`.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use josekit::{
    JoseError,
    jws::{self, JwsAlgorithm, JwsSigner},
};

use crate::domain::{audience::Algorithm, signing_key::KeyId};

use super::{error::CryptoError, jwk::PublicKey, low_s, rsa_public_der};

/// A private key that was parsed once; cloning it copies a pointer.
#[derive(Clone)]
pub(super) struct Signer {
    key: Arc<PrivateKey>,
    kid: KeyId,
}

enum PrivateKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    /// Parses a private key and computes its public half, which names it.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKeyRejected`] when the bytes are not a key of `algorithm`.
    pub(super) fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<(Self, PublicKey), CryptoError> {
        let key = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(PrivateKey::Es256)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).map(PrivateKey::EdDsa),
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(pkcs8).map(PrivateKey::Rs256),
        };
        let key = key.map_err(|_| CryptoError::PrivateKeyRejected(algorithm))?;
        let public = key.public().ok_or(CryptoError::PrivateKeyRejected(algorithm))?;
        Ok((Self { key: Arc::new(key), kid: public.thumbprint() }, public))
    }

    /// The key's id.
    pub(super) fn kid(&self) -> &KeyId {
        &self.kid
    }
}

impl PrivateKey {
    /// The public half, from the library's public export: never from the private encoding.
    fn public(&self) -> Option<PublicKey> {
        match self {
            Self::Es256(pair) => {
                // An uncompressed point (SEC 1 §2.3.3): 4, then both coordinates at full length.
                let coordinates: &[u8; 64] = pair.public_key().as_ref().strip_prefix(&[4])?.try_into().ok()?;
                let (x, y) = coordinates.split_first_chunk()?;
                Some(PublicKey::Es256 { x: *x, y: y.try_into().ok()? })
            }
            Self::EdDsa(pair) => Some(PublicKey::EdDsa { x: pair.public_key().as_ref().try_into().ok()? }),
            Self::Rs256(pair) => {
                let (modulus, exponent) = rsa_public_der::modulus_and_exponent(pair.public_key().as_ref())?;
                Some(PublicKey::Rs256 { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
            }
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Rs256(_) => Algorithm::Rs256,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        match self {
            Self::Es256(pair) => {
                // r and s at 32 bytes each (RFC 7518 §3.4), not DER. A digest is signed so that no generator is passed in.
                let mut signature = pair.sign_digest(&digest(&SHA256, message))?.as_ref().to_vec();
                let s = signature.last_chunk_mut::<32>().ok_or(aws_lc_rs::error::Unspecified)?;
                if !low_s::is_low(s) {
                    *s = low_s::negated(s);
                }
                Ok(signature)
            }
            Self::EdDsa(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, &digest(&SHA256, message), &mut signature)?;
                Ok(signature)
            }
        }
    }
}

impl JwsSigner for Signer {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        jose_algorithm(self.key.algorithm())
    }

    fn key_id(&self) -> Option<&str> {
        Some(self.kid.as_str())
    }

    fn signature_len(&self) -> usize {
        match &*self.key {
            PrivateKey::Es256(_) | PrivateKey::EdDsa(_) => 64,
            PrivateKey::Rs256(pair) => pair.public_modulus_len(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        self.key.sign(message).map_err(|error| JoseError::InvalidSignature(error.into()))
    }

    fn box_clone(&self) -> Box<dyn JwsSigner> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({} {})", self.key.algorithm(), self.kid)
    }
}

/// josekit's name for an algorithm of ours.
pub(super) fn jose_algorithm(algorithm: Algorithm) -> &'static dyn JwsAlgorithm {
    match algorithm {
        Algorithm::Es256 => &jws::ES256,
        Algorithm::EdDsa => &jws::EdDSA,
        Algorithm::Rs256 => &jws::RS256,
    }
}
