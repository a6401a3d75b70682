//! What proxies and services may ask, and what both they and browsers may.

use super::{Answer, IF_NONE_MATCH, Listener, NOTHING, Operation, Parameter, UNCHANGED, empty, ok, page, query};
use crate::{
    http::gateway::{EXCHANGE as EXCHANGE_PATH, EXCHANGE_FOR},
    service::revocations::MEDIA_TYPE,
};

const GATEWAY: &[Listener] = &[Listener::Gateway];
const BOTH: &[Listener] = &[Listener::Public, Listener::Gateway];

const EXCHANGE: &[Answer] = &[
    empty(
        200,
        "A live session: exactly one `Authorization: Bearer <jwt>`, and `X-Upstream-Cookie` with the request's other cookies.",
    ),
    empty(401, "No live session, whatever the reason; `WWW-Authenticate: Session`."),
    empty(403, "A live session that policy refuses; a step-up has a challenge (RFC 9470) in `WWW-Authenticate`."),
    empty(503, "It cannot be decided; `Retry-After`."),
];
const EXCHANGE_HEADERS: &[Parameter] = &[
    Parameter {
        name: "X-Forwarded-Method",
        place: "header",
        kind: "string",
        required: false,
        meaning: "The method of the request that the gateway asks about; without it nothing counts as a write.",
    },
    Parameter {
        name: "Sec-Fetch-Site",
        place: "header",
        kind: "string",
        required: false,
        meaning: "As the browser sent it: a write from another site is refused.",
    },
];

const LAST_EVENT_ID: Parameter = Parameter {
    name: "Last-Event-ID",
    place: "header",
    kind: "string",
    required: false,
    meaning: "The last event that was received; what came since is told.",
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "showAsset",
        listeners: BOTH,
        path: "/assets/{name}",
        summary: "What the pages link to",
        answers: &[page(200, "A style sheet, a script or an image."), UNCHANGED],
        ..NOTHING
    },
    Operation {
        id: "showProblem",
        listeners: BOTH,
        path: "/problems/{code}",
        summary: "What a problem's `type` leads to",
        answers: &[page(200, "The page.")],
        ..NOTHING
    },
    Operation {
        id: "showKeySet",
        listeners: BOTH,
        path: "/.well-known/jwks.json",
        parameters: &[IF_NONE_MATCH],
        summary: "The key set (RFC 7517) of the main issuer",
        answers: &[ok("The keys.", "KeySet"), UNCHANGED],
        problems: &["unavailable"],
        ..NOTHING
    },
    Operation {
        id: "discoverOpenId",
        listeners: BOTH,
        path: "/.well-known/openid-configuration",
        parameters: &[IF_NONE_MATCH],
        summary: "Discovery for validators that want an issuer only",
        answers: &[ok("The document.", "Discovery"), UNCHANGED],
        ..NOTHING
    },
    Operation {
        id: "discoverOauth",
        listeners: BOTH,
        path: "/.well-known/oauth-authorization-server",
        parameters: &[IF_NONE_MATCH],
        summary: "The same, where RFC 8414 looks for it",
        answers: &[ok("The document.", "Discovery"), UNCHANGED],
        ..NOTHING
    },
    Operation {
        id: "showRevocations",
        listeners: GATEWAY,
        path: "/revocations",
        parameters: &[
            IF_NONE_MATCH,
            query(
                "wait",
                "string",
                "With `If-None-Match`: answer 304 only after that time, such as `30s`; at most 60 s.",
            ),
            LAST_EVENT_ID,
        ],
        summary: "The sessions revoked so lately that their tokens could still live; as events too (`text/event-stream`)",
        answers: &[
            Answer { status: 200, meaning: "A signed statement.", media_type: MEDIA_TYPE, schema: Some("Statement") },
            UNCHANGED,
        ],
        problems: &["unavailable"],
        ..NOTHING
    },
    Operation {
        id: "exchangeForDefault",
        listeners: GATEWAY,
        path: EXCHANGE_PATH,
        by_session: true,
        parameters: EXCHANGE_HEADERS,
        summary: "A token for the default audience; any method, bodies are neither read nor sent",
        answers: EXCHANGE,
        ..NOTHING
    },
    Operation {
        id: "exchange",
        listeners: GATEWAY,
        path: EXCHANGE_FOR,
        by_session: true,
        parameters: EXCHANGE_HEADERS,
        summary: "A token for an audience; any method, bodies are neither read nor sent",
        answers: EXCHANGE,
        ..NOTHING
    },
];
