//! What a verified token's claims must say: present, of the right type, meant for here, and in time.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::{access_token::AccessTokenClaims, audience::AudienceName, subject::Subject};

use super::{token_refused::TokenRefused, verifier::Expected};

/// Checks every claim; presence is required here, since josekit's own validator checks only what is there.
///
/// # Errors
/// [`TokenRefused`] names the first broken rule.
pub(super) fn check(payload: Map<String, Value>, expected: &Expected<'_>) -> Result<AccessTokenClaims, TokenRefused> {
    let mut rest = Rest(payload);
    let nbf = rest.optional("nbf", |value| seconds(&value))?;
    let claims = AccessTokenClaims {
        iss: rest.required("iss", text)?,
        sub: rest.required("sub", |value| Subject::parse(text(value)?).ok())?,
        aud: rest.required("aud", |value| AudienceName::parse(text(value)?).ok())?,
        iat: rest.required("iat", |value| seconds(&value))?,
        exp: rest.required("exp", |value| seconds(&value))?,
        jti: rest.required("jti", text)?,
        sid: rest.required("sid", |value| text(value)?.parse().ok())?,
        auth_time: rest.required("auth_time", |value| seconds(&value))?,
        amr: rest.optional("amr", texts)?.unwrap_or_default(),
        acr: rest.optional("acr", text)?,
        scope: rest.optional("scope", text)?,
        client_id: rest.optional("client_id", text)?,
        custom: rest.0.into_iter().collect(),
    };
    if claims.iss != expected.issuer {
        return Err(TokenRefused::WrongIssuer);
    }
    if expected.audience.is_some_and(|audience| claims.aud != *audience) {
        return Err(TokenRefused::WrongAudience);
    }
    let (earliest, latest) = window(expected);
    if nanoseconds(claims.exp) <= earliest {
        Err(TokenRefused::Expired)
    } else if nanoseconds(claims.iat) > latest {
        Err(TokenRefused::IssuedInFuture)
    } else if nbf.is_some_and(|nbf| nanoseconds(nbf) > latest) {
        Err(TokenRefused::NotYetValid)
    } else {
        Ok(claims)
    }
}

/// The claims that were not taken yet; what stays is custom.
struct Rest(Map<String, Value>);

impl Rest {
    fn required<T>(&mut self, name: &'static str, read: impl Fn(Value) -> Option<T>) -> Result<T, TokenRefused> {
        self.optional(name, read)?.ok_or(TokenRefused::ClaimMissing(name))
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<T>, TokenRefused> {
        self.0.remove(name).map(|value| read(value).ok_or(TokenRefused::ClaimMalformed(name))).transpose()
    }
}

fn text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn texts(value: Value) -> Option<Vec<String>> {
    if let Value::Array(values) = value { values.into_iter().map(text).collect() } else { None }
}

/// A time as we write it: a whole number, never negative, never with a fraction.
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().filter(|seconds| *seconds >= 0)
}

fn nanoseconds(seconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000
}

/// The instants between which "now" may lie elsewhere, in nanoseconds since the epoch.
fn window(expected: &Expected<'_>) -> (i128, i128) {
    let now = expected.now.unix_timestamp_nanos();
    let leeway = whole_nanoseconds(expected.leeway);
    (now.saturating_sub(leeway), now.saturating_add(leeway))
}

fn whole_nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
