//! What a browser does on the pages: it navigates, sends forms, and keeps a cookie.

use std::collections::BTreeSet;

use ephemint::domain::password::Password;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use super::{
    answer::{ORIGIN, single},
    app::{COOKIE, TestApp},
};

/// The password of every test's account.
pub(crate) const PASSWORD: &str = "seven otters under a gravel sky";
/// What a browser accepts when it goes to a page.
pub(crate) const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// Settings under which no number of refusals matters.
pub(crate) const UNTHROTTLED: &str =
    "login.free_failures = 100\nlogin.network_free_failures = 10000\nlogin.longest_delay = '0s'\n";

impl TestApp {
    /// Adds a password account with [`PASSWORD`].
    pub(crate) async fn given_account(&self, name: &str) {
        self.state.accounts.add(name, None, Password::from(PASSWORD.to_owned())).await.unwrap();
    }

    /// A browser that goes to a page.
    pub(crate) fn navigate(&self, path: &str, cookie: &str) -> RequestBuilder {
        self.public(Method::GET, path).header("accept", ACCEPT).header("cookie", cookie)
    }

    /// A form of one of our pages, sent by a browser.
    pub(crate) fn submit(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let request = self.public(Method::POST, path).header("accept", ACCEPT).header("origin", ORIGIN);
        let request = request.header("sec-fetch-site", "same-origin").header("sec-fetch-mode", "navigate");
        let request = request.header("content-type", "application/x-www-form-urlencoded").header("cookie", cookie);
        request.body(form(fields))
    }

    /// Signs in by the form; returns the new cookie.
    pub(crate) async fn sign_in(&self, name: &str, cookie: &str) -> String {
        let fields = [("username", name), ("password", PASSWORD)];
        let response = self.submit("/login", cookie, &fields).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{}", response.text().await.unwrap());
        set_cookie(&response)
    }

    /// What `GET /session` says to the bearer of a cookie.
    pub(crate) async fn session(&self, cookie: &str) -> Option<Value> {
        let response = self.public(Method::GET, "/session").header("cookie", cookie).send().await.unwrap();
        if response.status() == StatusCode::UNAUTHORIZED {
            return None;
        }
        assert_eq!(response.status(), StatusCode::OK);
        Some(response.json().await.unwrap())
    }

    /// The synchroniser token of the session behind a cookie.
    pub(crate) async fn csrf_token(&self, cookie: &str) -> String {
        self.session(cookie).await.unwrap()["csrf_token"].as_str().unwrap().to_owned()
    }
}

/// The body of a form.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The session cookie that an answer sets, as a browser sends it back.
pub(crate) fn set_cookie(response: &Response) -> String {
    let line = single(response.headers(), "set-cookie");
    let (pair, attributes) = line.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!(pair.starts_with(&format!("{COOKIE}=ems_")), "{pair}");
    pair.to_owned()
}

/// Checks that a page is whole, plain and self-contained, and returns the paths of ours that it links to.
pub(crate) fn plain_page(page: &str) -> BTreeSet<String> {
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"), "{page}");
    for once in ["<title>", "<h1", "<main>", "name=\"viewport\"", "</html>"] {
        assert_eq!(page.matches(once).count(), 1, "{once} in {page}");
    }
    let mut links = BTreeSet::new();
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        let name = tag.split_whitespace().next().unwrap_or_default();
        assert!(!["style", "iframe", "object", "embed", "base", "template", "svg"].contains(&name), "<{tag}>");
        assert!(name != "script" || tag.contains(" src=\"/assets/"), "an inline script: <{tag}>");
        for attribute in tag.split('"').step_by(2).filter_map(|before| before.trim().strip_suffix('=')) {
            let attribute = attribute.rsplit(' ').next().unwrap_or_default();
            assert!(attribute != "style" && !attribute.starts_with("on"), "<{tag}>");
        }
        for (before, value) in tag.split('"').zip(tag.split('"').skip(1)).step_by(2) {
            if [" src=", " href=", " action="].iter().any(|attribute| before.ends_with(attribute)) {
                assert!(value.starts_with('/') && !value.starts_with("//"), "not our own: <{tag}>");
                links.insert(value.replace("&amp;", "&"));
            }
        }
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    links
}
