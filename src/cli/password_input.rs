//! Where a command takes a new password from: a prompt that shows nothing, or one line of standard input. Never an argument, which
//! other users of the machine could read.

use std::io::{self, BufRead, IsTerminal as _};

use zeroize::Zeroizing;

use super::CommandError;
use crate::domain::password::{MAX_LENGTH, Password, PasswordError};

/// Asks for a new password: twice at a terminal, else one line of standard input.
pub(super) fn new_password(username: &str) -> Result<Password, CommandError> {
    if !io::stdin().is_terminal() {
        return one_line(io::stdin().lock());
    }
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(unreadable);
    let first = ask(&format!("New password for {username} (not shown): "))?;
    let second = ask("The same once more: ")?;
    if first != second {
        return Err(CommandError::Usage(String::from("the two passwords differ; try again")));
    }
    Ok(Password::from(first.to_string()))
}

/// The first line, without what ends it.
fn one_line(input: impl BufRead) -> Result<Password, CommandError> {
    // One more than the longest password with a carriage return and a line feed. The buffer never moves, so that it is erased whole.
    let most = MAX_LENGTH + 3;
    let mut line = Zeroizing::new(Vec::with_capacity(most));
    input.take(u64::try_from(most).unwrap_or(u64::MAX)).read_until(b'\n', &mut line).map_err(unreadable)?;
    if line.is_empty() {
        return Err(CommandError::Usage(String::from("no password came on standard input; give it as one line")));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() > MAX_LENGTH {
        return Err(CommandError::Usage(PasswordError::TooLong.to_string()));
    }
    let text = str::from_utf8(&line)
        .map_err(|_| CommandError::Usage(String::from("the password on standard input is not UTF-8 text")))?;
    if text.contains('\0') {
        return Err(CommandError::Usage(String::from(
            "the password on standard input holds the character U+0000, which nobody can type to sign in",
        )));
    }
    Ok(Password::from(text.to_owned()))
}

fn unreadable(error: io::Error) -> CommandError {
    CommandError::Failed(anyhow::Error::new(error).context("the password could not be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<Vec<u8>, String> {
        let password = one_line(input).map_err(|error| error.to_string())?;
        Ok(password.expose().unwrap_or_default().to_vec())
    }

    #[test]
    fn one_line_is_the_password_exactly() {
        for (input, expected) in [
            ("gravel otters sing", "gravel otters sing"),
            ("gravel otters sing\n", "gravel otters sing"),
            ("gravel otters sing\r\n", "gravel otters sing"),
            ("  spaces stay  \nsecond line\n", "  spaces stay  "),
            ("\r\n", ""),
        ] {
            assert_eq!(read(input.as_bytes()).unwrap(), expected.as_bytes(), "{input:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_password_is_refused_without_being_repeated() {
        assert!(read(b"").unwrap_err().contains("no password came"));
        assert!(read(b"otters\xff\n").unwrap_err().contains("not UTF-8"));
        assert!(read(b"otters\0otters\n").unwrap_err().contains("U+0000"));
        assert!(read("a".repeat(MAX_LENGTH).as_bytes()).is_ok());
        assert!(read(format!("{}\r\n", "a".repeat(MAX_LENGTH)).as_bytes()).is_ok());
        for length in [MAX_LENGTH + 1, 10_000_000] {
            assert!(read("a".repeat(length).as_bytes()).unwrap_err().contains("at most 1024 bytes"), "{length}");
        }
    }
}
