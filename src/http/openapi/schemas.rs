//! The shapes of bodies, as JSON Schema (2020-12, the dialect of `OpenAPI` 3.1).

use serde_json::{Map, Value, json};

/// Every shape by its name.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    for part in [problems(), sessions(), own_sessions(), keys(), documents(), operations()] {
        schemas.extend(part);
    }
    Value::Object(schemas)
}

/// An object all of whose members are always there, and nothing else.
#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn object(members: Value) -> Value {
    let required: Vec<_> = members.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    json!({ "type": "object", "properties": members, "required": required, "additionalProperties": false })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list_of(name: &str) -> Value {
    json!({ "type": "array", "items": reference(name) })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn instant() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn maybe(of: &str) -> Value {
    json!({ "type": [of, "null"] })
}

fn maybe_instant() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn whole_number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn texts() -> Value {
    json!({ "type": "array", "items": text() })
}

fn session_id() -> Value {
    json!({ "type": "string", "format": "uuid", "description": "The session's public handle; `sid` in its tokens." })
}

/// By name, so that two shapes cannot share one.
fn named<const N: usize>(shapes: [(&str, Value); N]) -> Map<String, Value> {
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

fn problems() -> Map<String, Value> {
    let mut problem = object(json!({
        "type": { "type": "string", "format": "uri" },
        "title": text(),
        "status": { "type": "integer" },
        "code": { "type": "string", "description": "Stable; for programs." },
    }));
    problem["properties"]["detail"] =
        json!({ "type": "string", "description": "Which rule was broken; never repeats input." });
    problem["description"] = json!("RFC 9457.");
    named([("Problem", problem)])
}

fn sessions() -> Map<String, Value> {
    let status = ["active", "revoked", "subject_disabled", "expired", "idle", "reauthentication_needed"];
    named([
        (
            "StartSession",
            json!({
                "type": "object",
                "properties": {
                    "subject": { "type": "string", "minLength": 1, "maxLength": 255 },
                    "amr": { "type": "array", "items": text(), "maxItems": 10, "description": "RFC 8176." },
                    "acr": { "type": "string", "maxLength": 64 },
                    "auth_time": { "type": ["integer", "string"], "description": "Seconds since 1970, or RFC 3339; not later than now." },
                    "claims": { "type": "object", "maxProperties": 32 },
                    "device": { "type": "string", "maxLength": 256 },
                    "ip": text(),
                },
                "required": ["subject"],
                "additionalProperties": false,
            }),
        ),
        (
            "StartedSession",
            object(json!({
                "session_id": session_id(),
                "session_token": { "type": "string", "description": "The cookie's exact value, shown this once." },
                "set_cookie": { "type": "string", "description": "A whole `Set-Cookie` value for the browser." },
                "expires_at": instant(),
            })),
        ),
        (
            "Session",
            object(json!({
                "session_id": session_id(), "subject": text(), "status": { "type": "string", "enum": status },
                "created_at": instant(), "auth_time": instant(), "last_seen_at": instant(),
                "idle_expires_at": instant(), "expires_at": instant(), "revoked_at": maybe_instant(),
                "reauthenticate_since": maybe_instant(), "amr": texts(), "acr": maybe("string"),
                "claims": { "type": "object" }, "device": maybe("string"), "ip": maybe("string"),
            })),
        ),
        ("Sessions", object(json!({ "sessions": list_of("Session"), "next_cursor": maybe("string") }))),
        (
            "Revoked",
            object(json!({
                "revoked": { "type": ["integer", "null"], "description": "How many live sessions ended; null where there are too many to count in time." },
                "effective_by": { "type": "string", "format": "date-time", "description": "From then on no replica mints for them." },
            })),
        ),
    ])
}

fn own_sessions() -> Map<String, Value> {
    let own = json!({
        "session_id": session_id(), "subject": text(), "created_at": instant(), "auth_time": instant(),
        "last_seen_at": instant(), "idle_expires_in": whole_number(), "absolute_expires_in": whole_number(),
        "amr": texts(), "csrf_token": text(),
    });
    let mut renewed = object(own.clone());
    renewed["properties"]["session_token"] = json!({
        "type": ["string", "null"],
        "description": "The new token of a client that sent `Authorization: Session`; null where a parallel request has brought it.",
    });
    let mut signed_in = object(own.clone());
    signed_in["properties"]["return_to"] = text();
    signed_in["properties"]["expires_at"] = instant();
    signed_in["properties"]["session_token"] =
        json!({ "type": "string", "description": "Where `transport` is `header`." });
    named([
        ("OwnSession", object(own)),
        ("RenewedSession", renewed),
        ("SignedIn", signed_in),
        (
            "SignIn",
            json!({
                "type": "object",
                "properties": {
                    "username": text(), "password": text(), "return_to": text(),
                    "transport": { "type": "string", "enum": ["cookie", "header"], "default": "cookie" },
                },
                "required": ["username", "password"],
            }),
        ),
        (
            "CsrfForm",
            json!({
                "type": "object",
                "properties": { "csrf_token": { "type": "string", "description": "As in `GET /session`." } },
                "required": ["csrf_token"],
            }),
        ),
        (
            "OwnDevice",
            object(json!({
                "session_id": session_id(), "current": { "type": "boolean" }, "device": maybe("string"), "ip": maybe("string"),
                "created_at": instant(), "auth_time": instant(), "last_seen_at": instant(), "expires_at": instant(),
            })),
        ),
        ("OwnDevices", object(json!({ "sessions": list_of("OwnDevice") }))),
    ])
}

fn keys() -> Map<String, Value> {
    named([
        (
            "SigningKeys",
            json!({
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "kid": text(), "algorithm": text(),
                        "state": { "type": "string", "enum": ["pending", "active", "retired"] },
                    },
                    "required": ["kid", "algorithm", "state"],
                },
            }),
        ),
        (
            "Rotations",
            object(json!({
                "rotations": {
                    "type": "array",
                    "items": object(json!({ "algorithm": text(), "kid": text(), "activates_at": instant() })),
                },
            })),
        ),
        (
            "KeySet",
            object(json!({
                "keys": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": { "kty": text(), "use": { "const": "sig" }, "alg": text(), "kid": text() },
                        "required": ["kty", "use", "alg", "kid"],
                        "description": "RFC 7517; public members only.",
                    },
                },
            })),
        ),
    ])
}

fn documents() -> Map<String, Value> {
    named([
        (
            "Discovery",
            json!({
                "type": "object",
                "properties": { "issuer": text(), "jwks_uri": text() },
                "required": ["issuer", "jwks_uri"],
            }),
        ),
        ("Page", json!({ "type": "string", "description": "HTML for people." })),
        (
            "Statement",
            json!({ "type": "string", "description": "A JWS in compact form; its `typ` is `revocations+jwt`." }),
        ),
        ("Nothing", json!({ "type": "string", "maxLength": 0 })),
    ])
}

fn operations() -> Map<String, Value> {
    let checks = ["database", "schema", "signing_key", "not_draining"];
    let checks: Map<_, _> = checks
        .iter()
        .map(|check| ((*check).to_owned(), json!({ "type": "string", "enum": ["ok", "failing"] })))
        .collect();
    named([
        ("Live", object(json!({ "status": { "const": "live" } }))),
        (
            "Readiness",
            object(json!({
                "status": { "type": "string", "enum": ["ready", "not ready"] },
                "checks": object(Value::Object(checks)),
            })),
        ),
        ("Version", object(json!({ "version": text(), "commit": text() }))),
        ("Metrics", json!({ "type": "string", "description": "The Prometheus text format." })),
        ("OpenApi", json!({ "type": "object" })),
    ])
}
