//! `GET /login`, `POST /login`: signing in.

use crate::domain::return_to::ReturnTo;

/// The sign-in page that leads to `return_to` afterwards.
#[must_use]
pub fn login_link(return_to: &ReturnTo) -> String {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", return_to.as_str()).finish();
    format!("/login?{query}")
}
