//! A JSON object from a client that may send one. Extractors of one handler run side by side; here one waits for the other.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::{
    fields::Fields,
    granted::{Granted, Needs},
    json_body::JsonBody,
};
use crate::http::problem::Problem;

/// The fields that a client with the scope `S` sent. Of anyone else not a byte of the body is read, and nothing said of it.
#[derive(Debug)]
pub struct GrantedJson<S: Needs> {
    /// Who sent it.
    pub granted: Granted<S>,
    /// What it says.
    pub fields: Fields,
}

impl<S: Needs> FromRequest for GrantedJson<S> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let granted = Granted::from_request(&request, &mut payload).await?;
            let JsonBody(fields) = JsonBody::from_request(&request, &mut payload).await?;
            Ok(Self { granted, fields })
        })
    }
}
