//! Takes the parameters of a query string one by one: nothing twice, nothing that is not text, nothing left over.

use std::collections::BTreeMap;

use actix_web::HttpRequest;

use super::fields::is_word;
use crate::http::problem::Problem;

/// The parameters of a query string that have not been taken yet.
#[derive(Debug)]
pub struct Query {
    parameters: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Query {
    /// All parameters of a request.
    ///
    /// # Errors
    /// [`Problem::BadRequest`] for a name that occurs twice, or bytes that are not UTF-8 behind their percent escapes.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            if value.contains(['\u{fffd}', '\0']) {
                return Err(Problem::BadRequest("a query parameter is not valid UTF-8 or holds U+0000".into()));
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(Problem::BadRequest("a query parameter occurs twice".into()));
            }
        }
        Ok(Self { parameters, known: Vec::new() })
    }

    /// Takes a parameter that may be absent.
    pub fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.parameters.remove(name)
    }

    /// Ends the taking: no other parameter may be left.
    ///
    /// # Errors
    /// [`Problem::BadRequest`] that lists the parameters the route takes.
    pub fn finish(self) -> Result<(), Problem> {
        if self.parameters.is_empty() {
            return Ok(());
        }
        // The unknown name is not repeated: it may be a secret in the wrong place.
        Err(Problem::BadRequest(format!("unknown query parameter; this route takes {}", self.known.join(", ")).into()))
    }

    /// The same, where an unknown name is said as long as it can only be a word.
    ///
    /// # Errors
    /// [`Problem::BadRequest`] that names the parameter and lists those the route takes.
    pub fn finish_by_name(self) -> Result<(), Problem> {
        match self.parameters.keys().next().map(String::as_str) {
            None => Ok(()),
            Some(name) if is_word(name) => {
                let known = self.known.join(", ");
                Err(Problem::BadRequest(format!("unknown query parameter {name}; this route takes {known}").into()))
            }
            Some(_) => self.finish(),
        }
    }
}
