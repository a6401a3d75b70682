//! Takes the fields of a JSON object one by one. What is missing, of the wrong type or left over is a problem that names it.

use serde_json::{Map, Value};

use crate::http::problem::Problem;

/// The fields of an object that have not been taken yet.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// All fields of an object.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self { object, known: Vec::new() }
    }

    /// Takes a field that may be absent; null counts as absent.
    pub fn optional(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.object.remove(field).filter(|value| !value.is_null())
    }

    /// Takes a text that may be absent.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] when it is not a string of at most `max` bytes without control characters.
    pub fn optional_text(&mut self, field: &'static str, max: usize) -> Result<Option<String>, Problem> {
        let Some(value) = self.optional(field) else { return Ok(None) };
        let allowed = |text: &String| !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control);
        match value {
            Value::String(text) if allowed(&text) => Ok(Some(text)),
            _ => Err(invalid(field, format!("a string of 1 to {max} bytes without control characters"))),
        }
    }

    /// Takes a text of any length and content, which may be absent. For what somebody typed, and is judged elsewhere.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] when it is not a string.
    pub fn any_text(&mut self, field: &'static str) -> Result<Option<String>, Problem> {
        match self.optional(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(field, "a string")),
        }
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] when it is absent or breaks the rule of [`Self::optional_text`].
    pub fn text(&mut self, field: &'static str, max: usize) -> Result<String, Problem> {
        self.optional_text(field, max)?
            .ok_or_else(|| invalid(field, format!("required; a string of 1 to {max} bytes without control characters")))
    }

    /// Takes a switch that may be absent.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] when it is neither true nor false.
    pub fn optional_switch(&mut self, field: &'static str) -> Result<Option<bool>, Problem> {
        match self.optional(field) {
            None => Ok(None),
            Some(Value::Bool(switch)) => Ok(Some(switch)),
            Some(_) => Err(invalid(field, "true or false")),
        }
    }

    /// Ends the taking: no other field may be left.
    ///
    /// # Errors
    /// [`Problem::BadRequest`] that lists the fields the route takes.
    pub fn finish(self) -> Result<(), Problem> {
        if self.object.is_empty() {
            return Ok(());
        }
        // The unknown name is not repeated: it may be a secret in the wrong place.
        Err(Problem::BadRequest(format!("unknown field; this route takes {}", self.known.join(", ")).into()))
    }

    /// The same, where an unknown name is said as long as it can only be a word: a filter that leaves out what somebody meant would
    /// be worse than none.
    ///
    /// # Errors
    /// [`Problem::BadRequest`] that names the field and lists those the route takes.
    pub fn finish_by_name(self) -> Result<(), Problem> {
        match self.object.keys().next().map(String::as_str) {
            None => Ok(()),
            Some(name) if is_word(name) => Err(Problem::BadRequest(
                format!("unknown field {name}; this route takes {}", self.known.join(", ")).into(),
            )),
            Some(_) => self.finish(),
        }
    }
}

/// Whether a name can be nothing but a misspelt or made-up one of ours: no secret of this service is so short, and in lower case.
#[must_use]
pub(super) fn is_word(name: &str) -> bool {
    (1..=24).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A problem with one field.
#[must_use]
pub fn invalid(field: &'static str, allowed: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::InvalidField { field, allowed: allowed.into() }
}
