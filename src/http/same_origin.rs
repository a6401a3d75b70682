//! Proof that a state-changing request was not sent by another site (Fetch Metadata, with `Origin` for older browsers).
//!
//! The rule is that of Go's `http.CrossOriginProtection`, with the whole configured origin in the place of the `Host` header: a
//! browser says `Sec-Fetch-Site` or at least `Origin` with every such request, so whoever says neither is no browser.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
    web::Data,
};

use crate::http::{problem::Problem, state::AppState};

/// The request comes from a page of our own origin, or from no page at all. Naming it in a handler's signature demands that.
#[derive(Debug)]
pub struct SameOrigin;

impl FromRequest for SameOrigin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let Some(state) = request.app_data::<Data<AppState>>() else { return ready(Err(Problem::Internal)) };
        let cross_site = is_cross_site(request.headers(), &state.origin);
        ready(if cross_site { Err(Problem::CrossSite) } else { Ok(Self) })
    }
}

/// Whether a browser says that it sends this request from another site.
#[must_use]
pub fn is_cross_site(headers: &HeaderMap, own_origin: &str) -> bool {
    !allowed(single(headers, "sec-fetch-site"), single(headers, header::ORIGIN.as_str()), own_origin)
}

/// What a request says in one header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said<'a> {
    Nothing,
    Once(&'a [u8]),
    Twice,
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Said<'a> {
    let mut lines = headers.get_all(name);
    match (lines.next(), lines.next()) {
        (None, _) => Said::Nothing,
        (Some(line), None) => Said::Once(line.as_bytes()),
        (Some(_), Some(_)) => Said::Twice,
    }
}

fn allowed(site: Said<'_>, origin: Said<'_>, own_origin: &str) -> bool {
    match (site, origin) {
        (Said::Twice, _) | (Said::Nothing, Said::Twice) => false,
        // `none` is a person's own doing: a bookmark or the address bar.
        (Said::Once(site), _) => site == b"same-origin" || site == b"none",
        (Said::Nothing, Said::Once(origin)) => origin == own_origin.as_bytes(),
        (Said::Nothing, Said::Nothing) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Said::{Nothing, Once, Twice},
        *,
    };

    const OWN: &str = "https://app.example.com";

    #[test]
    fn only_our_own_origin_may_change_state() {
        assert!(allowed(Once(b"same-origin"), Nothing, OWN));
        assert!(allowed(Once(b"same-origin"), Once(OWN.as_bytes()), OWN));
        assert!(allowed(Once(b"none"), Nothing, OWN));
        assert!(allowed(Nothing, Once(OWN.as_bytes()), OWN));
        for site in ["same-site", "cross-site", "Same-Origin", "", "same-origin, same-origin"] {
            assert!(!allowed(Once(site.as_bytes()), Nothing, OWN), "{site}");
            assert!(!allowed(Once(site.as_bytes()), Once(OWN.as_bytes()), OWN), "{site}");
        }
        for origin in [
            "null",
            "http://app.example.com",
            "https://app.example.com:443",
            "https://app.example.com.",
            "https://app.example.com.evil.com",
            "https://evil.com",
            "",
        ] {
            assert!(!allowed(Nothing, Once(origin.as_bytes()), OWN), "{origin}");
        }
        assert!(!allowed(Twice, Nothing, OWN));
        assert!(!allowed(Twice, Once(OWN.as_bytes()), OWN));
        assert!(!allowed(Nothing, Twice, OWN));
    }

    #[test]
    fn a_client_that_is_no_browser_may_act() {
        assert!(allowed(Nothing, Nothing, OWN));
    }
}
