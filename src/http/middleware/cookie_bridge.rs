//! Stands between the browser's cookie and actix-session's.
//!
//! On the way in, the exact parser decides what the request presents, in its cookies or as `Authorization: Session`, and only a
//! well-formed token is passed on, as the one cookie of the request, signed the way actix-session wants it. On the way out, what actix-session sets becomes the session
//! cookie proper: its value is the session token itself, with our attributes. The framework's own reading of cookie headers,
//! which decodes names and trims Unicode spaces, never sees a byte that the browser sent.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _,
    body::MessageBody,
    cookie::{Cookie, CookieJar, Key},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
};
use time::OffsetDateTime;

use crate::{
    domain::{cookie_header::Presented, session_token::SessionToken},
    http::{
        browser_session,
        presented_token::{PresentedToken, Transport, seen},
        state::AppState,
    },
};

/// The cookie's name between this bridge and actix-session; no browser ever sees it.
pub const INNER_NAME: &str = "inner";

/// Translates the session cookie in both directions.
///
/// # Errors
/// Whatever the inner service fails with.
pub async fn bridge(
    state: AppState,
    key: Rc<Key>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let presented = PresentedToken::of(request.headers(), &state.cookie.name);
    let token = match presented.presented() {
        Presented::Value(value) => SessionToken::parse(value).ok(),
        Presented::Absent | Presented::Conflicting => None,
    };
    // Only somebody who may have a session is looked at.
    let seen = token.as_ref().map(|_| seen(request.request(), &state)).unwrap_or_default();
    let inner = token.and_then(|token| sign(&key, &token.expose()));
    request.headers_mut().remove(header::COOKIE);
    if let Some(inner) = inner {
        request.headers_mut().insert(header::COOKIE, inner);
    }
    let transport = presented.transport();
    request.extensions_mut().insert(presented);
    let mut response = browser_session::while_seen(seen, next.call(request)).await?;
    let set: Vec<HeaderValue> = response.headers_mut().remove(header::SET_COOKIE).collect();
    let expires_at = browser_session::given_until(response.request());
    // Who presented a token without a cookie keeps none, unless they have just signed in for one.
    let keeps_cookies = transport == Transport::Cookie || browser_session::cookie_asked_for(response.request());
    for value in set.into_iter().filter(|_| keeps_cookies) {
        if let Some(value) = outward(&state, &key, expires_at, value) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    Ok(response)
}

fn sign(key: &Key, token: &str) -> Option<HeaderValue> {
    let mut jar = CookieJar::new();
    jar.signed_mut(key).add(Cookie::new(INNER_NAME, token.to_owned()));
    let signed = jar.get(INNER_NAME)?;
    HeaderValue::from_str(&signed.encoded().stripped().to_string()).ok()
}

/// The outward form of a `Set-Cookie` line; nothing for an inner cookie that was not signed here.
fn outward(state: &AppState, key: &Key, expires_at: Option<OffsetDateTime>, line: HeaderValue) -> Option<HeaderValue> {
    let Some(cookie) = line.to_str().ok().and_then(|text| Cookie::parse_encoded(text.to_owned()).ok()) else {
        return Some(line);
    };
    if cookie.name() != INNER_NAME {
        return Some(line);
    }
    if cookie.value().is_empty() {
        return HeaderValue::from_str(&state.cookie.clear()).ok();
    }
    let mut jar = CookieJar::new();
    jar.add_original(cookie.into_owned());
    let token = jar.signed(key).get(INNER_NAME)?;
    // Nothing is given without its end.
    HeaderValue::from_str(&state.cookie.set(token.value(), expires_at? - state.clock.now())).ok()
}
