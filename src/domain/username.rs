//! The name of a password account, and the one form under which it is looked up, kept unique and throttled.

use std::fmt;

use precis_profiles::{UsernameCaseMapped, precis_core::profile::PrecisFastInvocation};

use super::subject::Subject;

/// Longest username in bytes, in its canonical form; the same as a subject's.
pub const MAX_LENGTH: usize = 255;
/// Longest text in bytes that is looked at; mapping can shorten a text, but not by more than this.
const MAX_PRESENTED: usize = 4 * MAX_LENGTH;
/// How often the rules are applied before a text counts as unstable (RFC 8264 §7 asks for at least three times).
const MAX_ROUNDS: usize = 4;

/// The canonical form of a username: `UsernameCaseMapped` of RFC 8265 §3.3, applied until nothing changes.
///
/// Full-width letters become ordinary ones, upper case becomes lower case, and accents are composed (NFC). Spaces, control
/// characters, invisible ones and directional marks are refused, and so is every character that only looks like others put
/// together, such as the ligature `ﬁ` or the sign for ångström. Nothing is trimmed. A username is always a [`Subject`] too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

/// Why a text is not a username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// It has no characters.
    #[error("a username has at least one character")]
    Empty,
    /// It is longer than [`MAX_LENGTH`] bytes.
    #[error("a username has at most 255 bytes")]
    TooLong,
    /// It holds a character that usernames do not have.
    #[error("a username is made of letters, digits and ASCII punctuation, without spaces or invisible characters")]
    Character,
}

impl Username {
    /// The canonical form of what somebody typed.
    ///
    /// # Errors
    /// [`UsernameError`] names the broken rule.
    pub fn parse(typed: &str) -> Result<Self, UsernameError> {
        if typed.is_empty() {
            return Err(UsernameError::Empty);
        }
        if typed.len() > MAX_PRESENTED {
            return Err(UsernameError::TooLong);
        }
        let mut text = typed.to_owned();
        for _ in 0..MAX_ROUNDS {
            let mapped = UsernameCaseMapped::enforce(text.as_str()).map_err(|_| UsernameError::Character)?.into_owned();
            if mapped == text {
                return Self::checked(text);
            }
            text = mapped;
        }
        Err(UsernameError::Character)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject of an account that was given no other.
    #[must_use]
    pub fn to_subject(&self) -> Option<Subject> {
        Subject::parse(self.0.clone()).ok()
    }

    fn checked(text: String) -> Result<Self, UsernameError> {
        if text.len() > MAX_LENGTH {
            return Err(UsernameError::TooLong);
        }
        // The profile lets joiners stand where a script needs them; to the eye they are not there.
        let invisible = |character: char| ('\u{200b}'..='\u{200f}').contains(&character);
        if text.chars().any(invisible) || Subject::parse(text.as_str()).is_err() {
            return Err(UsernameError::Character);
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(typed: &str) -> Result<String, UsernameError> {
        Username::parse(typed).map(|username| username.0)
    }

    #[test]
    fn spellings_of_one_name_are_one_username() {
        for (typed, expected) in [
            ("ADMIN", "admin"),
            ("ａｄｍｉｎ", "admin"),
            ("ＡＤＭＩＮ", "admin"),
            ("Zoe\u{308}", "zoë"),
            ("ZOE\u{308}", "zoë"),
            ("A\u{30a}ngstrom", "\u{e5}ngstrom"),
            ("alice@example.com", "alice@example.com"),
            ("Alice@EXAMPLE.com", "alice@example.com"),
            ("山田", "山田"),
            ("МИША", "миша"),
            ("אבג", "אבג"),
        ] {
            assert_eq!(canonical(typed).as_deref(), Ok(expected), "{typed}");
        }
        // The dotted and the dotless i are letters of their own, and neither is an ordinary i.
        let dots: Vec<_> = ["i", "\u{130}", "\u{131}"].map(|typed| canonical(typed).unwrap()).into();
        assert!(dots[0] != dots[1] && dots[1] != dots[2] && dots[0] != dots[2]);
    }

    #[test]
    fn what_cannot_be_told_apart_by_eye_is_refused() {
        for typed in [
            " ",
            "   ",
            "admin ",
            " admin",
            "ad min",
            "ad\u{a0}min",
            "admin\u{2003}",
            "\u{fb01}nn",
            "\u{212b}ngstrom",
            "ad\u{0}min",
            "admin\n",
            "admin\u{7f}",
            "admin\u{85}",
            "admin\u{202e}",
            "\u{2066}admin",
            "ad\u{200b}min",
            "ad\u{200c}min",
            "ad\u{200d}min",
            // Where a script needs the joiner, RFC 8264 alone would let it stand.
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{feff}admin",
            "ad\u{ad}min",
            "admin\u{ffff}",
            "\u{1f468}\u{200d}\u{1f469}",
            "אabc",
        ] {
            assert_eq!(canonical(typed), Err(UsernameError::Character), "{typed:?}");
        }
        assert_eq!(canonical(""), Err(UsernameError::Empty));
    }

    #[test]
    fn length_is_counted_in_bytes_after_mapping() {
        assert!(canonical(&"a".repeat(255)).is_ok());
        assert_eq!(canonical(&"a".repeat(256)), Err(UsernameError::TooLong));
        // Three bytes each as typed, one each when mapped.
        assert!(canonical(&"ａ".repeat(255)).is_ok());
        assert_eq!(canonical(&"ａ".repeat(256)), Err(UsernameError::TooLong));
        assert_eq!(canonical(&"a".repeat(10_000_000)), Err(UsernameError::TooLong));
    }

    #[test]
    fn punctuation_and_code_are_ordinary_characters() {
        for typed in ["a@b@victim.com", "';drop--", "*)(uid=*", "{{7*7}}", "a,b", "x.", "$1", "\\0"] {
            assert_eq!(canonical(typed).as_deref(), Ok(typed));
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(typed in any::<String>()) {
            if let Ok(username) = Username::parse(&typed) {
                prop_assert_eq!(Username::parse(username.as_str()).unwrap(), username.clone());
                let subject = username.to_subject().unwrap();
                prop_assert_eq!(subject.as_str(), username.as_str());
            }
        }

        #[test]
        fn case_and_width_make_no_other_name(typed in "[a-zA-Z0-9.@_-]{1,40}", upper in any::<u64>(), wide in any::<u64>()) {
            let varied: String = typed
                .chars()
                .enumerate()
                .map(|(position, character)| {
                    let bit = |bits: u64| bits >> (position % 64) & 1 == 1;
                    let character = if bit(upper) { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
                    // The full-width forms of the printable ASCII characters lie 0xFEE0 further on.
                    if bit(wide) { char::from_u32(u32::from(character) + 0xfee0).unwrap() } else { character }
                })
                .collect();
            prop_assert_eq!(canonical(&varied).unwrap(), typed.to_ascii_lowercase());
        }

        #[test]
        fn composed_and_decomposed_accents_are_one(typed in "[a-zàéîöüñçřşžåæøα-ωа-я]{1,40}") {
            use unicode_normalization::UnicodeNormalization as _;
            let decomposed: String = typed.nfd().collect();
            prop_assert_eq!(canonical(&decomposed).unwrap(), canonical(&typed).unwrap());
        }

        #[test]
        fn no_text_makes_it_stop(typed in proptest::collection::vec(any::<char>(), 0..300)) {
            let _ = Username::parse(&typed.into_iter().collect::<String>());
        }
    }
}
