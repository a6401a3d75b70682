//! What a client is told when something is refused or fails: one table from problem to status, code and title.
//!
//! Problems are rendered as `application/problem+json` (RFC 9457) by the request middleware, so that no framework default and
//! no inner detail ever reaches a body. The table is also the text of the page that a problem's `type` points to.

use std::{borrow::Cow, fmt};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde_json::json;

/// Seconds after which a client may try again when something was unavailable.
const RETRY_AFTER: &str = "1";

/// Something that a client is told was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The path leads nowhere on this listener.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed(&'static str),
    /// The request breaks a rule that has no problem of its own; the text says which, without repeating input.
    BadRequest(Cow<'static, str>),
    /// The body is not well-formed JSON, or not an object.
    MalformedJson(Cow<'static, str>),
    /// A field is missing, unknown or has a value that is not allowed.
    InvalidField {
        /// The field, by a name of ours.
        field: &'static str,
        /// What is allowed.
        allowed: Cow<'static, str>,
    },
    /// The body has another media type or coding than the route takes.
    UnsupportedMediaType(&'static str),
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The request's head is larger than allowed.
    HeadTooLarge,
    /// The body did not arrive in time.
    RequestTimeout,
    /// There is no live session.
    NoSession,
    /// There is no valid client credential.
    NoCredential,
    /// The client lacks the scope that the route needs.
    InsufficientScope(&'static str),
    /// No session has that id.
    UnknownSession,
    /// The subject is disabled and gets no session.
    SubjectDisabled,
    /// A browser sent the request from another site.
    CrossSite,
    /// A form lacks the synchroniser token of its session.
    CsrfToken,
    /// Nobody is signed in by this name and password; never told why.
    LoginRefused,
    /// It cannot be decided right now; trying again helps.
    Unavailable,
    /// A fault of ours.
    Internal,
}

/// One row of the table, for documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemDoc {
    /// Stable name; the last part of the `type` URL.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What happened.
    pub title: &'static str,
    /// How to mend it.
    pub remedy: &'static str,
}

macro_rules! problems {
    ($( $pattern:pat => $status:literal, $code:literal, $title:literal, $remedy:literal; )+) => {
        impl Problem {
            /// The row of this problem.
            #[must_use]
            pub fn row(&self) -> ProblemDoc {
                match self {
                    $( $pattern => ProblemDoc {
                        code: $code, status: $status, title: $title, remedy: $remedy,
                    }, )+
                }
            }
        }

        /// Every problem, in the order of the table.
        pub const TABLE: &[ProblemDoc] = &[
            $( ProblemDoc { code: $code, status: $status, title: $title, remedy: $remedy }, )+
        ];
    };
}

problems! {
    Problem::NotFound => 404, "not-found", "There is nothing at this path",
        "Check the path and the listener: public, gateway and admin routes live on different ports.";
    Problem::MethodNotAllowed(_) => 405, "method-not-allowed", "The path does not take this method",
        "Use one of the methods in the Allow header.";
    Problem::BadRequest(_) => 400, "bad-request", "The request is not valid",
        "Read the detail; it names the rule that was broken.";
    Problem::MalformedJson(_) => 400, "malformed-json", "The body is not a valid JSON object",
        "Send one JSON object in UTF-8, without duplicate names and without NUL characters.";
    Problem::InvalidField { .. } => 400, "invalid-field", "A field is missing or not allowed",
        "Read the detail; it names the field and what is allowed.";
    Problem::UnsupportedMediaType(_) => 415, "unsupported-media-type",
        "The body has the wrong media type", "Send the media type that the detail names, without a content coding.";
    Problem::BodyTooLarge => 413, "body-too-large", "The body is too large",
        "Send less; the limit is the setting http.max_body.";
    Problem::HeadTooLarge => 431, "head-too-large", "The request's head is too large",
        "Send fewer or shorter headers and cookies; the limit is the setting http.max_head.";
    Problem::RequestTimeout => 408, "request-timeout", "The body did not arrive in time",
        "Send the body at once; the limit is the setting http.body_timeout.";
    Problem::NoSession => 401, "no-session", "There is no live session",
        "Sign in. A session that was revoked, has expired or never existed looks the same on purpose.";
    Problem::NoCredential => 401, "no-credential", "There is no valid client credential",
        "Send `Authorization: Bearer` with the secret that `ephemint clients add` printed.";
    Problem::InsufficientScope(_) => 403, "insufficient-scope", "The client lacks a scope",
        "Add a client that has the scope which the detail names: `ephemint clients add NAME --scope SCOPE`.";
    Problem::UnknownSession => 404, "unknown-session", "No session has this id",
        "Check the id; sessions are deleted some time after they have ended.";
    Problem::SubjectDisabled => 409, "subject-disabled", "The subject is disabled",
        "Enable it first: `ephemint users enable NAME` where it has a password account.";
    Problem::CrossSite => 403, "cross-site-request", "The request came from another site",
        "Send the request from a page of the configured origin (the setting public.origin).";
    Problem::CsrfToken => 403, "csrf-token", "The form's token is missing or does not fit",
        "Reload the page and send the form again. Programs send the field csrf_token with what `GET /session` shows.";
    Problem::LoginRefused => 401, "login-refused", "The name or password is wrong, or there were too many attempts",
        "Check both and try again; after several failures wait a moment. Unknown, wrong, disabled and throttled look the same on purpose.";
    Problem::Unavailable => 503, "unavailable", "This cannot be decided right now",
        "Try again after the time in the Retry-After header; the operator's log says what is down.";
    Problem::Internal => 500, "internal", "Something failed on our side",
        "Give the operator the request id; the log has a line with the cause.";
}

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    /// The problem that stands for a response which the framework made by itself.
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed(""),
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => Self::HeadTooLarge,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_client_error() => Self::BadRequest(Cow::Borrowed("the request cannot be understood")),
            _ => Self::Internal,
        }
    }

    /// The document (RFC 9457 §3). `origin` is where the problem pages are published.
    #[must_use]
    pub fn document(&self, origin: &str) -> String {
        let row = self.row();
        let mut document = json!({
            "type": format!("{origin}/problems/{}", row.code),
            "title": row.title,
            "status": row.status,
            "code": row.code,
        });
        if let Some(detail) = self.detail() {
            document["detail"] = json!(detail);
        }
        document.to_string()
    }

    /// Headers that belong to this problem whatever renders it.
    #[must_use]
    pub fn headers(&self) -> Vec<(header::HeaderName, HeaderValue)> {
        match self {
            Self::MethodNotAllowed(allow) => vec![(header::ALLOW, HeaderValue::from_static(allow))],
            Self::NoSession | Self::LoginRefused => {
                vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Session realm=\"ephemint\""))]
            }
            Self::NoCredential => {
                vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ephemint admin\""))]
            }
            Self::InsufficientScope(_) => vec![(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"ephemint admin\", error=\"insufficient_scope\""),
            )],
            Self::Unavailable => vec![(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))],
            _ => Vec::new(),
        }
    }

    /// Which rule was broken, without repeating input.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::BadRequest(detail) | Self::MalformedJson(detail) => Some(detail.clone().into_owned()),
            Self::InvalidField { field, allowed } => Some(format!("{field}: {allowed}")),
            Self::NoCredential => {
                Some("send `Authorization: Bearer` with what `ephemint clients add` printed".to_owned())
            }
            Self::CrossSite => {
                Some("the Origin or Sec-Fetch-Site of the request is not that of public.origin".to_owned())
            }
            Self::UnsupportedMediaType(wanted) => Some(format!("this route takes {wanted}")),
            Self::InsufficientScope(scope) => Some(format!("this route needs the scope {scope}")),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    /// A bare response that carries the problem; the request middleware writes its document.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status());
        response.extensions_mut().insert(self.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_kebab_case() {
        let mut codes: Vec<_> = TABLE.iter().map(|row| row.code).collect();
        assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
    }

    #[test]
    fn a_document_has_a_type_that_ends_in_its_code() {
        let problem = Problem::InvalidField { field: "subject", allowed: "1 to 255 bytes".into() };
        let document: serde_json::Value = serde_json::from_str(&problem.document("https://id.example.com")).unwrap();
        assert_eq!(
            document,
            json!({
                "type": "https://id.example.com/problems/invalid-field",
                "title": "A field is missing or not allowed",
                "status": 400,
                "code": "invalid-field",
                "detail": "subject: 1 to 255 bytes",
            })
        );
    }
}
