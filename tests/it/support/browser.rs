//! Browsers and apps of people: from where they ask, with what token, and how they sign in.

use ephemint::{
    domain::{
        cookie_header::Presented,
        device::{AddressPrecision, Seen},
        subject::Subject,
    },
    service::sessions::{SignIn, SignedIn, StartError},
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{
    answer::ORIGIN,
    app::{COOKIE, Started, TestApp},
    visitor::set_cookie,
};

/// The header of a Firefox on Linux.
pub(crate) const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// The header of a later version of it.
pub(crate) const LATER_FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
/// The header of a Chrome on Windows.
pub(crate) const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
/// An address where people are at home.
pub(crate) const HOME: &str = "203.0.113.9";
/// Another one of the same network.
pub(crate) const NEIGHBOUR: &str = "203.0.113.200";
/// One of another network.
pub(crate) const AWAY: &str = "198.51.100.7";

/// A browser somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Browser {
    /// Its `User-Agent`.
    pub(crate) agent: &'static str,
    /// Its address.
    pub(crate) address: &'static str,
}

/// A Firefox at home.
pub(crate) const AT_HOME: Browser = Browser { agent: FIREFOX, address: HOME };

impl Browser {
    /// A request of one of our own pages in this browser.
    pub(crate) fn request(self, app: &TestApp, method: Method, path: &str, token: &str) -> RequestBuilder {
        let request = app.public(method, path).header("user-agent", self.agent).header("x-forwarded-for", self.address);
        request.header("sec-fetch-site", "same-origin").header("origin", ORIGIN).header("cookie", cookie(token))
    }

    /// The same, sent.
    pub(crate) async fn send(self, app: &TestApp, method: Method, path: &str, token: &str) -> Response {
        self.request(app, method, path, token).send().await.unwrap()
    }

    /// The status of `GET /session`.
    pub(crate) async fn status(self, app: &TestApp, token: &str) -> u16 {
        self.send(app, Method::GET, "/session", token).await.status().as_u16()
    }

    /// What the service sees of this browser.
    pub(crate) fn seen(self) -> Seen {
        Seen::of(Some(self.agent), Some(self.address.parse().unwrap()), AddressPrecision::Full)
    }

    /// Signs `subject` in by password, presenting a token where there is one.
    pub(crate) async fn sign_in(self, app: &TestApp, subject: &str, token: Option<&str>) -> SignedIn {
        self.try_sign_in(app, subject, "pwd", token).await.unwrap()
    }

    /// The same by any method, which may fail.
    pub(crate) async fn try_sign_in(
        self,
        app: &TestApp,
        subject: &str,
        method: &str,
        token: Option<&str>,
    ) -> Result<SignedIn, StartError> {
        let presented = token.map_or(Presented::Absent, |token| Presented::Value(token.as_bytes()));
        let sign_in = SignIn {
            subject: Subject::parse(subject).unwrap(),
            authenticated_under: None,
            amr: vec![method.to_owned()],
            presented,
            seen: self.seen(),
            method: "password",
        };
        app.state.sessions.sign_in(sign_in).await
    }
}

/// The session of a sign-in as a browser holds it.
pub(crate) fn held(signed_in: &SignedIn) -> Started {
    Started { id: signed_in.session.id.to_string(), token: signed_in.token.expose() }
}

/// The `Cookie` line with a session token.
pub(crate) fn cookie(token: &str) -> String {
    format!("{COOKIE}={token}")
}

/// A request of an app that keeps no cookies.
pub(crate) fn native(app: &TestApp, method: Method, path: &str, token: &str) -> RequestBuilder {
    app.public(method, path).header("user-agent", "OrdersApp/4.2").header("authorization", format!("Session {token}"))
}

/// The token that an answer gives to a browser, with exactly the attributes that every session cookie has.
pub(crate) fn given(response: &Response) -> String {
    let pair = set_cookie(response);
    let (_, token) = pair.split_once('=').unwrap();
    assert_eq!(token.len(), 47, "{token}");
    token.to_owned()
}

/// What operators see of a session.
pub(crate) async fn record(app: &TestApp, id: &str) -> Value {
    app.admin(Method::GET, &format!("/admin/sessions/{id}")).send().await.unwrap().json().await.unwrap()
}
