//! Finds the session token that a request presents. The only code that reads `Cookie` header lines.

use actix_web::http::header::{self, HeaderMap};

use crate::domain::cookie_header::{self, Presented};

/// The scheme under which apps without cookies present a session token.
const SCHEME: &[u8] = b"session ";

/// What a request says about its session: by its cookies, or by `Authorization: Session <token>` for apps that keep no cookies.
///
/// Other authorization schemes are nobody's business here. Two different tokens conflict, wherever they stand.
#[must_use]
pub fn presented_anywhere<'a>(headers: &'a HeaderMap, name: &str) -> Presented<'a> {
    headers.get_all(header::AUTHORIZATION).filter_map(|line| by_scheme(line.as_bytes())).fold(
        presented(headers, name),
        |found, token| match found {
            Presented::Absent => Presented::Value(token),
            Presented::Value(first) if first == token => found,
            Presented::Value(_) | Presented::Conflicting => Presented::Conflicting,
        },
    )
}

/// Whether the request presents a session token by `Authorization: Session`, whatever its cookies say.
#[must_use]
pub fn presented_by_scheme(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).any(|line| by_scheme(line.as_bytes()).is_some())
}

/// What the request's cookies say about the session, by the exact parser.
#[must_use]
pub fn presented<'a>(headers: &'a HeaderMap, name: &str) -> Presented<'a> {
    cookie_header::find(headers.get_all(header::COOKIE).map(actix_http::header::HeaderValue::as_bytes), name.as_bytes())
}

/// The request's cookies without the session's, as one line for the service upstream; empty where nothing is left.
#[must_use]
pub fn without_session(headers: &HeaderMap, name: &str) -> Vec<u8> {
    cookie_header::without(
        headers.get_all(header::COOKIE).map(actix_http::header::HeaderValue::as_bytes),
        name.as_bytes(),
    )
}

/// The token in a line of `Authorization` of our scheme.
fn by_scheme(line: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = line.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(cookie: Option<&str>, authorization: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        for line in authorization {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_comes_from_the_cookie_or_from_the_session_scheme() {
        let find = |headers: &HeaderMap| match presented_anywhere(headers, "__Host-s") {
            Presented::Value(token) => String::from_utf8(token.to_vec()).unwrap(),
            other => format!("{other:?}"),
        };
        assert_eq!(find(&headers(Some("__Host-s=T"), &[])), "T");
        assert_eq!(find(&headers(None, &["Session T"])), "T");
        assert_eq!(find(&headers(None, &["session T"])), "T");
        assert_eq!(find(&headers(Some("__Host-s=T"), &["Session T"])), "T");
        assert_eq!(find(&headers(Some("__Host-s=T"), &["Session U"])), "Conflicting");
        assert_eq!(find(&headers(None, &["Session T", "Session U"])), "Conflicting");
        assert_eq!(find(&headers(Some("__Host-s=T"), &["Bearer EVIL"])), "T");
        assert_eq!(find(&headers(None, &["Bearer T", "SessionT", "Session"])), "Absent");
    }
}
