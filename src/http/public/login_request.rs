//! What a sign-in sends: a form or a JSON object, with the same fields.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};

use crate::{
    domain::{password::Password, return_to::ReturnTo},
    http::{
        extract::{
            fields::{Fields, invalid},
            form_body::{FormBody, is_form},
            json_body::JsonBody,
        },
        presented_token::Transport,
        problem::Problem,
    },
};

/// A name, a password, and what is to come of them.
#[derive(Debug)]
pub struct LoginRequest {
    /// As it was typed.
    pub(super) username: String,
    /// As it was typed.
    pub(super) password: Password,
    /// Where to go afterwards, as it was asked for; empty where it was not.
    pub(super) return_to: String,
    /// How the session token is given.
    pub(super) transport: Transport,
    /// Whether a form sent it, and so a person waits for a page.
    pub(super) by_form: bool,
}

impl FromRequest for LoginRequest {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            if is_form(&request) {
                let FormBody(fields) = FormBody::from_request(&request, &mut payload).await?;
                return read(fields, true);
            }
            if request.content_type() != "application/json" {
                return Err(Problem::UnsupportedMediaType(
                    "application/x-www-form-urlencoded or application/json in UTF-8, without a content coding",
                ));
            }
            let JsonBody(fields) = JsonBody::from_request(&request, &mut payload).await?;
            read(fields, false)
        })
    }
}

fn read(mut fields: Fields, by_form: bool) -> Result<LoginRequest, Problem> {
    let mut typed = |field| fields.any_text(field)?.ok_or_else(|| invalid(field, "required; a string"));
    let username = typed("username")?;
    let password = Password::from(typed("password")?);
    let return_to = fields.any_text("return_to")?.unwrap_or_default();
    let transport = if by_form { None } else { fields.any_text("transport")? };
    let transport = match transport.as_deref() {
        None | Some("cookie") => Transport::Cookie,
        Some("header") => Transport::Header,
        Some(_) => return Err(invalid("transport", "cookie or header")),
    };
    fields.finish()?;
    Ok(LoginRequest { username, password, return_to, transport, by_form })
}

/// The `return_to` of a query. Other parameters are nobody's business.
///
/// # Errors
/// [`Problem::BadRequest`] when it occurs twice.
pub(super) fn return_to_of_query(request: &HttpRequest, origin: &str) -> Result<ReturnTo, Problem> {
    let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let mut found = pairs.filter(|(name, _)| name == "return_to").map(|(_, value)| value);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(Problem::BadRequest("return_to occurs twice".into())),
        // What was no text before it was repaired leads nowhere.
        (Some(value), None) if !value.contains('\u{fffd}') => Ok(ReturnTo::parse(&value, origin)),
        _ => Ok(ReturnTo::default()),
    }
}
