//! Proof that a state-changing request was not sent by another site (Fetch Metadata, with `Origin` for older browsers).
//!
//! Stricter than most: the whole configured origin is compared, a sibling subdomain is another site, and a request that says
//! neither where it comes from nor lacks a session cookie is refused.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, http::header, web::Data};

use crate::http::{middleware::cookie_bridge::SomethingPresented, problem::Problem, state::AppState};

/// The request comes from a page of our own origin, from no page at all, or carries no session. Naming it in a handler's
/// signature demands that.
#[derive(Debug)]
pub struct SameOrigin;

impl FromRequest for SameOrigin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let Some(state) = request.app_data::<Data<AppState>>() else { return ready(Err(Problem::Internal)) };
        let presented = request.extensions().get::<SomethingPresented>().is_none_or(|presented| presented.0);
        let site = single(request, "sec-fetch-site");
        let origin = single(request, header::ORIGIN.as_str());
        let allowed = allowed(site, origin, &state.origin, presented);
        ready(if allowed { Ok(Self) } else { Err(Problem::CrossSite) })
    }
}

/// What a request says in one header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said<'a> {
    Nothing,
    Once(&'a [u8]),
    Twice,
}

fn single<'a>(request: &'a HttpRequest, name: &str) -> Said<'a> {
    let mut lines = request.headers().get_all(name);
    match (lines.next(), lines.next()) {
        (None, _) => Said::Nothing,
        (Some(line), None) => Said::Once(line.as_bytes()),
        (Some(_), Some(_)) => Said::Twice,
    }
}

fn allowed(site: Said<'_>, origin: Said<'_>, own_origin: &str, session_presented: bool) -> bool {
    match (site, origin) {
        (Said::Twice, _) | (_, Said::Twice) => false,
        // `none` is a person's own doing: a bookmark or the address bar.
        (Said::Once(site), Said::Nothing) => site == b"same-origin" || site == b"none",
        (Said::Once(site), Said::Once(origin)) => {
            (site == b"same-origin" || site == b"none") && origin == own_origin.as_bytes()
        }
        (Said::Nothing, Said::Once(origin)) => origin == own_origin.as_bytes(),
        (Said::Nothing, Said::Nothing) => !session_presented,
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
    fn only_our_own_origin_may_change_state_with_a_session() {
        assert!(allowed(Once(b"same-origin"), Nothing, OWN, true));
        assert!(allowed(Once(b"same-origin"), Once(OWN.as_bytes()), OWN, true));
        assert!(allowed(Once(b"none"), Nothing, OWN, true));
        assert!(allowed(Nothing, Once(OWN.as_bytes()), OWN, true));
        for site in ["same-site", "cross-site", "Same-Origin", "", "same-origin, same-origin"] {
            assert!(!allowed(Once(site.as_bytes()), Nothing, OWN, true), "{site}");
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
            assert!(!allowed(Nothing, Once(origin.as_bytes()), OWN, true), "{origin}");
            assert!(!allowed(Once(b"same-origin"), Once(origin.as_bytes()), OWN, true), "{origin}");
        }
        assert!(!allowed(Twice, Nothing, OWN, true));
        assert!(!allowed(Nothing, Twice, OWN, true));
    }

    #[test]
    fn a_client_that_is_no_browser_may_only_act_without_a_session_cookie() {
        assert!(!allowed(Nothing, Nothing, OWN, true));
        assert!(allowed(Nothing, Nothing, OWN, false));
    }
}
