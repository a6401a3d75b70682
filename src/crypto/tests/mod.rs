//! Signing and verifying together. Here: a key of each algorithm, one good token, and the means to spoil it.

mod frames;
mod interop;
mod josekit_traps;
mod refused_claims;
mod refused_headers;
mod refused_signatures;

use std::{sync::LazyLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use time::{OffsetDateTime, macros::datetime};

use crate::domain::{
    access_token::AccessTokenClaims,
    audience::{Algorithm, AudienceName, TokenType},
    session::SessionId,
    subject::Subject,
};

use super::{
    signing_key::SigningKey,
    token_refused::TokenRefused,
    verifier::{Expected, TokenVerifier, VerifiedClaims},
};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
const LEEWAY: Duration = Duration::from_secs(5);
const ISSUER: &str = "https://exchange.example:8443/a";

/// Made once, because RSA keys take long.
static KEYS: LazyLock<[SigningKey; 3]> =
    LazyLock::new(|| ALGORITHMS.map(|algorithm| SigningKey::generate(algorithm).unwrap().key));

fn key(algorithm: Algorithm) -> &'static SigningKey {
    KEYS.iter().find(|key| key.algorithm() == algorithm).unwrap()
}

fn orders() -> AudienceName {
    AudienceName::parse("orders").unwrap()
}

fn claims() -> AccessTokenClaims {
    let now = NOW.unix_timestamp();
    AccessTokenClaims {
        iss: ISSUER.to_owned(),
        sub: Subject::parse("alice").unwrap(),
        aud: orders(),
        iat: now - 5,
        exp: now + 60,
        jti: "0123456789abcdef".to_owned(),
        sid: SessionId::from(uuid::Uuid::from_u128(7)),
        auth_time: now - 100,
        amr: vec!["pwd".to_owned()],
        acr: None,
        scope: Some("read write".to_owned()),
        client_id: None,
        custom: [("roles".to_owned(), serde_json::json!(["buyer"]))].into(),
    }
}

fn good_token(algorithm: Algorithm) -> String {
    key(algorithm).sign(&claims(), TokenType::Jwt).unwrap().expose()
}

fn header(algorithm: Algorithm) -> String {
    format!(r#"{{"alg":"{algorithm}","kid":"{}","typ":"JWT"}}"#, key(algorithm).kid())
}

fn payload() -> String {
    serde_json::to_string(&claims()).unwrap()
}

/// A JSON object with one member's text replaced or added, or left out.
fn with(object: &str, name: &str, text: Option<&str>) -> String {
    let mut members: Vec<(String, String)> = serde_json::from_str::<serde_json::Map<String, Value>>(object)
        .unwrap()
        .into_iter()
        .filter(|(member, _)| member != name)
        .map(|(member, value)| (member, value.to_string()))
        .collect();
    members.extend(text.map(|text| (name.to_owned(), text.to_owned())));
    let members: Vec<String> = members.iter().map(|(member, text)| format!(r#""{member}":{text}"#)).collect();
    format!("{{{}}}", members.join(","))
}

/// A token with a true signature of `key` over whatever is given.
fn forge(key: &SigningKey, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign_raw(message.as_bytes()));
    format!("{message}.{signature}")
}

fn verifier() -> TokenVerifier {
    let jwks = KEYS.each_ref().map(SigningKey::public_jwk);
    TokenVerifier::new(&jwks).unwrap()
}

fn verify_at(token: &str, now: OffsetDateTime) -> Result<VerifiedClaims, TokenRefused> {
    let audience = orders();
    verifier().verify(token, Expected { issuer: ISSUER, audience: Some(&audience), now, leeway: LEEWAY })
}

fn refusal(token: &str) -> TokenRefused {
    verify_at(token, NOW).unwrap_err()
}

/// What a token with this member of the payload spoilt is refused for.
fn claim_refusal(name: &str, text: Option<&str>) -> TokenRefused {
    let algorithm = Algorithm::EdDsa;
    refusal(&forge(key(algorithm), &header(algorithm), &with(&payload(), name, text)))
}

/// What a token with this member of the header spoilt is refused for.
fn header_refusal(name: &str, text: Option<&str>) -> TokenRefused {
    let algorithm = Algorithm::Es256;
    refusal(&forge(key(algorithm), &with(&header(algorithm), name, text), &payload()))
}
