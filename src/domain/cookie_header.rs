//! The exact `Cookie` parser that decides, on every listener, which session token a request presents.
//!
//! Frameworks decode percent escapes in cookie names, trim Unicode spaces and drop all cookies for one bad byte. Each of these
//! lets a sibling domain shadow a `__Host-` cookie or sign a person out. Here a name matches byte for byte, nothing is decoded,
//! and only SP and HTAB are trimmed (RFC 6265bis §5.6). A test compares this parser with a slow model of the same rules.

/// What a request's `Cookie` lines say about one cookie name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No cookie of that name.
    Absent,
    /// Exactly one value, however often it was repeated.
    Value(&'a [u8]),
    /// Two different values: one of them was planted, and nobody can tell which.
    Conflicting,
}

/// Finds the value of the cookie `name` in all `Cookie` lines of a request (HTTP/2 may split them, RFC 9113 §8.2.3).
#[must_use]
pub fn find<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &[u8]) -> Presented<'a> {
    let mut found = Presented::Absent;
    for value in lines.into_iter().flat_map(pairs).filter_map(|pair| value_of(pair, name)) {
        match found {
            Presented::Absent => found = Presented::Value(value),
            Presented::Value(first) if first == value => {}
            Presented::Value(_) | Presented::Conflicting => return Presented::Conflicting,
        }
    }
    found
}

/// Writes a request's cookies without the cookie `name` into one line, for services that must never see the session token.
///
/// Other pairs keep their bytes and their order. A pair that any lenient parser could read as the session's cookie, by letter
/// case, by percent escapes or by a Unicode space before its name, is left out as well. Empty where nothing is left.
#[must_use]
pub fn without<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for pair in lines.into_iter().flat_map(pairs).filter(|pair| !pair.is_empty() && !resembles(pair, name)) {
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(pair);
    }
    kept
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b';').map(trim)
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    (trim(&pair[..equals]) == name).then(|| trim(&pair[equals + 1..]))
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a lenient parser could take `pair` for the cookie `name`.
fn resembles(pair: &[u8], name: &[u8]) -> bool {
    let written = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
    if written.is_ascii() && !written.contains(&b'%') {
        // Nothing to decode, as with every cookie that an honest browser sends.
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        let start = written.iter().position(|byte| !is_space(byte)).unwrap_or(written.len());
        let end = written.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
        return written[start..end].eq_ignore_ascii_case(name);
    }
    let decoded = percent_decoded(written);
    let text = String::from_utf8_lossy(&decoded);
    let bare = text.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}');
    bare.as_bytes().eq_ignore_ascii_case(name)
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            decoded.push(u8::try_from(high * 16 + low).unwrap_or(first));
            rest = after;
        } else {
            decoded.push(first);
            rest = tail;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &[u8] = b"__Host-session";

    fn find_in<'a>(lines: &'a [&'a str]) -> Presented<'a> {
        find(lines.iter().map(|line| line.as_bytes()), NAME)
    }

    #[test]
    fn the_exact_name_is_found_among_others() {
        assert_eq!(find_in(&["a=1; __Host-session=T; b=2"]), Presented::Value(b"T"));
        assert_eq!(find_in(&["a=1", "\t__Host-session = T "]), Presented::Value(b"T"));
        assert_eq!(find_in(&["$Version=1; __Host-session=T; $Path=/"]), Presented::Value(b"T"));
        assert_eq!(find([b"junk=\xff; __Host-session=T".as_slice()], NAME), Presented::Value(b"T"));
    }

    #[test]
    fn nothing_but_the_exact_name_is_the_session() {
        for line in [
            "",
            "__host-session=T",
            "__HOST-session=T",
            "__%48ost-session=T",
            "\u{2000}__Host-session=T",
            "\u{a0}__Host-session=T",
            "\u{feff}__Host-session=T",
            "__Host-session",
            "=__Host-session=T",
            "$Version=1,__Host-session=T",
            "x__Host-session=T",
        ] {
            assert_eq!(find_in(&[line]), Presented::Absent, "{line}");
        }
    }

    #[test]
    fn a_shadowing_name_does_not_hide_the_session() {
        assert_eq!(find_in(&["__%48ost-session=EVIL; __Host-session=T"]), Presented::Value(b"T"));
        assert_eq!(find_in(&["\u{2000}__Host-session=EVIL; __Host-session=T"]), Presented::Value(b"T"));
    }

    #[test]
    fn differing_duplicates_conflict_in_any_order_and_on_any_line() {
        assert_eq!(find_in(&["__Host-session=T; __Host-session=U"]), Presented::Conflicting);
        assert_eq!(find_in(&["__Host-session=U", "__Host-session=T"]), Presented::Conflicting);
        assert_eq!(find_in(&["a=\"x; __Host-session=EVIL; y\"; __Host-session=T"]), Presented::Conflicting);
        assert_eq!(find_in(&["__Host-session=T; __Host-session=T"]), Presented::Value(b"T"));
    }

    #[test]
    fn a_value_is_not_decoded_or_unquoted() {
        assert_eq!(find_in(&["__Host-session=\"T\""]), Presented::Value(b"\"T\""));
        assert_eq!(find_in(&["__Host-session=T%00"]), Presented::Value(b"T%00"));
        assert_eq!(find_in(&["__Host-session=a=b"]), Presented::Value(b"a=b"));
    }

    #[test]
    fn other_cookies_pass_upstream_untouched_and_the_session_never() {
        let strip = |line: &str| String::from_utf8(without([line.as_bytes()], NAME)).unwrap();
        assert_eq!(strip("a=1; __Host-session=T; b=\"x y\""), "a=1; b=\"x y\"");
        assert_eq!(strip("__Host-session=T"), "");
        assert_eq!(strip("__Host-session; a=1"), "a=1");
        assert_eq!(strip("__host-session=T; __%48ost-session=T; \u{2000}__Host-session=T; a=%41"), "a=%41");
        assert_eq!(strip(";; a=1 ;"), "a=1");
    }

    /// The rules, written as slowly and plainly as possible.
    fn model(lines: &[Vec<u8>]) -> Result<Option<Vec<u8>>, ()> {
        let mut values = Vec::new();
        for line in lines {
            let mut start = 0;
            for end in 0..=line.len() {
                if end == line.len() || line[end] == b';' {
                    let pair = &line[start..end];
                    start = end + 1;
                    let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
                    let strip = |bytes: &[u8]| -> Vec<u8> {
                        let is_space = |byte: &u8| *byte == b' ' || *byte == b'\t';
                        let kept: Vec<u8> = bytes.iter().copied().skip_while(|byte| is_space(byte)).collect();
                        let mut reversed: Vec<u8> = kept.into_iter().rev().skip_while(|byte| is_space(byte)).collect();
                        reversed.reverse();
                        reversed
                    };
                    if strip(&pair[..equals]) == NAME {
                        values.push(strip(&pair[equals + 1..]));
                    }
                }
            }
        }
        values.dedup();
        match values.as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value.clone())),
            _ => Err(()),
        }
    }

    fn cookie_line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(NAME.to_vec()),
            3 => Just(b"=".to_vec()),
            3 => Just(b";".to_vec()),
            2 => Just(b" ".to_vec()),
            1 => Just(b"\t".to_vec()),
            1 => Just(b"__%48ost-session".to_vec()),
            1 => Just("\u{2000}".as_bytes().to_vec()),
            2 => Just(b"T".to_vec()),
            2 => proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_parser_agrees_with_the_model(lines in proptest::collection::vec(cookie_line(), 0..4)) {
            let found = find(lines.iter().map(Vec::as_slice), NAME);
            let modelled = model(&lines);
            let expected = match &modelled {
                Ok(None) => Presented::Absent,
                Ok(Some(value)) => Presented::Value(value),
                Err(()) => Presented::Conflicting,
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_goes_upstream_never_holds_the_session(lines in proptest::collection::vec(cookie_line(), 0..4)) {
            let upstream = without(lines.iter().map(Vec::as_slice), NAME);
            prop_assert_eq!(find([upstream.as_slice()], NAME), Presented::Absent);
        }
    }
}
