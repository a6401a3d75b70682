//! Public keys as JWKs (RFC 7517) with exactly the members that validators need, and their thumbprints (RFC 7638).
//!
//! This type has no place for a private member, so none can be published.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::domain::{audience::Algorithm, signing_key::KeyId};

use super::error::CryptoError;

/// The public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// A point on P-256. Both coordinates always have 32 bytes, padded on the left (RFC 7518 §6.2.1.2).
    Es256 { x: [u8; 32], y: [u8; 32] },
    /// An Ed25519 public key (RFC 8037 §2).
    EdDsa { x: [u8; 32] },
    /// An RSA modulus and exponent, big-endian without leading zeros (RFC 7518 §6.3.1).
    Rs256 { modulus: Vec<u8>, exponent: Vec<u8> },
}

impl PublicKey {
    /// What signatures of this key use; each kind of key has one algorithm here.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256 { .. } => Algorithm::Es256,
            Self::EdDsa { .. } => Algorithm::EdDsa,
            Self::Rs256 { .. } => Algorithm::Rs256,
        }
    }

    /// The SHA-256 thumbprint: the required members alone, in lexicographic order, without white space (RFC 7638 §3).
    pub(super) fn thumbprint(&self) -> KeyId {
        // Written out, because the order of a JSON map's members is not ours to rely on. No value needs escaping.
        let canonical = match self {
            Self::Es256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
            }
            Self::EdDsa { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
            Self::Rs256 { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(exponent), encode(modulus))
            }
        };
        KeyId::new(encode(digest(&SHA256, canonical.as_bytes())))
    }

    /// The JWK to publish, with `use`, `alg` and the thumbprint as `kid`.
    pub(super) fn to_jwk(&self) -> Value {
        let (kid, alg) = (self.thumbprint(), self.algorithm());
        let (kid, alg) = (kid.as_str(), alg.as_str());
        match self {
            Self::Es256 { x, y } => json!({
                "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "use": "sig", "alg": alg, "kid": kid
            }),
            Self::EdDsa { x } => json!({
                "kty": "OKP", "crv": "Ed25519", "x": encode(x), "use": "sig", "alg": alg, "kid": kid
            }),
            Self::Rs256 { modulus, exponent } => json!({
                "kty": "RSA", "n": encode(modulus), "e": encode(exponent), "use": "sig", "alg": alg, "kid": kid
            }),
        }
    }

    /// Reads a JWK that [`Self::to_jwk`] wrote, and nothing else: any other member, a private one above all, is refused, and
    /// so is a `kid` that is not the thumbprint.
    ///
    /// # Errors
    /// [`CryptoError::PublicJwkRejected`].
    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, CryptoError> {
        let rejected = CryptoError::PublicJwkRejected;
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let bytes = |member: &str| {
            text(member)
                .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                .ok_or(rejected("a coordinate, modulus or exponent is missing or is not base64url"))
        };
        let coordinate = |member: &str| {
            <[u8; 32]>::try_from(bytes(member)?).map_err(|_| rejected("a coordinate does not have 32 bytes"))
        };
        let key = match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => Self::Es256 { x: coordinate("x")?, y: coordinate("y")? },
            (Some("OKP"), Some("Ed25519")) => Self::EdDsa { x: coordinate("x")? },
            (Some("RSA"), None) => Self::Rs256 { modulus: bytes("n")?, exponent: bytes("e")? },
            _ => return Err(rejected("an unknown key type or curve")),
        };
        // One comparison covers `use`, `alg`, `kid`, unknown members and private ones.
        if key.to_jwk() == *jwk { Ok(key) } else { Err(rejected("its members are not exactly those we publish")) }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modulus of the key in RFC 7638 §3.1.
    const RFC_7638_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPeb\
                              WKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY36\
                              8QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4l\
                              Fd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn decode<T: TryFrom<Vec<u8>, Error: std::fmt::Debug>>(text: &str) -> T {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    fn rsa() -> PublicKey {
        PublicKey::Rs256 { modulus: decode(RFC_7638_N), exponent: decode("AQAB") }
    }

    fn ed25519() -> PublicKey {
        PublicKey::EdDsa { x: decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") }
    }

    #[test]
    fn an_rsa_thumbprint_is_that_of_rfc_7638_section_3_1() {
        assert_eq!(rsa().thumbprint().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn an_ed25519_thumbprint_is_that_of_rfc_8037_appendix_a_3() {
        assert_eq!(ed25519().thumbprint().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn short_coordinates_are_padded_to_32_bytes() {
        let mut x = [0; 32];
        x[31] = 1;
        let jwk = PublicKey::Es256 { x, y: [2; 32] }.to_jwk();
        assert_eq!(jwk["x"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE");
        assert_eq!(decode::<Vec<u8>>(jwk["y"].as_str().unwrap()).len(), 32);
    }

    #[test]
    fn a_jwk_has_exactly_its_members_in_order() {
        let members = |key: &PublicKey| key.to_jwk().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let point = PublicKey::Es256 { x: [1; 32], y: [2; 32] };
        assert_eq!(members(&point), ["kty", "crv", "x", "y", "use", "alg", "kid"]);
        assert_eq!(members(&ed25519()), ["kty", "crv", "x", "use", "alg", "kid"]);
        assert_eq!(members(&rsa()), ["kty", "n", "e", "use", "alg", "kid"]);
    }

    #[test]
    fn a_published_jwk_reads_back() {
        for key in [PublicKey::Es256 { x: [0; 32], y: [9; 32] }, ed25519(), rsa()] {
            assert_eq!(PublicKey::from_jwk(&key.to_jwk()).unwrap(), key);
        }
    }

    #[test]
    fn a_jwk_that_says_anything_else_is_refused() {
        let changes = [
            ("d", json!("AA")),
            ("use", json!("enc")),
            ("alg", json!("ES256")),
            ("kid", json!("k1")),
            ("kty", json!("oct")),
            ("crv", json!("X25519")),
            ("x", json!("AA")),
            ("x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")),
            ("key_ops", json!(["sign"])),
        ];
        for (member, value) in changes {
            let mut jwk = ed25519().to_jwk();
            jwk[member] = value;
            assert!(matches!(PublicKey::from_jwk(&jwk), Err(CryptoError::PublicJwkRejected(_))), "{member}");
        }
        assert!(PublicKey::from_jwk(&json!("text")).is_err());
    }
}
