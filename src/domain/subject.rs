//! Whom a session belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest subject in bytes (OpenID Connect Core 1.0 §2 limits `sub` to 255 characters).
pub const MAX_LENGTH: usize = 255;

/// The principal of a session and the `sub` of its access tokens (RFC 7519 §4.1.2): stable, opaque, compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// Why a text is not a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It has no characters.
    #[error("a subject has at least one character")]
    Empty,
    /// It is longer than [`MAX_LENGTH`] bytes.
    #[error("a subject has at most 255 bytes")]
    TooLong,
    /// It holds a control character, or starts or ends with white space.
    #[error("a subject has no control characters and no white space at its ends")]
    Character,
}

impl Subject {
    /// Checks the rules; nothing is trimmed or normalised, so that two different texts are never one subject.
    ///
    /// # Errors
    /// [`SubjectError`] names the broken rule.
    pub fn parse(text: impl Into<String>) -> Result<Self, SubjectError> {
        let text = text.into();
        if text.is_empty() {
            Err(SubjectError::Empty)
        } else if text.len() > MAX_LENGTH {
            Err(SubjectError::TooLong)
        } else if text.trim() != text || text.chars().any(char::is_control) {
            Err(SubjectError::Character)
        } else {
            Ok(Self(text))
        }
    }

    /// The subject's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How often all sessions of a subject were ended together. A session that started under a lower number is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectEpoch(i64);

impl SubjectEpoch {
    /// The epoch of that number.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_subjects() {
        for text in ["alice", "user:42", "Zoë Müller", "248289761001", &"a".repeat(255)] {
            assert_eq!(Subject::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_broken_rule_has_its_own_error() {
        assert_eq!(Subject::parse("").unwrap_err(), SubjectError::Empty);
        assert_eq!(Subject::parse("é".repeat(128)).unwrap_err(), SubjectError::TooLong);
        for text in ["a\0", "a\nb", " a", "a ", "\u{85}a", "\u{2003}"] {
            assert_eq!(Subject::parse(text).unwrap_err(), SubjectError::Character, "{text:?}");
        }
    }
}
