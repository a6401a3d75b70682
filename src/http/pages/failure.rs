//! Problems in words for the person in front of the browser. The table of problems speaks to whoever writes the client.

use crate::http::problem::Problem;

/// What a person is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

pub(super) fn words(problem: &Problem) -> Words {
    let (title, text) = match problem {
        Problem::NotFound => ("This page does not exist", "The address may be mistyped, or the page may have moved."),
        Problem::NoSession => ("Please sign in", "You are not signed in, or your session has ended."),
        Problem::CrossSite => (
            "This request was stopped",
            "It came from another site, so nothing was changed. If it was you, start again from here.",
        ),
        Problem::CsrfToken => (
            "This page was out of date",
            "Nothing was changed. You may have signed in again since it was opened: start again from here.",
        ),
        Problem::Unavailable => (
            "This does not work right now",
            "Something that this page needs does not answer. Wait a moment, then reload the page.",
        ),
        Problem::Internal => (
            "Something went wrong",
            "The fault is on our side. If it happens again, tell the operator the request number below.",
        ),
        problem => (problem.row().title, "Go back, reload the page and try again."),
    };
    Words { title, text }
}

/// Which rule was broken, where that helps.
pub(super) fn detail(problem: &Problem) -> Option<String> {
    match problem {
        Problem::BadRequest(_) | Problem::InvalidField { .. } | Problem::UnsupportedMediaType(_) => problem.detail(),
        _ => None,
    }
}
