//! What a presented token's header may say, checked before any key is touched.

use serde_json::{Map, Value};

use crate::domain::audience::{Algorithm, TokenType};

use super::token_refused::TokenRefused;

/// Members by which the sender would choose the key, the meaning or the encoding (RFC 7515 §4.1, RFC 7516 §4.1, RFC 7797).
const FORBIDDEN: [&str; 8] = ["jwk", "jku", "x5u", "x5c", "crit", "zip", "b64", "cty"];
const KNOWN: [&str; 3] = ["alg", "kid", "typ"];

/// A header that follows the rules. Nothing in it is proven until the signature is.
#[derive(Debug)]
pub(super) struct UnverifiedHeader {
    pub(super) algorithm: Algorithm,
    pub(super) presented_kid: String,
    pub(super) token_type: TokenType,
}

/// Checks a header against the rules.
///
/// # Errors
/// [`TokenRefused`] names the first broken rule.
pub(super) fn check(header: &Map<String, Value>) -> Result<UnverifiedHeader, TokenRefused> {
    if let Some(name) = FORBIDDEN.into_iter().find(|name| header.contains_key(*name)) {
        return Err(TokenRefused::ForbiddenHeader(name));
    }
    // RFC 7515 §4 would ignore unknown members; but only our own tokens are read here, and they have none.
    if header.keys().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err(TokenRefused::UnknownHeader);
    }
    let text = |name| header.get(name).and_then(Value::as_str);
    let algorithm = text("alg").and_then(Algorithm::from_name).ok_or(TokenRefused::AlgorithmNotAllowed)?;
    let presented_kid = text("kid").ok_or(TokenRefused::KeyIdMissing)?.to_owned();
    let token_type = token_type(text("typ").ok_or(TokenRefused::TypeMissing)?).ok_or(TokenRefused::TypeNotAllowed)?;
    Ok(UnverifiedHeader { algorithm, presented_kid, token_type })
}

/// A media type without regard to case, with or without `application/` (RFC 7515 §4.1.9).
fn token_type(presented: &str) -> Option<TokenType> {
    let lower = presented.to_ascii_lowercase();
    let name = lower.strip_prefix("application/").unwrap_or(&lower);
    [TokenType::Jwt, TokenType::AccessToken].into_iter().find(|known| name.eq_ignore_ascii_case(known.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_type_has_four_kinds_of_spelling() {
        for typ in ["JWT", "jwt", "application/jwt", "Application/JWT"] {
            assert_eq!(token_type(typ), Some(TokenType::Jwt), "{typ}");
        }
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/AT+JWT"] {
            assert_eq!(token_type(typ), Some(TokenType::AccessToken), "{typ}");
        }
        for typ in
            ["", "JOSE", "logout+jwt", "application/application/jwt", "text/jwt", " JWT", "JWT; a=b", "K\u{212a}T"]
        {
            assert_eq!(token_type(typ), None, "{typ}");
        }
    }
}
