//! The `Cookie` parser against a slow model of its rules, and what goes upstream against the web framework's parser.
#![no_main]

use cookie::Cookie;
use ephemint::domain::cookie_header::{Presented, find, without};
use libfuzzer_sys::fuzz_target;

const NAME: &[u8] = b"__Host-session";

fuzz_target!(|input: &[u8]| {
    // No header line holds a line feed, so it can part the lines.
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();

    let values = values(&lines);
    let expected = match values.as_slice() {
        [] => Presented::Absent,
        [first, rest @ ..] if rest.iter().all(|value| value == first) => Presented::Value(first),
        _ => Presented::Conflicting,
    };
    assert_eq!(find(lines.iter().copied(), NAME), expected);

    let upstream = without(lines.iter().copied(), NAME);
    assert_eq!(find([upstream.as_slice()], NAME), Presented::Absent, "the session went upstream");
    assert_eq!(without([upstream.as_slice()], NAME), upstream, "leaving out twice is leaving out once");
    let kept: Vec<Vec<u8>> = pairs(&lines).into_iter().filter(|pair| !pair.is_empty() && !resembles(pair)).collect();
    assert_eq!(upstream, kept.join(b"; ".as_slice()), "other cookies keep their bytes and their order");

    let text = String::from_utf8_lossy(&upstream);
    for pair in text.split(';') {
        for cookie in [Cookie::parse(pair), Cookie::parse_encoded(pair)].into_iter().flatten() {
            assert!(
                !cookie.name().as_bytes().eq_ignore_ascii_case(NAME),
                "a lenient parser finds the session in {pair:?}"
            );
        }
    }
});

/// All pairs, spaces and tabs around them left out; some may be empty.
fn pairs(lines: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut pairs = Vec::new();
    for line in lines {
        let mut pair = Vec::new();
        for &byte in line.iter().chain(b";") {
            if byte == b';' {
                pairs.push(trimmed(&pair));
                pair.clear();
            } else {
                pair.push(byte);
            }
        }
    }
    pairs
}

/// The value of every pair whose name is exactly [`NAME`].
fn values(lines: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for pair in pairs(lines) {
        let Some(equals) = (0..pair.len()).find(|&at| pair[at] == b'=') else { continue };
        if trimmed(&pair[..equals]) == NAME {
            values.push(trimmed(&pair[equals + 1..]));
        }
    }
    values
}

fn trimmed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while bytes.first().is_some_and(|byte| b" \t".contains(byte)) {
        bytes.remove(0);
    }
    while bytes.last().is_some_and(|byte| b" \t".contains(byte)) {
        bytes.pop();
    }
    bytes
}

/// Whether a pair's name is [`NAME`] in any letter case, once percent escapes are decoded and Unicode spaces trimmed.
fn resembles(pair: &[u8]) -> bool {
    let name: Vec<u8> = pair.iter().copied().take_while(|&byte| byte != b'=').collect();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < name.len() {
        let escape = name
            .get(at..at + 3)
            .filter(|escape| escape[0] == b'%' && escape[1].is_ascii_hexdigit() && escape[2].is_ascii_hexdigit());
        let escaped = escape.and_then(|escape| std::str::from_utf8(&escape[1..]).ok());
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(name[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    let mut text: Vec<char> = String::from_utf8_lossy(&decoded).chars().collect();
    let is_space = |character: &char| character.is_whitespace() || *character == '\u{feff}';
    while text.first().is_some_and(is_space) {
        text.remove(0);
    }
    while text.last().is_some_and(is_space) {
        text.pop();
    }
    let bare: String = text.into_iter().collect();
    bare.to_ascii_lowercase().as_bytes() == NAME.to_ascii_lowercase()
}
