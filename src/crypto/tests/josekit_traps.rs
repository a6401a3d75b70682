//! What josekit would do by itself, and we must not.

use super::*;

#[test]
fn times_are_integers_in_the_serialized_payload() {
    for algorithm in ALGORITHMS {
        let token = good_token(algorithm);
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
        let now = NOW.unix_timestamp();
        for part in [
            format!(r#","iat":{},"#, now - 5),
            format!(r#","exp":{},"#, now + 60),
            format!(r#","auth_time":{},"#, now - 100),
        ] {
            assert!(text.contains(&part), "{text} lacks {part}");
        }
        assert!(
            text.starts_with(&format!(
                r#"{{"iss":"{ISSUER}","aud":"orders","scope":"read write","sub":"alice","iat":"#
            ))
        );
    }
}

#[test]
fn an_expired_token_is_refused() {
    for algorithm in ALGORITHMS {
        assert_eq!(
            verify_at(&good_token(algorithm), NOW + Duration::from_hours(1)).unwrap_err(),
            TokenRefused::Expired
        );
    }
}

#[test]
fn a_token_without_a_required_claim_is_refused() {
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "sid", "auth_time"] {
        assert_eq!(claim_refusal(name, None), TokenRefused::ClaimMissing(name));
    }
}

#[test]
fn the_bound_of_iat_follows_the_argument_not_the_system_clock() {
    // Long before the machine's own time, so that a check against the system clock would accept the first.
    let start = datetime!(2001-01-01 00:00 UTC);
    let issued = |at: OffsetDateTime| {
        let claims = AccessTokenClaims { iat: at.unix_timestamp(), exp: at.unix_timestamp() + 60, ..claims() };
        key(Algorithm::EdDsa).sign(&claims, TokenType::Jwt).unwrap()
    };
    let ahead = issued(start + Duration::from_secs(30));
    assert_eq!(verify_at(&ahead.expose(), start).unwrap_err(), TokenRefused::IssuedInFuture);
    // Long after it, so that a check against the system clock would refuse this one.
    let start = datetime!(2190-01-01 00:00 UTC);
    assert!(verify_at(&issued(start).expose(), start).is_ok());
}

#[test]
fn no_published_key_has_a_private_member() {
    for algorithm in ALGORITHMS {
        let jwk = key(algorithm).public_jwk();
        let members: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[&str] = match algorithm {
            Algorithm::Es256 => &["kty", "crv", "x", "y", "use", "alg", "kid"],
            Algorithm::EdDsa => &["kty", "crv", "x", "use", "alg", "kid"],
            Algorithm::Rs256 => &["kty", "n", "e", "use", "alg", "kid"],
        };
        assert_eq!(members, expected);
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(jwk.get(private).is_none());
            let mut leaking = jwk.clone();
            leaking[private] = serde_json::json!("AQAB");
            assert!(TokenVerifier::new([&leaking]).is_err());
        }
    }
}

#[test]
fn a_header_that_names_another_key_or_algorithm_is_refused() {
    let [es256, eddsa, _] = ALGORITHMS;
    let kid = format!("\"{}\"", key(eddsa).kid());
    let of_eddsa = with(&with(&header(es256), "kid", Some(&kid)), "alg", Some(r#""EdDSA""#));
    assert_eq!(refusal(&forge(key(es256), &of_eddsa, &payload())), TokenRefused::WrongSignature);
}
