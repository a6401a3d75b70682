//! The house rules for source files: each says what lives in it, is short enough to be read, and promises nothing for later.

use crate::tree::{Source, files};

/// The most lines that a file may have, tests included.
const MOST_LINES: usize = 400;

/// Where `source` breaks a rule.
fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("{}{text}", source.path));
    if !source.text.starts_with("//! ") {
        fault(": does not start by saying what lives in it (`//! `)".to_owned());
    }
    let lines = source.text.lines().count();
    if lines > MOST_LINES {
        fault(format!(": has {lines} lines; at most {MOST_LINES} are allowed"));
    }
    for (number, line) in source.text.lines().enumerate() {
        // Put together here, so that this file keeps the rule.
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            if line.split(|next: char| !next.is_alphanumeric()).any(|written| written == word) {
                fault(format!(":{}: leaves something undone ({word})", number + 1));
            }
        }
    }
    faults
}

#[test]
fn every_source_file_keeps_the_house_rules() {
    let roots = ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"];
    let sources: Vec<_> = roots.iter().flat_map(|root| files(root, ".rs")).collect();
    assert!(sources.len() > 100, "only {} files were found: the check itself is broken", sources.len());
    let faults: Vec<_> = sources.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_file_that_breaks_a_rule_is_found() {
    let faults = |text: &str| faults(&Source { path: "a.rs".to_owned(), text: text.to_owned() });
    assert_eq!(faults("//! Counts.\n\npub fn count() {}\n"), Vec::<String>::new());
    assert_eq!(faults("pub fn count() {}\n"), ["a.rs: does not start by saying what lives in it (`//! `)"]);
    assert_eq!(faults("//! Counts.\n\n// TO\u{44}O: count\n"), [concat!("a.rs:3: leaves something undone (TO", "DO)")]);
    assert_eq!(faults(&format!("//! Counts.\n{}", "\n".repeat(399))), Vec::<String>::new());
    assert_eq!(faults(&format!("//! Counts.\n{}", "\n".repeat(400))), ["a.rs: has 401 lines; at most 400 are allowed"]);
}
