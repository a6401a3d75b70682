//! The body of `POST /admin/sessions`, read field by field.

use std::net::IpAddr;

use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    domain::{
        access_token::RESERVED_CLAIMS,
        session::Claims,
        subject::{MAX_LENGTH, Subject},
    },
    http::{
        extract::fields::{Fields, invalid},
        problem::Problem,
    },
    service::sessions::StartSession,
};

/// How far ahead of ours a caller's clock may be.
const CLOCK_TOLERANCE: Duration = Duration::seconds(5);
const MAX_METHODS: usize = 10;
const MAX_METHOD_LENGTH: usize = 32;
const MAX_ACR_LENGTH: usize = 64;
const MAX_DEVICE_LENGTH: usize = 256;
const MAX_CLAIMS: usize = 32;
const MAX_CLAIM_NAME_LENGTH: usize = 64;
const MAX_CLAIMS_LENGTH: usize = 4 * 1_024;

/// What the body asks for.
///
/// # Errors
/// [`Problem::InvalidField`] names the first field that is wrong, [`Problem::BadRequest`] one that is unknown.
pub fn read(mut fields: Fields, now: OffsetDateTime) -> Result<StartSession, Problem> {
    let subject = fields.text("subject", MAX_LENGTH)?;
    let subject = Subject::parse(subject).map_err(|error| invalid("subject", error.to_string()))?;
    let amr = fields.optional("amr").map_or(Ok(Vec::new()), methods)?;
    let acr = fields.optional_text("acr", MAX_ACR_LENGTH)?;
    let auth_time = fields.optional("auth_time").map(|value| instant(&value, now)).transpose()?;
    let claims = fields.optional("claims").map_or(Ok(Claims::new()), claims)?;
    let device = fields.optional_text("device", MAX_DEVICE_LENGTH)?;
    let ip = fields.optional_text("ip", 45)?.map(|text| text.parse::<IpAddr>());
    let ip = ip.transpose().map_err(|_| invalid("ip", "an IPv4 or IPv6 address"))?.map(|ip| ip.to_canonical());
    fields.finish()?;
    Ok(StartSession { subject, amr, acr, auth_time, claims, device, ip, method: "admin_api" })
}

fn methods(value: Value) -> Result<Vec<String>, Problem> {
    let wrong = || {
        invalid("amr", format!("at most {MAX_METHODS} strings of 1 to {MAX_METHOD_LENGTH} visible ASCII characters"))
    };
    let Value::Array(values) = value else { return Err(wrong()) };
    let method = |value| match value {
        Value::String(text)
            if (1..=MAX_METHOD_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(text)
        }
        _ => Err(wrong()),
    };
    if values.len() > MAX_METHODS { Err(wrong()) } else { values.into_iter().map(method).collect() }
}

fn instant(value: &Value, now: OffsetDateTime) -> Result<OffsetDateTime, Problem> {
    let read = match value {
        Value::Number(number) => number.as_i64().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339).ok(),
        _ => None,
    };
    let allowed = |at: &OffsetDateTime| *at >= OffsetDateTime::UNIX_EPOCH && *at <= now + CLOCK_TOLERANCE;
    read.filter(allowed).map(|at| at.min(now)).ok_or_else(|| {
        invalid(
            "auth_time",
            "a time in the past, as seconds since 1970 or as RFC 3339 text such as 2026-01-31T12:00:00Z",
        )
    })
}

fn claims(value: Value) -> Result<Claims, Problem> {
    let Value::Object(object) = value else { return Err(invalid("claims", "an object")) };
    if object.len() > MAX_CLAIMS || Value::Object(object.clone()).to_string().len() > MAX_CLAIMS_LENGTH {
        return Err(invalid("claims", format!("at most {MAX_CLAIMS} members and {MAX_CLAIMS_LENGTH} bytes of JSON")));
    }
    for name in object.keys() {
        if name.is_empty() || name.len() > MAX_CLAIM_NAME_LENGTH || name.chars().any(char::is_control) {
            return Err(invalid(
                "claims",
                format!("names of 1 to {MAX_CLAIM_NAME_LENGTH} bytes without control characters"),
            ));
        }
        if RESERVED_CLAIMS.contains(&name.as_str()) {
            return Err(invalid("claims", format!("other names than {}", RESERVED_CLAIMS.join(", "))));
        }
    }
    Ok(object.into_iter().collect())
}
