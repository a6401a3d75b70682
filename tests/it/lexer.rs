//! Cuts Rust source text into words, strings and marks, without comments, character literals and raw strings.

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, keyword, number, or the name of a lifetime.
    Word(String),
    /// What stands between the quotes of a string.
    Text(String),
    /// `::`
    Path,
    /// Any other character.
    Mark(char),
}

/// A token and its line, from 1.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

/// The tokens of `text`.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (kind, length) = token(rest, first);
        if let Some(kind) = kind {
            tokens.push(Token { line, kind });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The token that `rest` begins with, if it is one, and its length in bytes.
fn token(rest: &str, first: char) -> (Option<Kind>, usize) {
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment(rest));
    }
    if rest.starts_with("::") {
        return (Some(Kind::Path), 2);
    }
    if first == '"' {
        let length = string(rest);
        return (Some(Kind::Text(rest[1..length.max(2) - 1].to_owned())), length);
    }
    if first == '\'' {
        return (None, quote(rest));
    }
    if first.is_alphanumeric() || first == '_' {
        let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let hashes = after.len() - after.trim_start_matches('#').len();
        if ["r", "br", "cr"].contains(&word) && after[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = end + hashes + 1;
            let length = rest[open..].find(&close).map_or(rest.len(), |inner| open + inner + close.len());
            return (None, length);
        }
        return (Some(Kind::Word(word.to_owned())), end);
    }
    ((!first.is_whitespace()).then_some(Kind::Mark(first)), first.len_utf8())
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest[at..].chars().next().map_or(0, char::len_utf8);
        }
        if depth == 0 || at >= rest.len() {
            return at;
        }
    }
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, next) in rest.char_indices().skip(1) {
        match next {
            '"' if !escaped => return at + 1,
            _ => escaped = next == '\\' && !escaped,
        }
    }
    rest.len()
}

/// A character literal; of a lifetime only the quote, since its name does no harm.
fn quote(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escape, _))) => {
            let after = escape + rest[escape..].chars().next().map_or(0, char::len_utf8);
            rest[after..].find('\'').map_or(rest.len(), |close| after + close + 1)
        }
        (Some(_), Some((close, '\''))) => close + 1,
        _ => 1,
    }
}
