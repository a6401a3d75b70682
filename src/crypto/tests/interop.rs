//! Our tokens and keys as we read them ourselves, and as two other libraries do.

use josekit::jws::{self, JwsVerifier};
use jsonwebtoken::{DecodingKey, Validation, jwk::ThumbprintHash};

use super::*;

#[test]
fn a_signed_token_verifies_and_says_what_was_signed() {
    for algorithm in ALGORITHMS {
        for token_type in [TokenType::Jwt, TokenType::AccessToken] {
            let token = key(algorithm).sign(&claims(), token_type).unwrap();
            let verified = verify_at(&token.expose(), NOW).unwrap();
            assert_eq!(verified, VerifiedClaims { kid: key(algorithm).kid().clone(), token_type, claims: claims() });
            assert_eq!(format!("{token:?}"), "AccessToken(…)");
        }
    }
}

#[test]
fn without_an_expected_audience_any_of_ours_will_do() {
    let token = good_token(Algorithm::EdDsa);
    let expected = Expected { issuer: ISSUER, audience: None, now: NOW, leeway: LEEWAY };
    assert_eq!(verifier().verify(&token, expected).unwrap().claims.aud, orders());
}

#[test]
fn the_header_is_exactly_alg_kid_and_typ() {
    for algorithm in ALGORITHMS {
        let token = good_token(algorithm);
        let (encoded, _) = token.split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(encoded).unwrap(), header(algorithm).into_bytes());
    }
}

#[test]
fn an_es256_signature_is_64_raw_bytes() {
    for _ in 0..20 {
        let token = good_token(Algorithm::Es256);
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 64);
        assert!(verify_at(&token, NOW).is_ok());
    }
}

#[test]
fn a_custom_claim_cannot_repeat_one_of_ours() {
    let mut claims = claims();
    claims.custom.insert("exp".to_owned(), serde_json::json!(i64::MAX));
    let error = key(Algorithm::EdDsa).sign(&claims, TokenType::Jwt).unwrap_err();
    assert_eq!(error.to_string(), r#"a custom claim must not be named "exp""#);
}

#[test]
fn jsonwebtoken_accepts_our_tokens_with_our_keys() {
    for (algorithm, theirs) in ALGORITHMS.into_iter().zip([
        jsonwebtoken::Algorithm::ES256,
        jsonwebtoken::Algorithm::EdDSA,
        jsonwebtoken::Algorithm::RS256,
    ]) {
        // It reads the system clock, so this token lives until 2096.
        let claims = AccessTokenClaims { exp: 4_000_000_000, ..claims() };
        let token = key(algorithm).sign(&claims, TokenType::AccessToken).unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key(algorithm).public_jwk()).unwrap();
        let mut validation = Validation::new(theirs);
        validation.leeway = 0;
        validation.set_audience(&["orders"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoded =
            jsonwebtoken::decode::<Value>(&token.expose(), &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
        assert_eq!(decoded.claims, serde_json::to_value(&claims).unwrap());
        assert_eq!(decoded.header.kid.as_deref(), Some(key(algorithm).kid().as_str()));
        assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), key(algorithm).kid().as_str());
    }
}

#[test]
fn openssl_accepts_our_tokens_with_our_keys() {
    for algorithm in ALGORITHMS {
        let Value::Object(members) = key(algorithm).public_jwk() else { panic!("a JWK is an object") };
        let jwk = josekit::jwk::Jwk::from_map(members).unwrap();
        let theirs: Box<dyn JwsVerifier> = match algorithm {
            Algorithm::Es256 => Box::new(jws::ES256.verifier_from_jwk(&jwk).unwrap()),
            Algorithm::EdDsa => Box::new(jws::EdDSA.verifier_from_jwk(&jwk).unwrap()),
            Algorithm::Rs256 => Box::new(jws::RS256.verifier_from_jwk(&jwk).unwrap()),
        };
        let (read, _) = jws::deserialize_compact(good_token(algorithm), &*theirs).unwrap();
        assert_eq!(read, payload().into_bytes());
    }
}
