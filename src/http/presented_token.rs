//! What a request to the public listener presents: a session token, how it came, and what the request tells of its device.
//!
//! Kept in the request's extensions by the cookie bridge, which takes the cookies themselves away.

use std::{
    fmt,
    future::{Ready, ready},
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
};
use zeroize::Zeroizing;

use super::{middleware::request::ClientAddress, problem::Problem, session_cookie, state::AppState};
use crate::domain::{cookie_header::Presented, device::Seen};

/// How a session token travels, and therefore how a new one is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In the session cookie, as with browsers.
    Cookie,
    /// As `Authorization: Session <token>`, as with apps that keep no cookies.
    Header,
}

/// What a request presented, whether or not it is a token. Naming it in a handler's signature demands nothing.
#[derive(Clone)]
pub struct PresentedToken {
    said: Said,
    transport: Transport,
}

#[derive(Clone)]
enum Said {
    Nothing,
    Once(Zeroizing<Vec<u8>>),
    Twice,
}

impl PresentedToken {
    /// Reads a request's head. Where there is a session cookie, the request counts as a browser's, whatever else it says.
    #[must_use]
    pub fn of(headers: &HeaderMap, cookie_name: &str) -> Self {
        let said = match session_cookie::presented_anywhere(headers, cookie_name) {
            Presented::Absent => Said::Nothing,
            Presented::Value(value) => Said::Once(Zeroizing::new(value.to_vec())),
            Presented::Conflicting => Said::Twice,
        };
        let no_cookie = session_cookie::presented(headers, cookie_name) == Presented::Absent;
        let by_header = no_cookie && !matches!(said, Said::Nothing);
        Self { said, transport: if by_header { Transport::Header } else { Transport::Cookie } }
    }

    /// What was presented, for the session service.
    #[must_use]
    pub fn presented(&self) -> Presented<'_> {
        match &self.said {
            Said::Nothing => Presented::Absent,
            Said::Once(value) => Presented::Value(value),
            Said::Twice => Presented::Conflicting,
        }
    }

    /// How it came; a cookie where nothing came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the request had a session cookie, be it dead or alive.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.transport == Transport::Cookie && !matches!(self.said, Said::Nothing)
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PresentedToken").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl FromRequest for PresentedToken {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or(Problem::Internal))
    }
}

/// What a request tells of the device it comes from, as precisely as the settings allow it to be kept.
#[must_use]
pub fn seen(request: &HttpRequest, state: &AppState) -> Seen {
    let user_agent = request.headers().get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    Seen::of(user_agent.as_deref(), address, state.sessions.rules().address_precision)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_request_with_a_cookie_is_a_browsers() {
        let presented = |cookie: Option<&'static str>, authorization: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::COOKIE, cookie), (header::AUTHORIZATION, authorization)] {
                if let Some(value) = value {
                    headers.append(name, HeaderValue::from_static(value));
                }
            }
            let presented = PresentedToken::of(&headers, "__Host-s");
            let value = match presented.presented() {
                Presented::Value(value) => String::from_utf8(value.to_vec()).unwrap(),
                other => format!("{other:?}"),
            };
            assert!(!format!("{presented:?}").contains("T1"));
            (value, presented.transport(), presented.has_cookie())
        };
        let told = |value: &str, transport, has_cookie| (value.to_owned(), transport, has_cookie);
        assert_eq!(presented(None, None), told("Absent", Transport::Cookie, false));
        assert_eq!(presented(Some("a=b"), Some("Bearer T1")), told("Absent", Transport::Cookie, false));
        assert_eq!(presented(Some("__Host-s=T1"), None), told("T1", Transport::Cookie, true));
        assert_eq!(presented(None, Some("Session T1")), told("T1", Transport::Header, false));
        assert_eq!(presented(Some("__Host-s=T1"), Some("Session T1")), told("T1", Transport::Cookie, true));
        assert_eq!(presented(Some("__Host-s=T1"), Some("Session T2")), told("Conflicting", Transport::Cookie, true));
    }
}
