//! What operators, trusted back ends and Prometheus may ask.

use super::{Answer, Body, JSON, NOTHING, Operation, Parameter, REVOKED, WAIT, ok, query};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "startSession",
        method: "POST",
        path: "/admin/sessions",
        scope: Some("sessions:create"),
        summary: "Starts a session for a subject that the caller has authenticated",
        body: Some(Body { media_types: &[JSON], schema: "StartSession", required: true }),
        answers: &[Answer { status: 201, ..ok("Started.", "StartedSession") }],
        problems: &[
            "no-credential",
            "insufficient-scope",
            "invalid-field",
            "malformed-json",
            "subject-disabled",
            "unsupported-media-type",
            "unavailable",
        ],
        ..NOTHING
    },
    Operation {
        id: "listSessions",
        path: "/admin/sessions",
        scope: Some("sessions:read"),
        summary: "Sessions, newest first, alive or not",
        parameters: &[
            query("subject", "string", "Only of this subject."),
            query("cursor", "string", "`next_cursor` of the page before."),
            query("limit", "integer", "1 to 200; 50 where it is left out."),
        ],
        answers: &[ok("A page of sessions.", "Sessions")],
        problems: &["no-credential", "insufficient-scope", "invalid-field", "bad-request", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "revokeSessionsOfSubject",
        method: "DELETE",
        path: "/admin/sessions",
        scope: Some("sessions:revoke"),
        summary: "Ends every session of a subject",
        parameters: &[Parameter { required: true, ..query("subject", "string", "Whose.") }, WAIT],
        answers: &[REVOKED],
        problems: &["no-credential", "insufficient-scope", "invalid-field", "bad-request", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "showSession",
        path: "/admin/sessions/{session_id}",
        scope: Some("sessions:read"),
        summary: "One session, alive or not",
        answers: &[ok("The session.", "Session")],
        problems: &["no-credential", "insufficient-scope", "unknown-session", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "revokeSession",
        method: "DELETE",
        path: "/admin/sessions/{session_id}",
        scope: Some("sessions:revoke"),
        summary: "Ends one session; again is fine",
        parameters: &[WAIT],
        answers: &[REVOKED],
        problems: &[
            "no-credential",
            "insufficient-scope",
            "unknown-session",
            "invalid-field",
            "bad-request",
            "unavailable",
        ],
        ..NOTHING
    },
    Operation {
        id: "listSigningKeys",
        path: "/admin/keys",
        scope: Some("keys:read"),
        summary: "Signing keys that are not destroyed, oldest first",
        answers: &[ok("The keys.", "SigningKeys")],
        problems: &["no-credential", "insufficient-scope", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "rotateSigningKeys",
        method: "POST",
        path: "/admin/keys/rotate",
        scope: Some("keys:rotate"),
        summary: "Plans the next rotation as early as the publication lead allows",
        parameters: &[query("compromised", "boolean", "`true`: drop the signing key at once; its standby signs.")],
        answers: &[ok("What is planned.", "Rotations")],
        problems: &["no-credential", "insufficient-scope", "bad-request", "unavailable"],
        ..NOTHING
    },
    Operation {
        id: "showMetrics",
        path: "/metrics",
        summary: "Figures for Prometheus",
        answers: &[Answer { media_type: "text/plain", ..ok("The figures.", "Metrics") }],
        ..NOTHING
    },
    Operation {
        id: "isLive",
        path: "/livez",
        summary: "The process answers",
        answers: &[ok("It does.", "Live")],
        ..NOTHING
    },
    Operation {
        id: "isReady",
        path: "/readyz",
        summary: "Whether to send it requests",
        answers: &[ok("Do.", "Readiness"), Answer { status: 503, ..ok("Don't; the checks say why.", "Readiness") }],
        ..NOTHING
    },
    Operation {
        id: "showVersion",
        path: "/version",
        summary: "Which build it is",
        answers: &[ok("The build.", "Version")],
        ..NOTHING
    },
    Operation {
        id: "showOpenApi",
        path: "/openapi.json",
        summary: "This document",
        answers: &[ok("The document.", "OpenApi")],
        ..NOTHING
    },
];
