//! Claims that are refused although the signature is true.

use super::*;

#[test]
fn a_time_is_an_integer_from_zero() {
    for (name, required) in [("exp", true), ("iat", true), ("auth_time", true), ("nbf", false)] {
        for text in [
            "\"1793534460\"",
            "1793534460.0",
            "1793534460.5",
            "1e12",
            "-1",
            "true",
            "null",
            "[1793534460]",
            "{}",
            "9223372036854775808",
            "1e300",
        ] {
            assert_eq!(claim_refusal(name, Some(text)), TokenRefused::ClaimMalformed(name), "{text}");
        }
        assert_eq!(claim_refusal(name, Some("1e400")), TokenRefused::NotJsonObject);
        if required {
            assert_eq!(claim_refusal(name, None), TokenRefused::ClaimMissing(name));
        }
    }
}

#[test]
fn times_hold_to_the_last_second_of_the_leeway() {
    let now = NOW.unix_timestamp();
    let leeway = 5;
    let outcome = |name: &str, seconds: i64| {
        let payload = with(&payload(), name, Some(&seconds.to_string()));
        verify_at(&forge(key(Algorithm::EdDsa), &header(Algorithm::EdDsa), &payload), NOW).map(|_| ())
    };
    assert_eq!(outcome("exp", now - leeway + 1), Ok(()));
    assert_eq!(outcome("exp", now - leeway), Err(TokenRefused::Expired));
    assert_eq!(outcome("exp", now - leeway - 1), Err(TokenRefused::Expired));
    assert_eq!(outcome("exp", 0), Err(TokenRefused::Expired));
    assert_eq!(outcome("iat", now + leeway), Ok(()));
    assert_eq!(outcome("iat", now + leeway + 1), Err(TokenRefused::IssuedInFuture));
    assert_eq!(outcome("iat", now + 365 * 86_400), Err(TokenRefused::IssuedInFuture));
    assert_eq!(outcome("nbf", now + leeway), Ok(()));
    assert_eq!(outcome("nbf", now + leeway + 1), Err(TokenRefused::NotYetValid));
    assert_eq!(outcome("exp", i64::MAX), Ok(()));
}

#[test]
fn an_end_is_exclusive_to_the_microsecond() {
    let token = good_token(Algorithm::EdDsa);
    let end = NOW + Duration::from_mins(1) + LEEWAY;
    assert!(verify_at(&token, end - Duration::from_micros(1)).is_ok());
    assert_eq!(verify_at(&token, end).unwrap_err(), TokenRefused::Expired);
}

#[test]
fn an_unbounded_leeway_does_not_overflow() {
    let audience = orders();
    let expected = Expected { issuer: ISSUER, audience: Some(&audience), now: NOW, leeway: Duration::MAX };
    assert!(verifier().verify(&good_token(Algorithm::EdDsa), expected).is_ok());
}

#[test]
fn the_audience_is_one_exact_string() {
    for text in [r#""orders2""#, r#""order""#, r#""billing""#] {
        assert_eq!(claim_refusal("aud", Some(text)), TokenRefused::WrongAudience, "{text}");
    }
    for text in [
        r#"["orders"]"#,
        r#"["orders","billing"]"#,
        r#""Orders""#,
        r#""orders/""#,
        r#""orders ""#,
        r#""""#,
        "null",
        "1",
    ] {
        assert_eq!(claim_refusal("aud", Some(text)), TokenRefused::ClaimMalformed("aud"), "{text}");
    }
    assert_eq!(claim_refusal("aud", None), TokenRefused::ClaimMissing("aud"));
}

#[test]
fn the_issuer_is_exact() {
    for issuer in [
        "https://exchange.example:8443/a/",
        "https://exchange.example:8443/A",
        "https://Exchange.example:8443/a",
        "https://exchange.example/a",
        "http://exchange.example:8443/a",
        "https://exch\u{430}nge.example:8443/a",
        " https://exchange.example:8443/a",
        "",
    ] {
        assert_eq!(claim_refusal("iss", Some(&format!("\"{issuer}\""))), TokenRefused::WrongIssuer, "{issuer}");
    }
    assert_eq!(claim_refusal("iss", Some("[]")), TokenRefused::ClaimMalformed("iss"));
}

#[test]
fn every_other_claim_has_its_form() {
    for (name, text) in [
        ("sub", "7"),
        ("sub", r#""""#),
        ("sub", r#""a\nb""#),
        ("jti", "7"),
        ("sid", r#""not-a-uuid""#),
        ("sid", r#""00000000-0000-0000-0000-00000000000A""#),
        ("sid", "7"),
        ("amr", r#""pwd""#),
        ("amr", "[1]"),
        ("acr", "1"),
        ("scope", r#"["read"]"#),
        ("client_id", "null"),
    ] {
        assert_eq!(claim_refusal(name, Some(text)), TokenRefused::ClaimMalformed(name), "{text}");
    }
}

#[test]
fn a_payload_that_is_not_a_shallow_object_is_refused() {
    let deep = with(&payload(), "x", Some(&format!("{}{}", "[".repeat(200), "]".repeat(200))));
    let inner = good_token(Algorithm::EdDsa);
    for payload in ["", "[]", "null", "text", "{}{}", &deep, &inner] {
        let token = forge(key(Algorithm::EdDsa), &header(Algorithm::EdDsa), payload);
        assert_eq!(refusal(&token), TokenRefused::NotJsonObject, "{payload}");
    }
}
