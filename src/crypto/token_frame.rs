//! Access tokens in their compact form (RFC 7515 §7.1), and what many of them have in common.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::signing_key::KeyId;

/// The beginning that the tokens of one key, one type and one audience share, encoded once: the header, and as much of the payload
/// as fills whole groups of three bytes.
#[derive(Debug)]
pub struct TokenFrame {
    kid: KeyId,
    head: Box<str>,
    /// The last bytes, up to two in ASCII, that cannot be encoded without the next ones.
    carried: Box<str>,
}

impl TokenFrame {
    /// Encodes a header, and the beginning that all payloads have.
    pub(super) fn new(kid: KeyId, header: &[u8], opening: &str) -> Self {
        let whole = (0..=opening.len()).rev().find(|&end| end % 3 == 0 && opening.is_char_boundary(end));
        let (encoded, carried) = opening.split_at(whole.unwrap_or(0));
        let mut head = URL_SAFE_NO_PAD.encode(header);
        head.push('.');
        URL_SAFE_NO_PAD.encode_string(encoded, &mut head);
        Self { kid, head: head.into(), carried: carried.into() }
    }

    /// The key that signs these tokens.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// What the rest of a payload is to be appended to.
    #[must_use]
    pub fn carried(&self) -> &str {
        &self.carried
    }

    pub(super) fn head(&self) -> &str {
        &self.head
    }
}

/// A signed access token: a bearer credential, so it is never printed.
pub struct AccessToken {
    frame: Arc<TokenFrame>,
    tail: Box<str>,
}

impl AccessToken {
    pub(super) fn new(frame: Arc<TokenFrame>, tail: Box<str>) -> Self {
        Self { frame, tail }
    }

    /// The token's text. Only for handing it to its owner.
    #[must_use]
    pub fn expose(&self) -> String {
        self.expose_halves().concat()
    }

    /// The token's text in the two halves that it is kept in. Only for handing it to its owner.
    #[must_use]
    pub fn expose_halves(&self) -> [&str; 2] {
        [&self.frame.head, &self.tail]
    }

    /// How many bytes the text has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.frame.head.len() + self.tail.len()
    }

    /// How many of them are its own, and not shared with others.
    #[must_use]
    pub fn own_length(&self) -> usize {
        self.tail.len()
    }

    /// The key that signed it.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.frame.kid
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken(…)")
    }
}
