//! Reads a JSON object in which nothing is ambiguous: no name occurs twice at any depth, and no string holds U+0000.
//!
//! Parsers disagree on which of two equal names counts, so a document that has them means different things to different readers
//! (RFC 8259 §4). Postgres cannot store U+0000, so it is refused where it comes in.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not an unambiguous JSON object. The text itself is not repeated, since it may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStrictJson {
    /// It is not well-formed JSON, nests too deep, or has a number out of range.
    #[error("not well-formed JSON at line {line}, column {column}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A name occurs twice in one object.
    #[error("a name occurs twice in one object")]
    DuplicateName,
    /// It is well-formed but not an object.
    #[error("not an object")]
    NotAnObject,
    /// A string holds U+0000.
    #[error("a string holds the character U+0000")]
    Nul,
}

/// The object in `text`.
///
/// # Errors
/// [`NotStrictJson`] says what is wrong with it.
pub fn object(text: &[u8]) -> Result<Map<String, Value>, NotStrictJson> {
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { fault: &fault }.deserialize(&mut deserializer);
    match value.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(NotStrictJson::NotAnObject),
        Err(error) => {
            Err(fault.get().unwrap_or(NotStrictJson::Malformed { line: error.line(), column: error.column() }))
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    fault: &'a Cell<Option<NotStrictJson>>,
}

impl Strict<'_> {
    fn fail<E: serde::de::Error>(self, fault: NotStrictJson) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("unambiguous JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        if value.contains('\0') { Err(self.fail(NotStrictJson::Nul)) } else { Ok(value.into()) }
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.contains('\0') {
                return Err(self.fail(NotStrictJson::Nul));
            }
            if object.contains_key(&name) {
                return Err(self.fail(NotStrictJson::DuplicateName));
            }
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_object_is_read_as_serde_reads_it() {
        let text = r#"{"a": [1, -2, 3.5, true, null, "é"], "b": {"c": {}}}"#;
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn each_ambiguity_has_its_own_refusal() {
        assert_eq!(object(br#"{"a":1,"a":2}"#), Err(NotStrictJson::DuplicateName));
        assert_eq!(object(br#"{"a":[{"b":1,"\u0062":2}]}"#), Err(NotStrictJson::DuplicateName));
        assert_eq!(object(br#"{"a":"x\u0000"}"#), Err(NotStrictJson::Nul));
        assert_eq!(object(br#"{"\u0000":1}"#), Err(NotStrictJson::Nul));
        assert_eq!(object(b"[1]"), Err(NotStrictJson::NotAnObject));
    }

    #[test]
    fn what_is_not_json_is_malformed_wherever_it_breaks() {
        for text in ["", "{", r#"{"a":1}x"#, r#"{"a":1e999}"#, r#"{"a":NaN}"#, r#"{"a":"\ud800"}"#, &"[".repeat(200)] {
            assert!(matches!(object(text.as_bytes()), Err(NotStrictJson::Malformed { .. })), "{text}");
        }
        assert!(matches!(object(b"{\"a\":\"\xff\"}"), Err(NotStrictJson::Malformed { .. })));
    }
}
