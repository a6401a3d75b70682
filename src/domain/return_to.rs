//! Where a browser goes after signing in: a path of our own origin, whatever it was asked to be.

use url::Url;

use super::urlencoded::escaped;

/// Longest request in bytes; a longer one counts as none.
const LONGEST: usize = 2 * 1024;

/// Where to go when nothing better was asked for.
const DEFAULT: &str = "/account";

/// Paths that are no place to arrive at: they lead in circles, sign out, or take no GET. Everything below them counts too.
const NO_PLACES: [&str; 5] = ["/login", "/logout", "/signed-out", "/session/renew", "/account/sessions"];

/// A path of our own origin, with query and fragment: it starts with exactly one slash and holds no control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// What was asked for where it is such a path, written anew by the URL parser; else the default.
    ///
    /// `origin` is our own: scheme, host and port. Browsers repair URLs: they drop tabs and line ends, take `\` for `/`, and two
    /// slashes for another host (WHATWG URL §4.4). So nothing is accepted that needs repair, and the answer is checked again.
    #[must_use]
    pub fn parse(presented: &str, origin: &str) -> Self {
        accept(presented, origin).map_or_else(Self::default, Self)
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

fn accept(presented: &str, origin: &str) -> Option<String> {
    let repaired = |character: char| character.is_control() || character.is_whitespace() || character == '\\';
    if presented.len() > LONGEST || !is_path(presented) || presented.contains(repaired) {
        return None;
    }
    let own = Url::parse(origin).ok()?;
    let url = own.join(presented).ok()?;
    if url.origin() != own.origin() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let path = decoded(url.path())?;
    if !is_path(&path) || path.contains(repaired_by_others) || leads_nowhere(&path) {
        return None;
    }
    // Where percent signs were written twice, whoever decodes twice sees what is refused here.
    let twice = decoded(&path)?;
    if !is_path(&twice) || twice.contains(repaired_by_others) || leads_nowhere(&twice) {
        return None;
    }
    let own_text = url.as_str().strip_prefix(own.as_str().trim_end_matches('/'))?;
    (is_path(own_text) && own_text.len() <= 3 * LONGEST).then(|| own_text.to_owned())
}

/// One slash, and neither another nor what browsers take for one.
fn is_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']))
}

fn repaired_by_others(character: char) -> bool {
    character.is_control() || character == '\\'
}

fn leads_nowhere(path: &str) -> bool {
    // Gateways may merge slashes and resolve what an escape has hidden from the URL parser.
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let path = format!("/{}", segments.join("/"));
    NO_PLACES.iter().any(|place| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// A path without percent escapes (RFC 3986 §2.1); nothing where that is no text.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = after.first_chunk().filter(|_| first == b'%').and_then(|digits| escaped(*digits));
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "https://app.example.com";

    fn parse(presented: &str) -> String {
        ReturnTo::parse(presented, OWN).as_str().to_owned()
    }

    #[test]
    fn a_path_of_our_own_is_kept() {
        for path in
            ["/", "/account", "/orders/7?x=1&y=%20#part", "/a%2Fb", "/loginx", "/session", "/x?next=//evil.com", "/é/b"]
        {
            let expected = if path == "/é/b" { "/%C3%A9/b" } else { path };
            assert_eq!(parse(path), expected);
        }
        assert_eq!(parse("/a/../b/./c"), "/b/c");
        assert_eq!(ReturnTo::parse("/a", "http://localhost:8080").as_str(), "/a");
    }

    #[test]
    fn nothing_leads_to_another_origin() {
        for hostile in [
            "",
            "account",
            "//evil.com",
            "///evil",
            "////evil",
            "/\\evil",
            "\\/evil",
            "\\\\evil",
            "/\t/evil",
            "/%09/evil",
            "/%5cevil",
            "/%5Cevil",
            "/%2fevil.com",
            "/%2f%2fevil.com",
            "/%252fevil.com",
            "/a/..//evil.com",
            "/./\\evil",
            "/.//evil.com",
            "/..//evil.com",
            "https:evil.com",
            "https:/evil.com",
            "https://evil.com",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://app.example.com@evil.com",
            "https://evil.com#app.example.com",
            "https://app.example.com/account",
            "https://evilapp.example.com",
            "https://evil。com",
            "。/evil",
            "/a\r\nSet-Cookie: x=1",
            "/a%0d%0aSet-Cookie:x",
            "/a%00b",
            "/a\u{0}",
            "/a\u{85}b",
            " /account",
            "/account ",
            "/a\u{a0}b",
            "/%ff",
            "/a%0",
            "@evil.com",
            "/%2e%2e//evil.com",
        ] {
            let found = parse(hostile);
            assert!(found == DEFAULT || hostile == "/a%0", "{hostile:?} became {found}");
        }
        assert_eq!(parse(&format!("/{}", "a".repeat(2 * LONGEST))), DEFAULT);
        assert_eq!(parse(&format!("/{}", "a".repeat(LONGEST - 1))).len(), LONGEST);
    }

    #[test]
    fn nothing_leads_in_circles_or_out() {
        for place in NO_PLACES {
            for form in [
                place.to_owned(),
                format!("{place}/"),
                format!("{place}?x=1#y"),
                format!("{place}/x"),
                format!("/a/..{place}"),
            ] {
                assert_eq!(parse(&form), DEFAULT, "{form}");
            }
        }
        for hidden in [
            "/%6cogin",
            "/log%6Fut",
            "/%256cogin",
            "/x/%2e%2e/logout",
            "/x//../../logout",
            "/x%2f..%2flogout",
            "/login;x",
        ] {
            let found = parse(hidden);
            assert!(found == DEFAULT || hidden == "/login;x", "{hidden} became {found}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_a_path_of_our_own_comes_out(
            presented in prop_oneof![any::<String>(), "[/\\\\.%a-f0-9:@?#\t\n -]{0,40}", "/[/\\\\.%2fF5cC]{0,12}evil\\.com"]
        ) {
            let found = parse(&presented);
            let mut characters = found.chars();
            prop_assert_eq!(characters.next(), Some('/'));
            prop_assert!(!matches!(characters.next(), Some('/' | '\\')));
            prop_assert!(!found.contains(char::is_control) && !found.contains('\\'));
            let url = Url::parse(OWN).unwrap().join(&found).unwrap();
            prop_assert_eq!(url.origin().ascii_serialization(), OWN);
            prop_assert_eq!(parse(&found), found, "what was accepted is accepted again");
        }
    }
}
