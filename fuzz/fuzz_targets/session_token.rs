//! The session token's parser: nothing makes it panic, and each token has exactly one spelling.
#![no_main]

use ephemint::domain::session_token::{LENGTH, PREFIX, SessionToken};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(token) = SessionToken::parse(input) {
        assert_eq!(token.expose().as_bytes(), input, "two spellings for one token");
        assert_eq!(spelled(token.expose_bytes()), token.expose());
        assert_eq!(format!("{token:?}"), "SessionToken(…)", "a token shows itself");
    }
    if let Some(bytes) = input.first_chunk::<32>() {
        let text = spelled(bytes);
        assert_eq!(text.len(), LENGTH);
        let token = SessionToken::parse(text.as_bytes()).expect("the canonical spelling is a token");
        assert_eq!(token.expose_bytes(), bytes);
    }
});

/// The canonical spelling, made bit by bit: the prefix and unpadded base64url (RFC 4648 §5).
fn spelled(bytes: &[u8; 32]) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let bits: Vec<bool> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    let mut text = PREFIX.to_owned();
    for six in bits.chunks(6) {
        let value = (0..6).fold(0, |value, at| value * 2 + usize::from(six.get(at).copied().unwrap_or(false)));
        text.push(alphabet[value]);
    }
    text
}
