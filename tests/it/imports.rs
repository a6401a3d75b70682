//! Reads just enough Rust to say which modules and libraries a source text names, its tests left out.
//!
//! It knows comments, literals, `use` trees, nested modules and `#[cfg(test)]`, and nothing of types. What a macro makes
//! at compile time is not seen; what is written inside one is.

use std::collections::HashSet;

use super::lexer::{Kind, Token, tokens};

/// What one source text names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Imports {
    /// Paths into the crate from its root, with the line that names them.
    pub(crate) modules: Vec<(usize, Vec<String>)>,
    /// First names of all other paths: libraries, but also local types and modules.
    pub(crate) libraries: Vec<(usize, String)>,
    /// Modules in other files that only tests see, by name; by file name, ending in `.rs`, where a `path` attribute says so.
    pub(crate) test_files: Vec<String>,
}

/// One path of a `use` tree.
struct Leaf {
    line: usize,
    path: Vec<String>,
    /// Whether it began with `::`.
    rooted: bool,
    alias: Option<String>,
}

/// What `text` names, if it is the module `module` (from the crate's root; empty for the root itself).
pub(crate) fn read(module: &[String], text: &str) -> Imports {
    let (tokens, test_files) = without_tests(&tokens(text));
    let mut found = Imports { test_files, ..Imports::default() };
    let mut leaves = Vec::new();
    let mut module = module.to_vec();
    // How many braces were open where each inline module began.
    let mut began_at = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    let mut shadows = HashSet::new();
    while let Some(token) = tokens.get(at) {
        leaves.clear();
        match &token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => {
                depth -= 1;
                if began_at.last() == Some(&depth) {
                    began_at.pop();
                    module.pop();
                }
            }
            Kind::Word(word) if word == "mod" && is_mark(&tokens, at + 2, '{') => {
                if let Some(name) = word_at(&tokens, at + 1) {
                    began_at.push(depth);
                    module.push(name.to_owned());
                }
            }
            // `impl Trait + use<'a>` captures lifetimes.
            Kind::Word(word) if word == "use" && !is_mark(&tokens, at + 1, '<') => {
                at = tree(&tokens, at + 1, &[], false, &mut leaves);
                shadows.extend(leaves.iter().filter_map(shadow));
                found.resolve(&module, &leaves);
                continue;
            }
            Kind::Word(_) if begins_path(&tokens, at) && is(&tokens, at + 1, &Kind::Path) => {
                let rooted = at > 0 && is(&tokens, at - 1, &Kind::Path);
                let mut path = Vec::new();
                while let Some(word) = word_at(&tokens, at) {
                    path.push(word.to_owned());
                    at += 1;
                    if !is(&tokens, at, &Kind::Path) {
                        break;
                    }
                    at += 1;
                }
                leaves.push(Leaf { line: token.line, path, rooted, alias: None });
                found.resolve(&module, &leaves);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found.libraries.retain_mut(|(_, name)| match name.strip_prefix("::") {
        Some(rooted) => {
            *name = rooted.to_owned();
            true
        }
        None => !shadows.contains(name),
    });
    found
}

impl Imports {
    fn resolve(&mut self, module: &[String], leaves: &[Leaf]) {
        for Leaf { line, path, rooted, .. } in leaves {
            let mut rest = path.as_slice();
            let mut root = match rest.first().map(String::as_str) {
                Some("crate" | "ephemint") => Vec::new(),
                Some("self" | "super") => module.to_vec(),
                Some(name) => {
                    // The mark tells `::name`, which no local name can shadow.
                    self.libraries.push((*line, if *rooted { format!("::{name}") } else { name.to_owned() }));
                    continue;
                }
                None => continue,
            };
            while let [first, tail @ ..] = rest
                && ["crate", "ephemint", "self", "super"].contains(&first.as_str())
            {
                if first == "super" {
                    root.pop();
                }
                rest = tail;
            }
            root.extend_from_slice(rest);
            self.modules.push((*line, root));
        }
    }
}

/// The name that a `use` binds, where it may hide a library of the same name.
fn shadow(leaf: &Leaf) -> Option<String> {
    let last = leaf.path.iter().rfind(|word| *word != "self")?;
    let bound = leaf.alias.as_ref().unwrap_or(last);
    (leaf.path.first() != Some(bound)).then(|| bound.clone())
}

/// Reads the `use` tree at `at` into `leaves`; the answer is where it ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], mut rooted: bool, leaves: &mut Vec<Leaf>) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    if is(tokens, at, &Kind::Path) {
        rooted = true;
        at += 1;
    }
    loop {
        if let Some(word) = word_at(tokens, at) {
            path.push(word.to_owned());
            at += 1;
        } else if is_mark(tokens, at, '*') {
            path.push("*".to_owned());
            at += 1;
        } else if is_mark(tokens, at, '{') {
            at += 1;
            while at < tokens.len() && !is_mark(tokens, at, '}') {
                let next = tree(tokens, at, &path, rooted, leaves);
                // A tree that reads nothing stands before a comma, or before what is no `use` at all.
                at = if is_mark(tokens, next, ',') { next + 1 } else { next.max(at + usize::from(next == at)) };
            }
            return at + 1;
        }
        if !is(tokens, at, &Kind::Path) {
            break;
        }
        at += 1;
    }
    let mut alias = None;
    if word_at(tokens, at) == Some("as") {
        alias = word_at(tokens, at + 1).map(str::to_owned);
        at += 2;
    }
    leaves.push(Leaf { line, path, rooted, alias });
    at
}

fn is(tokens: &[Token], at: usize, kind: &Kind) -> bool {
    tokens.get(at).is_some_and(|token| token.kind == *kind)
}

fn is_mark(tokens: &[Token], at: usize, mark: char) -> bool {
    is(tokens, at, &Kind::Mark(mark))
}

fn word_at(tokens: &[Token], at: usize) -> Option<&str> {
    match tokens.get(at) {
        Some(Token { kind: Kind::Word(word), .. }) => Some(word),
        _ => None,
    }
}

/// Whether the word at `at` is the first of its path, a leading `::` apart.
fn begins_path(tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return true };
    if !is(tokens, before, &Kind::Path) {
        return true;
    }
    let Some(owner) = before.checked_sub(1) else { return true };
    let ends_a_type = is_mark(tokens, owner, '>') && !(owner > 0 && is_mark(tokens, owner - 1, '-'));
    !ends_a_type && word_at(tokens, owner).is_none_or(|word| ["as", "dyn", "impl", "in", "return"].contains(&word))
}

/// The tokens without items that only tests see, and the files that such items name.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut files) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if is_mark(tokens, at, '#') && is_mark(tokens, at + 1, '!') && is_test_attribute(tokens, at + 1) {
            return (Vec::new(), files);
        }
        if is_mark(tokens, at, '#') && is_test_attribute(tokens, at) {
            let mut path = None;
            while is_mark(tokens, at, '#') {
                let end = group_end(tokens, at + 1);
                if let [.., Token { kind: Kind::Text(text), .. }, _] = &tokens[at..end]
                    && word_at(tokens, at + 2) == Some("path")
                {
                    path = Some(text.clone());
                }
                at = end;
            }
            let end = item_end(tokens, at);
            let named = tokens[at..end].windows(3).find(|three| {
                word_at(three, 0) == Some("mod") && word_at(three, 1).is_some() && is_mark(three, 2, ';')
            });
            if let Some(name) = named.and_then(|three| word_at(three, 1)) {
                files.push(path.unwrap_or_else(|| name.to_owned()));
            }
            at = end;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, files)
}

/// Whether the attribute whose `#` or `#!` ends at `at` is `cfg(test)`, alone or in an `all`.
fn is_test_attribute(tokens: &[Token], at: usize) -> bool {
    let end = group_end(tokens, at + 1);
    let words: Vec<_> = (at..end).filter_map(|at| word_at(tokens, at)).collect();
    matches!(words.as_slice(), ["cfg", "test"] | ["cfg", "all", "test", ..])
}

/// Where the bracketed group that begins at `at` ends; the next token if none begins there.
fn group_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Mark('(' | '[' | '{') => depth += 1,
            Kind::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return offset + 1;
        }
    }
    tokens.len()
}

/// Where the item at `at` ends: behind its `;` or its block, or before the end of what holds it.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() && !is_mark(tokens, at, '}') {
        let block = is_mark(tokens, at, '{');
        let last = block || is_mark(tokens, at, ';');
        at = group_end(tokens, at);
        if last {
            break;
        }
    }
    at
}
