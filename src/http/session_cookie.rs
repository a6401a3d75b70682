//! Finds the session token that a request presents. The only code that reads `Cookie` header lines.

use actix_web::http::header::{self, HeaderMap};

use crate::domain::cookie_header::{self, Presented};

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
