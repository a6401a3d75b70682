//! `GET /openapi.json`: every route of the three listeners as one `OpenAPI` 3.1 document, made from a table.
//!
//! `operations` is the table, `schemas` are the shapes that it names. A test asks every operation of a running service and
//! holds its answers against their shapes; another finds each registered route in the table.

mod operations;
mod schemas;

use actix_web::{HttpResponse, web::Data};
use serde_json::{Map, Value, json};

pub use self::operations::{Answer, Body, Listener, Operation, Parameter, operations};
use super::{problem, state::AppState};
use crate::version;

/// `GET /openapi.json`, without a credential: it says nothing that the documentation doesn't.
pub async fn show(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().json(document(&state.origin))
}

/// The document. `origin` is where browsers are; the other listeners are private, so their addresses are left to fill in.
#[must_use]
pub fn document(origin: &str) -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        let servers: Vec<_> = operation.listeners.iter().map(|listener| server(*listener, origin)).collect();
        let mut described = describe(operation);
        described["servers"] = Value::Array(servers);
        path[operation.method.to_ascii_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ephemint",
            "version": version::VERSION,
            "summary": "Revocable sessions outside, stateless tokens inside.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": Listener::ALL.map(|listener| json!({ "name": listener.name(), "description": listener.purpose() })),
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "responses": problems(),
            "securitySchemes": {
                "session_cookie": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-session",
                    "description": "The session token; the name is the setting session.cookie_name.",
                },
                "session_header": {
                    "type": "http", "scheme": "Session",
                    "description": "The session token of an app that keeps no cookies: `Authorization: Session <token>`.",
                },
                "client_secret": {
                    "type": "http", "scheme": "bearer",
                    "description": "The secret that `ephemint clients add` has shown.",
                },
            },
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut answers = Map::new();
    for answer in operation.answers {
        let mut described = json!({ "description": answer.meaning });
        if let Some(schema) = answer.schema {
            described["content"] = content(answer.media_type, schema);
        }
        answers.insert(answer.status.to_string(), described);
    }
    let mut by_status: Map<String, Value> = Map::new();
    for code in operation.problems {
        let Some(row) = problem::TABLE.iter().find(|row| row.code == *code) else { continue };
        let named = by_status.entry(row.status.to_string()).or_insert_with(|| json!([]));
        if let Some(named) = named.as_array_mut() {
            named.push(json!(row.code));
        }
    }
    for (status, codes) in by_status {
        let names: Vec<_> = codes.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let described = match names.as_slice() {
            [one] => json!({ "$ref": format!("#/components/responses/{one}") }),
            several => json!({
                "description": format!("One of: {}.", several.join(", ")),
                "content": content("application/problem+json", "Problem"),
            }),
        };
        // What the route says itself is more exact.
        let _ = answers.entry(status).or_insert(described);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": operation.listeners.iter().map(|listener| listener.name()).collect::<Vec<_>>(),
        "responses": answers,
        "security": security(operation),
    });
    let parameters: Vec<_> =
        path_parameters(operation.path).chain(operation.parameters.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = &operation.body {
        let contents: Map<_, _> =
            body.media_types.iter().map(|media| ((*media).to_owned(), schema_of(body.schema))).collect();
        described["requestBody"] = json!({ "required": body.required, "content": contents });
    }
    described
}

fn security(operation: &Operation) -> Value {
    match (operation.scope, operation.by_session) {
        (Some(scope), _) => json!([{ "client_secret": [scope] }]),
        (None, true) => json!([{ "session_cookie": [] }, { "session_header": [] }]),
        (None, false) => json!([]),
    }
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.meaning,
        "schema": { "type": parameter.kind },
    })
}

fn path_parameters(path: &'static str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
}

fn content(media_type: &str, schema: &str) -> Value {
    json!({ media_type: schema_of(schema) })
}

fn schema_of(name: &str) -> Value {
    json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } })
}

fn server(listener: Listener, origin: &str) -> Value {
    match listener {
        Listener::Public => json!({ "url": origin, "description": listener.purpose() }),
        Listener::Gateway | Listener::Admin => json!({
            "url": "http://{address}",
            "description": listener.purpose(),
            "variables": { "address": { "default": listener.default_address() } },
        }),
    }
}

fn problems() -> Value {
    let described = problem::TABLE.iter().map(|row| {
        let problem = json!({
            "description": format!("{}. {}", row.title, row.remedy),
            "content": content("application/problem+json", "Problem"),
        });
        (row.code.to_owned(), problem)
    });
    Value::Object(described.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document("https://app.example.com");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_known_problems() {
        let ids: HashSet<_> = operations().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), operations().count());
        for operation in operations() {
            for code in operation.problems {
                assert!(problem::TABLE.iter().any(|row| row.code == *code), "{}: {code}", operation.id);
            }
        }
    }
}
