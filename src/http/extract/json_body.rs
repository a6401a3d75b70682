//! A JSON object read from a request: whole, in time, within bounds, and without anything ambiguous in it.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::{body, fields::Fields};
use crate::{
    domain::strict_json::{self, NotStrictJson},
    http::problem::Problem,
};

/// The fields of the JSON object in a request's body.
#[derive(Debug)]
pub struct JsonBody(pub Fields);

impl FromRequest for JsonBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            if !body::is_of_type(&request, "application/json") {
                return Err(Problem::UnsupportedMediaType("application/json in UTF-8, without a content coding"));
            }
            let body = body::read(&request, payload).await?;
            let object = strict_json::object(&body).map_err(|error| {
                Problem::MalformedJson(match error {
                    NotStrictJson::Malformed { line, column } => {
                        format!("not well-formed JSON at line {line}, column {column}").into()
                    }
                    NotStrictJson::DuplicateName => "a name occurs twice in one object".into(),
                    NotStrictJson::NotAnObject => "the body must be one JSON object".into(),
                    NotStrictJson::Nul => "a string holds the character U+0000".into(),
                })
            })?;
            Ok(Self(Fields::new(object)))
        })
    }
}
