//! Forms and headers that are refused before any signature is checked, though each of these tokens is truly signed.

use aws_lc_rs::hmac;

use super::*;

#[test]
fn an_algorithm_outside_the_list_is_refused() {
    for alg in ["none", "None", "NONE", "nOnE", "", "es256", "ES384", "PS256", "HS256", "Ed25519", "ES256 "] {
        assert_eq!(header_refusal("alg", Some(&format!("\"{alg}\""))), TokenRefused::AlgorithmNotAllowed, "{alg}");
    }
    for alg in [None, Some(r#"["ES256"]"#), Some("1"), Some("null"), Some("true")] {
        assert_eq!(header_refusal("alg", alg), TokenRefused::AlgorithmNotAllowed);
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let header = with(&header(Algorithm::Es256), "alg", Some(r#""none""#));
    let token = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload()));
    assert_eq!(refusal(&token), TokenRefused::AlgorithmNotAllowed);
    let (message, _) = token.rsplit_once('.').unwrap();
    assert_eq!(refusal(message), TokenRefused::NotThreeSegments);
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    let header = with(&header(Algorithm::Rs256), "alg", Some(r#""HS256""#));
    let jwk = key(Algorithm::Rs256).public_jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [jwk.to_string().into_bytes(), format!("\n {jwk}").into_bytes(), modulus] {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(payload()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(refusal(&token), TokenRefused::AlgorithmNotAllowed);
    }
}

#[test]
fn an_algorithm_is_bound_to_its_key() {
    for named in ALGORITHMS {
        for other in ALGORITHMS.into_iter().filter(|other| *other != named) {
            let header = with(&header(named), "alg", Some(&format!("\"{other}\"")));
            assert_eq!(refusal(&forge(key(other), &header, &payload())), TokenRefused::AlgorithmNotOfKey);
        }
    }
}

#[test]
fn a_header_cannot_bring_a_key_a_url_or_an_extension() {
    let jwk = key(Algorithm::Es256).public_jwk().to_string();
    for (name, text) in [
        ("jwk", jwk.as_str()),
        ("jwk", "null"),
        ("jku", r#""http://127.0.0.1:1/jwks""#),
        ("x5u", r#""https://attacker.example/x5u""#),
        ("x5c", r#"["MIIB"]"#),
        ("crit", r#"["exp"]"#),
        ("crit", r#"["unknown"]"#),
        ("crit", "[]"),
        ("zip", r#""DEF""#),
        ("b64", "true"),
        ("b64", "false"),
        ("cty", r#""JWT""#),
    ] {
        assert_eq!(header_refusal(name, Some(text)), TokenRefused::ForbiddenHeader(name), "{text}");
    }
    let unencoded = with(&with(&header(Algorithm::Es256), "b64", Some("false")), "crit", Some(r#"["b64"]"#));
    let token = forge(key(Algorithm::Es256), &unencoded, &payload());
    assert_eq!(refusal(&token), TokenRefused::ForbiddenHeader("crit"));
}

#[test]
fn a_header_member_that_we_never_write_is_refused() {
    for (name, text) in [("p2c", "2147483647"), ("enc", r#""A256GCM""#), ("x5t", r#""AA""#), ("Alg", r#""ES256""#)] {
        assert_eq!(header_refusal(name, Some(text)), TokenRefused::UnknownHeader);
    }
}

#[test]
fn a_key_is_found_by_its_exact_id_only() {
    let kid = key(Algorithm::Es256).kid().as_str();
    let (upper, spaced, prefix) = (kid.to_uppercase(), format!("{kid} "), &kid[..kid.len() - 1]);
    for kid in ["../../dev/null", "' OR 1=1--", "%00", "", "ключ", &upper, &spaced, prefix] {
        assert_eq!(header_refusal("kid", Some(&format!("\"{kid}\""))), TokenRefused::KeyUnknown, "{kid}");
    }
    for kid in [None, Some("7"), Some("null"), Some("{}")] {
        assert_eq!(header_refusal("kid", kid), TokenRefused::KeyIdMissing);
    }
    assert_eq!(header_refusal("kid", Some(&format!("\"{}\"", "a".repeat(65_536)))), TokenRefused::TooLong);
}

#[test]
fn only_two_token_types_are_accepted() {
    let typed = |typ: &str| {
        let header = with(&header(Algorithm::Es256), "typ", Some(&format!("\"{typ}\"")));
        verify_at(&forge(key(Algorithm::Es256), &header, &payload()), NOW).map(|verified| verified.token_type)
    };
    for typ in ["application/at+jwt", "AT+JWT", "at+jwt"] {
        assert_eq!(typed(typ), Ok(TokenType::AccessToken), "{typ}");
    }
    assert_eq!(typed("jwt"), Ok(TokenType::Jwt));
    for typ in ["logout+jwt", "id_token", "JOSE+JSON", "txntoken+jwt", "", "secevent+jwt"] {
        assert_eq!(typed(typ), Err(TokenRefused::TypeNotAllowed), "{typ}");
    }
    for typ in [None, Some("1"), Some(r#"["JWT"]"#)] {
        assert_eq!(header_refusal("typ", typ), TokenRefused::TypeMissing);
    }
}

#[test]
fn a_repeated_name_is_refused_in_header_and_payload() {
    let algorithm = Algorithm::Es256;
    let header_twice = header(algorithm).replacen('{', r#"{"alg":"none","#, 1);
    assert_eq!(refusal(&forge(key(algorithm), &header_twice, &payload())), TokenRefused::DuplicateMember);
    for member in [r#""sub":"bob","#, r#""exp":1,"#, r#""\u0065xp":9999999999,"#, r#""roles":[],"#] {
        let payload_twice = payload().replacen('{', &format!("{{{member}"), 1);
        assert_eq!(refusal(&forge(key(algorithm), &header(algorithm), &payload_twice)), TokenRefused::DuplicateMember);
    }
}

#[test]
fn anything_but_three_segments_is_refused() {
    let token = good_token(Algorithm::Es256);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    for text in [
        "",
        "token",
        message,
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}.{signature}"),
        &format!("{head}..{body}.{signature}"),
        &format!("{head}.{head}.{body}.{head}.{signature}"),
        &format!(r#"{{"protected":"{head}","payload":"{body}","signature":"{signature}"}}"#),
    ] {
        assert_eq!(refusal(text), TokenRefused::NotThreeSegments, "{text}");
    }
    assert_eq!(refusal(&format!("{head}.{body}.")), TokenRefused::WrongSignature);
    assert_eq!(refusal(&format!("{head}..{signature}")), TokenRefused::WrongSignature);
    assert_eq!(refusal(&format!(".{body}.{signature}")), TokenRefused::NotJsonObject);
    assert_eq!(refusal(".."), TokenRefused::NotJsonObject);
}

#[test]
fn white_space_padding_and_other_alphabets_are_refused() {
    let token = good_token(Algorithm::Es256);
    for text in [
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\r\n"),
        format!("{token}=="),
        format!("{token}\0"),
        token.replacen('.', "=.", 1),
        token.replacen('.', " .", 1),
        token.replacen("eyJ", "ey+", 1),
    ] {
        assert_eq!(refusal(&text), TokenRefused::NotBase64Url, "{text:?}");
    }
}

#[test]
fn a_long_token_is_refused_before_it_is_read() {
    assert_eq!(refusal(&"a".repeat(1_048_576)), TokenRefused::TooLong);
    // The longest that is read at all: the same text one byte shorter is refused for another reason.
    assert_eq!(refusal(&".".repeat(8_193)), TokenRefused::TooLong);
    assert_eq!(refusal(&".".repeat(8_192)), TokenRefused::NotThreeSegments);
}

#[test]
fn a_header_that_is_not_an_object_is_refused() {
    for header in ["[]", "\"alg\"", "1", "", "{", "{}{}"] {
        assert_eq!(refusal(&forge(key(Algorithm::Es256), header, &payload())), TokenRefused::NotJsonObject, "{header}");
    }
}
