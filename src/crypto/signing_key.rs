//! A signing key in memory: parsed once, shared by all threads, and the only maker of access tokens.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use josekit::jws::{self, JwsHeader, JwsSigner as _};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::domain::{
    access_token::{AccessTokenClaims, RESERVED_CLAIMS},
    audience::{Algorithm, TokenType},
    signing_key::KeyId,
};

use super::{
    error::CryptoError,
    jwk::PublicKey,
    signer::Signer,
    token_frame::{AccessToken, TokenFrame},
};

/// A private key that is ready to sign, with its public half.
#[derive(Debug)]
pub struct SigningKey {
    signer: Signer,
    public: PublicKey,
    /// The finished header for each token type.
    jwt: Arc<TokenFrame>,
    access_token: Arc<TokenFrame>,
}

/// A new key, and the private bytes to seal.
pub struct GeneratedKey {
    /// The key.
    pub key: SigningKey,
    /// Its private half in PKCS#8 form; erased when it goes.
    pub pkcs8: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GeneratedKey").field("key", &self.key).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a new key; RSA keys have 2048 bits and take a noticeable part of a second.
    ///
    /// # Errors
    /// [`CryptoError::Generation`].
    pub fn generate(algorithm: Algorithm) -> Result<GeneratedKey, CryptoError> {
        let pkcs8 = generate_pkcs8(algorithm).map_err(|_| CryptoError::Generation(algorithm))?;
        // Read back from the form that will be stored, so that a key that cannot be loaded again never signs.
        Ok(GeneratedKey { key: Self::from_pkcs8(algorithm, &pkcs8)?, pkcs8 })
    }

    /// Reads a private key in PKCS#8 form.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKeyRejected`] when the bytes are not a key of `algorithm`.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, CryptoError> {
        let (signer, public) = Signer::from_pkcs8(algorithm, pkcs8)?;
        let [jwt, access_token] = [TokenType::Jwt, TokenType::AccessToken]
            .map(|token_type| Arc::new(frame(algorithm, signer.kid(), token_type, "")));
        Ok(Self { signer, public, jwt, access_token })
    }

    /// The key's id.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        self.signer.kid()
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The public half as a JWK with `use`, `alg` and `kid` (RFC 7517 §4).
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public.to_jwk()
    }

    /// Signs an access token. Its header is exactly `alg`, `kid` and `typ`; its claims are in the order of the struct.
    ///
    /// # Errors
    /// [`CryptoError::ReservedClaim`] when a custom claim would repeat one that Ephemint decides, [`CryptoError::Claims`] or
    /// [`CryptoError::Signing`].
    pub fn sign(&self, claims: &AccessTokenClaims, token_type: TokenType) -> Result<AccessToken, CryptoError> {
        if let Some(name) = claims.custom.keys().find(|name| RESERVED_CLAIMS.contains(&name.as_str())) {
            return Err(CryptoError::ReservedClaim(name.clone()));
        }
        // Straight from the struct: josekit's own payload type writes times as fractions, which some validators refuse.
        let payload = serde_json::to_string(claims).map_err(CryptoError::Claims)?;
        let frame = match token_type {
            TokenType::Jwt => &self.jwt,
            TokenType::AccessToken => &self.access_token,
        };
        self.sign_rest(frame, &payload)
    }

    /// Encodes what all tokens of one type have in common whose payload begins with `opening`.
    #[must_use]
    pub fn frame(&self, token_type: TokenType, opening: &str) -> TokenFrame {
        frame(self.algorithm(), self.kid(), token_type, opening)
    }

    /// Signs a token of which `rest` follows what [`TokenFrame::carried`] gives, and begins with that.
    ///
    /// # Errors
    /// [`CryptoError::FrameOfAnotherKey`] or [`CryptoError::Signing`].
    pub fn sign_rest(&self, frame: &Arc<TokenFrame>, rest: &str) -> Result<AccessToken, CryptoError> {
        if frame.kid() != self.kid() {
            return Err(CryptoError::FrameOfAnotherKey);
        }
        let head = frame.head();
        let encoded = |bytes: usize| (bytes * 4).div_ceil(3);
        let length = head.len() + encoded(rest.len()) + 1 + encoded(self.signer.signature_len());
        let mut token = String::with_capacity(length);
        token.push_str(head);
        URL_SAFE_NO_PAD.encode_string(rest, &mut token);
        let signature = self.signer.sign(token.as_bytes()).map_err(CryptoError::Signing)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(AccessToken::new(Arc::clone(frame), token[head.len()..].into()))
    }

    /// What josekit signs with.
    #[cfg(test)]
    pub(super) fn jose_signer(&self) -> &dyn josekit::jws::JwsSigner {
        &self.signer
    }

    /// Signs a statement of ours that is no access token: any claims, under a `typ` of its own that says what it is (RFC 8725 §3.11).
    /// Returns it in compact form.
    ///
    /// # Errors
    /// [`CryptoError::Signing`].
    pub fn sign_statement(&self, payload: &[u8], typ: &'static str) -> Result<String, CryptoError> {
        let mut header = JwsHeader::new();
        header.set_key_id(self.kid().as_str());
        header.set_token_type(typ);
        jws::serialize_compact(payload, &header, &self.signer).map_err(CryptoError::Signing)
    }

    /// Signs whatever a test wants to say.
    #[cfg(test)]
    pub(super) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        self.signer.sign(message).unwrap()
    }
}

/// The frame of a key's tokens; josekit writes the header.
fn frame(algorithm: Algorithm, kid: &KeyId, token_type: TokenType, opening: &str) -> TokenFrame {
    let mut header = JwsHeader::new();
    header.set_algorithm(algorithm.as_str());
    header.set_key_id(kid.as_str());
    header.set_token_type(token_type.as_str());
    TokenFrame::new(kid.clone(), header.to_string().as_bytes(), opening)
}

fn generate_pkcs8(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
    let pkcs8 = match algorithm {
        Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?.to_pkcs8v1()?.as_ref().to_vec(),
        Algorithm::EdDsa => Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref().to_vec(),
        Algorithm::Rs256 => {
            AsDer::<Pkcs8V1Der<'_>>::as_der(&RsaKeyPair::generate(KeySize::Rsa2048)?)?.as_ref().to_vec()
        }
    };
    Ok(Zeroizing::new(pkcs8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared_between_threads<T: Send + Sync>(_: &T) {}

    #[test]
    fn a_stored_key_is_the_same_key_again() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let generated = SigningKey::generate(algorithm).unwrap();
            shared_between_threads(&generated.key);
            let again = SigningKey::from_pkcs8(algorithm, &generated.pkcs8).unwrap();
            assert_eq!(again.public_jwk(), generated.key.public_jwk());
            assert_eq!((again.kid(), again.algorithm()), (generated.key.kid(), algorithm));
        }
    }

    #[test]
    fn a_key_of_another_algorithm_is_refused() {
        let pkcs8 = SigningKey::generate(Algorithm::EdDsa).unwrap().pkcs8;
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let error = SigningKey::from_pkcs8(algorithm, &pkcs8).unwrap_err();
            assert!(matches!(error, CryptoError::PrivateKeyRejected(refused) if refused == algorithm));
        }
        assert!(SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8[..pkcs8.len() - 1]).is_err());
    }

    #[test]
    fn debug_output_has_no_private_bytes() {
        let generated = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let printed = format!("{generated:?}");
        let seed = &generated.pkcs8[generated.pkcs8.len() - 32..];
        assert!(!printed.contains(&format!("{seed:?}")) && !printed.contains("pkcs8"));
    }
}
