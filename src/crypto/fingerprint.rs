//! Digests of public things, for caches and file names.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A strong entity tag of a document, with its quotes (RFC 9110 §8.8.3).
#[must_use]
pub fn etag(document: &[u8]) -> String {
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest(&SHA256, document).as_ref()[..16]))
}

/// Sixteen hexadecimal digits that name `bytes`, the same in every build: the first 8 bytes of its SHA-256.
#[must_use]
pub fn short_hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref()[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_changes_with_the_document_and_only_with_it() {
        assert_eq!(etag(b"a"), etag(b"a"));
        assert_ne!(etag(b"a"), etag(b"b"));
        assert_eq!(etag(b"").len(), 24);
    }

    #[test]
    fn a_short_name_is_the_start_of_the_well_known_digest() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(short_hex(b"abc"), "ba7816bf8f01cfea");
    }
}
