//! Strict JSON against a model that keeps every member of an object, equal names included.
#![no_main]

use std::fmt;

use ephemint::domain::strict_json;
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let model = serde_json::from_slice::<Model>(input);
    let unambiguous = matches!(&model, Ok(model @ Model::Object(_)) if model.is_unambiguous());
    match strict_json::object(input) {
        Ok(object) => {
            assert!(unambiguous, "an ambiguous text was read");
            let value = Value::Object(object);
            assert_eq!(value, serde_json::from_slice::<Value>(input).expect("strict JSON is JSON"));
            // Not compared: serde_json reads fractions fast, not exactly, so that one may move by its last bit each time.
            let again = serde_json::to_vec(&value).expect("what was read can be written");
            assert!(strict_json::object(&again).is_ok(), "what was written cannot be read");
        }
        Err(refused) => assert!(!unambiguous, "an unambiguous object was refused: {refused}"),
    }
});

/// JSON with its objects as lists.
enum Model {
    Scalar,
    Text(String),
    Array(Vec<Model>),
    Object(Vec<(String, Model)>),
}

impl Model {
    fn is_unambiguous(&self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Text(text) => !text.contains('\0'),
            Self::Array(elements) => elements.iter().all(Self::is_unambiguous),
            Self::Object(members) => members.iter().enumerate().all(|(at, (name, value))| {
                let is_new = members[..at].iter().all(|(earlier, _)| earlier != name);
                is_new && !name.contains('\0') && value.is_unambiguous()
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Model;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Model, E> {
        Ok(Model::Scalar)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Model, E> {
        Ok(Model::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Model, E> {
        Ok(Model::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Model, E> {
        Ok(Model::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Model, E> {
        Ok(Model::Scalar)
    }

    fn visit_str<E>(self, text: &str) -> Result<Model, E> {
        Ok(Model::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Model, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Model::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Model, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Model::Object(object))
    }
}
