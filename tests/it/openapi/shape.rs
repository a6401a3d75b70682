//! As much of JSON Schema as the document uses.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Checks that a value has the shape that a schema of the document describes.
pub(super) fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{at}: {reference} leads nowhere"));
        return fits(document, schema, value, at);
    }
    if let Some(expected) = schema.get("const") {
        assert_eq!(value, expected, "{at}");
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value} is none of {allowed:?}");
    }
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    assert!(kinds.is_empty() || kinds.iter().any(|kind| is(value, kind)), "{at}: {value} is none of {kinds:?}");
    if schema["format"] == "date-time"
        && let Some(text) = value.as_str()
    {
        assert!(OffsetDateTime::parse(text, &Rfc3339).is_ok(), "{at}: {text}");
    }
    if let Some(minimum) = schema["minimum"].as_i64() {
        assert!(value.as_i64().is_none_or(|value| value >= minimum), "{at}: {value}");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item, at);
    }
    let Some(members) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(members.contains_key(required), "{at}: no {required}");
    }
    for (name, member) in members {
        match schema["properties"].get(name) {
            Some(schema) => fits(document, schema, member, &format!("{at}.{name}")),
            None => assert_ne!(schema["additionalProperties"], false, "{at}: {name} is not told of"),
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => false,
    }
}
