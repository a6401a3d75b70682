//! Tokens that are put together of finished parts, against josekit's own.

use std::sync::Arc;

use josekit::jws::{self, JwsHeader};

use super::*;
use crate::crypto::error::CryptoError;

#[test]
fn a_framed_token_is_the_one_that_josekit_makes() {
    let payload = "{\"iss\":\"é😀é\",\"aud\":\"orders\",\"sub\":\"alice\"}";
    for algorithm in [Algorithm::EdDsa, Algorithm::Rs256] {
        for token_type in [TokenType::Jwt, TokenType::AccessToken] {
            let key = key(algorithm);
            let mut header = JwsHeader::new();
            header.set_algorithm(algorithm.as_str());
            header.set_key_id(key.kid().as_str());
            header.set_token_type(token_type.as_str());
            let theirs = jws::serialize_compact(payload.as_bytes(), &header, key.jose_signer()).unwrap();
            // Wherever the beginning ends, within a group of bytes or between two.
            for end in (0..=payload.len()).filter(|&end| payload.is_char_boundary(end)) {
                let (opening, rest) = payload.split_at(end);
                let frame = Arc::new(key.frame(token_type, opening));
                let token = key.sign_rest(&frame, &format!("{}{rest}", frame.carried())).unwrap();
                assert_eq!(token.expose(), theirs, "{algorithm} {end}");
                assert_eq!((token.length(), token.kid()), (theirs.len(), key.kid()));
            }
        }
    }
}

#[test]
fn the_shared_beginning_is_kept_once() {
    let key = key(Algorithm::EdDsa);
    let frame = Arc::new(key.frame(TokenType::Jwt, &"x".repeat(300)));
    let token = key.sign_rest(&frame, "}").unwrap();
    assert!(frame.carried().is_empty() && token.length() > 400 + 88, "{}", token.length());
    assert_eq!(token.own_length(), 2 + 1 + 86);
}

#[test]
fn a_key_does_not_sign_what_names_another() {
    let frame = Arc::new(key(Algorithm::EdDsa).frame(TokenType::Jwt, "{"));
    let error = key(Algorithm::Es256).sign_rest(&frame, "}").unwrap_err();
    assert!(matches!(error, CryptoError::FrameOfAnotherKey));
}
