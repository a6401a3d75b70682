//! A password in memory, and the rules for a new one.

use std::{fmt, sync::Arc};

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::common_password::is_common;

/// Fewest characters of a new password (NIST SP 800-63B-4 §3.1.1.2, where it is the only factor).
pub const MIN_CHARACTERS: usize = 15;
/// Longest password in bytes, after normalisation.
pub const MAX_LENGTH: usize = 1_024;

/// What somebody typed as a password, normalised to NFC (NIST SP 800-63B-4 §3.1.1.2) and otherwise as it was.
///
/// It is erased when the last clone is dropped, and never printed. There is one copy of it in memory, however many clones.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Password(Option<Arc<Zeroizing<String>>>);

/// Why a password may not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It has fewer than [`MIN_CHARACTERS`] characters.
    #[error("a password has 15 characters or more; a few words are easy to remember")]
    TooShort,
    /// It has more than [`MAX_LENGTH`] bytes.
    #[error("a password has at most 1024 bytes")]
    TooLong,
    /// It is one of those that are tried first.
    #[error(
        "this password is among the first that others would try; a few words that do not belong together are better"
    )]
    Common,
}

impl Password {
    /// The bytes to be hashed; absent where the text is longer than [`MAX_LENGTH`] bytes, which no password is.
    #[must_use]
    pub fn expose(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|text| text.as_bytes())
    }

    /// Whether this may be set as a new password. `words` are not much better than nothing: the username, the service's names.
    ///
    /// There are no rules of composition: length is what counts (NIST SP 800-63B-4 §3.1.1.2).
    ///
    /// # Errors
    /// [`PasswordError`] names the broken rule.
    pub fn check(&self, words: &[&str]) -> Result<(), PasswordError> {
        let text = self.0.as_ref().ok_or(PasswordError::TooLong)?;
        if text.chars().count() < MIN_CHARACTERS {
            return Err(PasswordError::TooShort);
        }
        if is_common(text, words) { Err(PasswordError::Common) } else { Ok(()) }
    }
}

impl From<String> for Password {
    /// Takes the text and leaves no copy of it behind.
    fn from(mut typed: String) -> Self {
        // Normalising a text makes it three times as long at most: reserved at once, so that it never moves.
        let mut text = Zeroizing::new(String::with_capacity(3 * typed.len().min(MAX_LENGTH)));
        if typed.len() <= MAX_LENGTH {
            text.extend(typed.nfc());
        }
        let sound = typed.len() <= MAX_LENGTH && text.len() <= MAX_LENGTH;
        typed.zeroize();
        Self(sound.then(|| Arc::new(text)))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::from(text.to_owned())
    }

    #[test]
    fn length_is_counted_in_characters_below_and_in_bytes_above() {
        use PasswordError::{TooLong, TooShort};
        let words = "hollow river paints a quiet engine under seventeen lamps of no one ";
        for (text, expected) in [
            ("", Err(TooShort)),
            ("gravel otters", Err(TooShort)),
            ("gravel otters!", Err(TooShort)),
            ("gravel otters!?", Ok(())),
            // 15 characters in 60 bytes, none of them a letter.
            ("🦀🌵🎲🧭🪁🥁🛶🧵🪐🍄🎯🧩🪴🛖🪤", Ok(())),
            ("ÅÅÅöö ñandú ~žř", Ok(())),
            ("   gravel otters   ", Ok(())),
            ("gravel\0otters\0sing", Ok(())),
            (&words.repeat(16)[..1_024], Ok(())),
            (&words.repeat(16)[..1_025], Err(TooLong)),
            (&words.repeat(16_000), Err(TooLong)),
        ] {
            assert_eq!(password(text).check(&[]), expected, "{text}");
        }
    }

    #[test]
    fn composed_and_decomposed_accents_are_one_password_and_nothing_else_changes() {
        assert_eq!(password("Zoe\u{308}").expose(), password("Zo\u{eb}").expose());
        let kept = "  Two  SPACES\tand a ﬁ ligature, ａ and a\u{a0}b ";
        assert_eq!(password(kept).expose(), Some(kept.as_bytes()));
        assert_ne!(password("Secret").expose(), password("secret").expose());
    }

    #[test]
    fn a_text_that_normalising_makes_too_long_is_too_long() {
        // U+1D160 becomes three characters of four bytes each.
        assert_eq!(password(&"\u{1d160}".repeat(256)).check(&[]), Err(PasswordError::TooLong));
        assert!(password(&"\u{1d160}".repeat(256)).expose().is_none());
    }

    #[test]
    fn nothing_shows_the_text() {
        let shown = format!("{:?} {:?}", password("gravel otters sing"), PasswordError::Common);
        assert!(!shown.contains("otters"), "{shown}");
    }
}
