//! Signatures that are wrong, and second spellings of right ones.

use proptest::prelude::*;

use super::*;
use crate::crypto::low_s;

/// The order of Ed25519's base point (RFC 8032 §5.1), little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The good token with its signature's bytes changed.
fn resigned(algorithm: Algorithm, change: impl Fn(&mut Vec<u8>)) -> String {
    let token = good_token(algorithm);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    change(&mut signature);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for algorithm in ALGORITHMS {
        let changes: [fn(&mut Vec<u8>); 5] = [
            Vec::clear,
            |signature| signature.truncate(signature.len() - 1),
            |signature| signature.truncate(signature.len() / 2),
            |signature| signature.push(0),
            |signature| signature.insert(0, 0),
        ];
        for change in changes {
            assert_eq!(refusal(&resigned(algorithm, change)), TokenRefused::WrongSignature, "{algorithm}");
        }
    }
}

#[test]
fn an_all_zero_signature_is_refused() {
    for algorithm in ALGORITHMS {
        let token = resigned(algorithm, |signature| signature.fill(0));
        assert_eq!(refusal(&token), TokenRefused::WrongSignature, "{algorithm}");
    }
}

#[test]
fn an_es256_signature_with_the_high_s_is_refused() {
    let token = resigned(Algorithm::Es256, |signature| {
        let s = signature.last_chunk_mut::<32>().unwrap();
        *s = low_s::negated(s);
    });
    assert_eq!(refusal(&token), TokenRefused::WrongSignature);
}

#[test]
fn an_es256_signature_in_der_is_refused() {
    let token = resigned(Algorithm::Es256, |signature| {
        let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
        let numbers = [integer(&signature[..32]), integer(&signature[32..])].concat();
        *signature = [&[0x30, 70], numbers.as_slice()].concat();
    });
    assert_eq!(refusal(&token), TokenRefused::WrongSignature);
}

#[test]
fn an_ed25519_signature_with_an_unreduced_scalar_is_refused() {
    let token = resigned(Algorithm::EdDsa, |signature| {
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(ED25519_ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
    });
    assert_eq!(refusal(&token), TokenRefused::WrongSignature);
}

#[test]
fn stray_bits_after_the_signature_are_refused() {
    let token = good_token(Algorithm::Es256);
    // 64 bytes leave four unused bits in the last character, so it is one of A, Q, g and w; the next letter sets one.
    let last = char::from(token.as_bytes()[token.len() - 1] + 1);
    let respelled = format!("{}{last}", &token[..token.len() - 1]);
    assert_eq!(refusal(&respelled), TokenRefused::NotBase64Url);
}

#[test]
fn a_signature_of_another_token_is_refused() {
    for algorithm in ALGORITHMS {
        let other = forge(key(algorithm), &header(algorithm), &with(&payload(), "sub", Some(r#""bob""#)));
        let (_, signature) = other.rsplit_once('.').unwrap();
        let token = good_token(algorithm);
        let (message, _) = token.rsplit_once('.').unwrap();
        assert_eq!(refusal(&format!("{message}.{signature}")), TokenRefused::WrongSignature);
    }
}

#[test]
fn a_key_that_is_not_published_verifies_nothing() {
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap().key;
    let token = stranger.sign(&claims(), TokenType::Jwt).unwrap();
    assert_eq!(refusal(&token.expose()), TokenRefused::KeyUnknown);
    // Even under the name of a published key.
    let token = forge(&stranger, &header(Algorithm::EdDsa), &payload());
    assert_eq!(refusal(&token), TokenRefused::WrongSignature);
}

#[test]
fn a_point_off_the_curve_is_not_a_key() {
    let off = crate::crypto::jwk::PublicKey::Es256 { x: [1; 32], y: [1; 32] }.to_jwk();
    assert!(TokenVerifier::new([&off]).is_err());
    let short = crate::crypto::jwk::PublicKey::Rs256 { modulus: vec![0xff; 128], exponent: vec![1, 0, 1] }.to_jwk();
    assert!(TokenVerifier::new([&short]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_one_byte_change_of_a_token_is_refused(
        algorithm in proptest::sample::select(&ALGORITHMS[..]),
        place in any::<prop::sample::Index>(),
        byte in 0_u8..128,
    ) {
        let mut token = good_token(algorithm).into_bytes();
        let position = place.index(token.len());
        prop_assume!(token[position] != byte);
        token[position] = byte;
        prop_assert!(verify_at(std::str::from_utf8(&token).unwrap(), NOW).is_err());
    }

    #[test]
    fn no_text_at_all_is_a_token(text in "\\PC*|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}") {
        prop_assert!(verify_at(&text, NOW).is_err());
    }
}
