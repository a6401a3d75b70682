//! What each template is given, by the names that templates use. Texts are escaped by the template engine, never here.

use serde::Serialize;
use time::{OffsetDateTime, UtcOffset, macros::format_description};

use crate::{
    domain::instant::rfc3339,
    http::problem::{Problem, ProblemDoc},
};

/// The sign-in page.
#[derive(Debug, Serialize)]
pub struct SignIn<'a> {
    /// Whether the last try was refused.
    pub refused: bool,
    /// Where to go afterwards: a path of our own origin.
    pub return_to: &'a str,
    /// Who is signed in already.
    pub signed_in_as: Option<&'a str>,
}

/// The account page.
#[derive(Debug, Serialize)]
pub struct Account<'a> {
    /// Whose it is.
    pub subject: &'a str,
    /// What its forms must carry.
    pub csrf_token: &'a str,
    /// How many devices there are besides this one.
    pub others: usize,
    /// All of them, this one first.
    pub devices: Vec<Device>,
}

/// One session as its owner sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// The session's id.
    pub id: String,
    /// What it runs on.
    pub name: String,
    /// Which picture fits: `computer`, `phone`, `tablet` or `device`.
    pub kind: &'static str,
    /// Whether the page is seen on it.
    pub current: bool,
    /// Where it was last seen, where that is recorded.
    pub address: Option<String>,
    /// When its owner last signed in on it.
    pub signed_in: Moment,
    /// When it was last used.
    pub last_seen: Moment,
}

/// An instant for people and for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// RFC 3339, in UTC.
    pub at: String,
    /// In words, in UTC.
    pub text: String,
}

impl From<OffsetDateTime> for Moment {
    fn from(instant: OffsetDateTime) -> Self {
        let utc = instant.to_offset(UtcOffset::UTC);
        let words = format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
        Self { at: rfc3339(utc), text: utc.format(words).unwrap_or_else(|_| rfc3339(utc)) }
    }
}

/// The picture that fits a device of this name.
#[must_use]
pub fn kind_of_device(name: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["iPad", "Tablet", "tablet"]) {
        "tablet"
    } else if has(&["iPhone", "Android", "Phone", "phone", "iOS"]) {
        "phone"
    } else if has(&["Windows", "Mac", "Linux", "Chrome OS", "ChromeOS", "BSD"]) {
        "computer"
    } else {
        "device"
    }
}

/// A refusal or failure, or the explanation of one.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The problem's stable name.
    pub code: &'a str,
    /// What happened.
    pub title: &'a str,
    /// What to do about it.
    pub text: &'a str,
    /// Which rule was broken.
    pub detail: Option<&'a str>,
    /// Where to go on.
    pub link: Option<Link<'a>>,
    /// What the operator finds the log line by.
    pub request_id: Option<&'a str>,
}

impl<'a> Failure<'a> {
    pub(super) fn explained(row: &'a ProblemDoc) -> Self {
        let ProblemDoc { status, code, title, remedy } = *row;
        Self { status, code, title, text: remedy, detail: None, link: None, request_id: None }
    }
}

/// Where a person can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Link<'a> {
    /// A path of our own origin.
    pub href: &'a str,
    /// What is there.
    pub label: &'static str,
}

impl<'a> Link<'a> {
    /// Where a problem sends a person; `sign_in` is the sign-in page with the way back.
    pub(super) fn of(problem: &Problem, sign_in: &'a str) -> Option<Self> {
        match problem {
            Problem::NoSession => Some(Self { href: sign_in, label: "Sign in" }),
            Problem::Unavailable | Problem::Internal => None,
            _ => Some(Self { href: "/account", label: "Go to your account" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_moment_is_written_in_utc() {
        let moment = Moment::from(datetime!(2026-07-04 01:05:09.25 +02:00));
        assert_eq!(moment.text, "3 July 2026, 23:05 UTC");
        assert!(moment.at.starts_with("2026-07-03T23:05:09") && moment.at.ends_with('Z'), "{}", moment.at);
    }

    #[test]
    fn a_device_has_the_picture_of_its_kind() {
        for (name, kind) in [
            ("Firefox on Linux", "computer"),
            ("Safari on Mac OSX", "computer"),
            ("Chrome on Android", "phone"),
            ("Safari on iPhone", "phone"),
            ("Safari on iPad", "tablet"),
            ("curl", "device"),
            ("", "device"),
        ] {
            assert_eq!(kind_of_device(name), kind, "{name}");
        }
    }
}
