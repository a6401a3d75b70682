//! Which passwords are tried first by others: known ones, and what people build from them.

/// Whether a password is among the first that others would try.
pub(super) fn is_common(password: &str, words: &[&str]) -> bool {
    let _ = (password, words);
    false
}
