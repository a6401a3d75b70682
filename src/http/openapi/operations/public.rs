//! What browsers and apps may ask.

use super::{Body, JSON, Listener, NOTHING, Operation, PLAIN_FORM, Parameter, REVOKED, WAIT, empty, ok, page, query};

const PUBLIC: &[Listener] = &[Listener::Public];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "signInPage",
        listeners: PUBLIC,
        path: "/login",
        summary: "The sign-in page",
        parameters: &[query("return_to", "string", "Where to go afterwards: a path of the public origin.")],
        answers: &[page(200, "The page.")],
        problems: &["bad-request"],
        ..NOTHING
    },
    Operation {
        id: "signIn",
        listeners: PUBLIC,
        method: "POST",
        path: "/login",
        summary: "Signs in with a password; always a new session token",
        body: Some(Body { media_types: &[JSON, PLAIN_FORM], schema: "SignIn", required: true }),
        answers: &[ok("Signed in, by JSON.", "SignedIn"), empty(303, "Signed in, by a form.")],
        problems: &[
            "bad-request",
            "invalid-field",
            "malformed-json",
            "login-refused",
            "cross-site-request",
            "unsupported-media-type",
            "unavailable",
        ],
        ..NOTHING
    },
    Operation {
        id: "signOut",
        listeners: PUBLIC,
        method: "POST",
        path: "/logout",
        summary: "Ends the session; fine without one",
        by_session: true,
        parameters: &[WAIT],
        answers: &[empty(204, "Signed out."), empty(303, "Signed out, by a form.")],
        problems: &["cross-site-request", "csrf-token", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "signedOutPage",
        listeners: PUBLIC,
        path: "/signed-out",
        summary: "The page after signing out",
        answers: &[page(200, "The page.")],
        ..NOTHING
    },
    Operation {
        id: "accountPage",
        listeners: PUBLIC,
        path: "/account",
        summary: "The page of a person's devices",
        by_session: true,
        answers: &[page(200, "The page."), empty(303, "To sign in, without a session.")],
        problems: &["unavailable"],
        ..NOTHING
    },
    Operation {
        id: "accountRevoke",
        listeners: PUBLIC,
        method: "POST",
        path: "/account/sessions/{session_id}/revoke",
        by_session: true,
        summary: "Ends one session, from the page",
        body: Some(Body { media_types: &[PLAIN_FORM], schema: "CsrfForm", required: true }),
        answers: &[empty(303, "Done.")],
        problems: &["no-session", "csrf-token", "cross-site-request", "unknown-session", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "accountRevokeOthers",
        listeners: PUBLIC,
        method: "POST",
        path: "/account/sessions/revoke-others",
        by_session: true,
        summary: "Ends all other sessions, from the page",
        body: Some(Body { media_types: &[PLAIN_FORM], schema: "CsrfForm", required: true }),
        answers: &[empty(303, "Done.")],
        problems: &["no-session", "csrf-token", "cross-site-request", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "showOwnSession",
        listeners: PUBLIC,
        path: "/session",
        summary: "What a browser may know of its session",
        by_session: true,
        answers: &[ok("The session.", "OwnSession")],
        problems: &["no-session", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "renewOwnSession",
        listeners: PUBLIC,
        method: "POST",
        path: "/session/renew",
        by_session: true,
        summary: "A new token for the same session; the old one works for a short grace",
        answers: &[ok("Renewed.", "RenewedSession")],
        problems: &["no-session", "cross-site-request", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "listOwnSessions",
        listeners: PUBLIC,
        path: "/sessions",
        summary: "The subject's own live sessions, newest first",
        by_session: true,
        answers: &[ok("The sessions.", "OwnDevices")],
        problems: &["no-session", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "revokeOwnOtherSessions",
        listeners: PUBLIC,
        method: "DELETE",
        path: "/sessions",
        by_session: true,
        summary: "Ends all of the subject's sessions but this one",
        parameters: &[
            Parameter { required: true, ..query("others", "boolean", "`true`; nothing else is allowed.") },
            WAIT,
        ],
        answers: &[REVOKED],
        problems: &["no-session", "invalid-field", "bad-request", "cross-site-request", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "revokeOwnSession",
        listeners: PUBLIC,
        method: "DELETE",
        path: "/sessions/{session_id}",
        by_session: true,
        summary: "Ends one of the subject's sessions",
        parameters: &[WAIT],
        answers: &[REVOKED],
        problems: &[
            "no-session",
            "unknown-session",
            "invalid-field",
            "bad-request",
            "cross-site-request",
            "unavailable",
        ],
        ..NOTHING
    },
];
