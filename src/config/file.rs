//! Reading files whole, within a limit, and finding a place in one.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Largest configuration or secret file in bytes.
const LARGEST: u64 = 1 << 20;

/// The text of a file.
///
/// # Errors
/// The operating system's, or one for a file that is too large or not UTF-8.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= LARGEST) {
        Ok(text)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"))
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        assert_eq!(position("ä = 1\nöö x", 0), (1, 1));
        assert_eq!(position("ä = 1\nöö x", 12), (2, 4));
        assert_eq!(position("", 99), (1, 1));
    }
}
