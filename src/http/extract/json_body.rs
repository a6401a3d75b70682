//! A JSON object read from a request: whole, in time, within bounds, and without anything ambiguous in it.

use std::{future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, BytesMut, Data},
};
use futures_util::StreamExt as _;

use super::fields::Fields;
use crate::{
    domain::strict_json::{self, NotStrictJson},
    http::{problem::Problem, state::AppState},
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
            demand_json(&request)?;
            let body = read(&request, payload).await?;
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

fn demand_json(request: &HttpRequest) -> Result<(), Problem> {
    const WANTED: Problem = Problem::UnsupportedMediaType("application/json in UTF-8, without a content coding");
    let mut types = request.headers().get_all(header::CONTENT_TYPE);
    let (Some(_), None) = (types.next(), types.next()) else { return Err(WANTED) };
    let mime = request.mime_type().ok().flatten().ok_or(WANTED)?;
    let utf_8 = mime.get_param("charset").is_none_or(|charset| charset.as_str().eq_ignore_ascii_case("utf-8"));
    if mime.essence_str() != "application/json" || !utf_8 || request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(WANTED);
    }
    Ok(())
}

async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Problem> {
    let limits = request.app_data::<Data<AppState>>().ok_or(Problem::Internal)?.limits;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: u64| announced > limits.max_body as u64) {
        return Err(Problem::BodyTooLarge);
    }
    let whole = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::BadRequest("the body broke off".into()))?;
            if body.len() + chunk.len() > limits.max_body {
                return Err(Problem::BodyTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(limits.body_timeout, whole).await.unwrap_or(Err(Problem::RequestTimeout))
}
