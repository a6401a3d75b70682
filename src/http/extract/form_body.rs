//! The fields that an HTML form sent, read strictly.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde_json::Value;

use super::{body, fields::Fields};
use crate::{domain::urlencoded, http::problem::Problem};

/// The one media type of forms; files are sent nowhere.
const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of the form in a request's body, all of them texts.
#[derive(Debug)]
pub struct FormBody(pub Fields);

/// Whether a form sent the request.
#[must_use]
pub fn is_form(request: &HttpRequest) -> bool {
    body::is_of_type(request, FORM)
}

impl FromRequest for FormBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            if !is_form(&request) {
                return Err(Problem::UnsupportedMediaType(
                    "application/x-www-form-urlencoded in UTF-8, without a content coding",
                ));
            }
            let body = body::read(&request, payload).await?;
            let fields = urlencoded::fields(&body)
                .map_err(|fault| Problem::BadRequest(format!("the form cannot be read: {fault}").into()))?;
            Ok(Self(Fields::new(fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect())))
        })
    }
}

/// The fields of a form, where a form sent the request; nothing, unread, where something else did.
#[derive(Debug)]
pub struct MaybeForm(pub Option<Fields>);

impl FromRequest for MaybeForm {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !is_form(request) {
            return Box::pin(async { Ok(Self(None)) });
        }
        let form = FormBody::from_request(request, payload);
        Box::pin(async move { form.await.map(|FormBody(fields)| Self(Some(fields))) })
    }
}
