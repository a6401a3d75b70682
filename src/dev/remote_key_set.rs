//! A key set that lives at a URL: fetched, kept as long as its answer allows, fetched again for a key id that is not in it.
//!
//! Only keys that say which algorithm they are for are used; everything else in the document is passed over.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse},
};
use reqwest::{StatusCode, header, redirect::Policy};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{clock::Clock, telemetry::error_chain::ErrorChain};

/// The least time between two fetches, so that invented key ids cannot make one fetch per request.
const COOLDOWN: Duration = Duration::from_secs(1);
/// How long an answer is kept that does not say it.
const DEFAULT_MAX_AGE: Duration = Duration::from_mins(5);
const FETCH_LIMIT: Duration = Duration::from_secs(2);
const MAX_BODY: usize = 64 * 1024;

/// A public key and the one algorithm that it verifies.
pub struct VerificationKey {
    /// As the key itself says; a token's own word for it counts for nothing.
    pub algorithm: Algorithm,
    /// The key in the library's form.
    pub key: DecodingKey,
}

/// Why there is no key for a key id.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key set has no such key.
    #[error("the key set has no key of this id")]
    Unknown,
    /// There is no key set to look into.
    #[error("the key set is not available")]
    Unavailable,
}

/// Why a key set was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer, or only a part of it.
    #[error("the key set cannot be fetched")]
    Http(#[from] reqwest::Error),
    /// An answer that is none.
    #[error("the key set's address answers with status {0}")]
    Status(StatusCode),
    /// Too much for a key set.
    #[error("the key set is longer than {MAX_BODY} bytes")]
    TooLong,
    /// No document of keys.
    #[error("the key set is no JSON object with a list of keys")]
    Malformed,
    /// Nothing that could verify a token.
    #[error("the key set holds no key of a known algorithm")]
    NoKeys,
}

/// The keys behind one URL.
pub struct RemoteKeySet {
    url: String,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    /// Held while fetching, on purpose: whoever needs the same keys waits for the same answer.
    cached: Mutex<Cached>,
}

#[derive(Default)]
struct Cached {
    keys: HashMap<String, Arc<VerificationKey>>,
    fresh_until: Duration,
    usable_until: Duration,
    tried_at: Option<Duration>,
}

struct Fetched {
    keys: HashMap<String, Arc<VerificationKey>>,
    max_age: Duration,
    stale_if_error: Duration,
}

impl RemoteKeySet {
    /// A key set that is fetched when it is first needed, over plain HTTP and without a proxy.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: impl Into<String>, clock: Arc<dyn Clock>) -> Result<Self, FetchError> {
        let client = reqwest::Client::builder().timeout(FETCH_LIMIT).redirect(Policy::none()).no_proxy().build()?;
        Ok(Self { url: url.into(), client, clock, cached: Mutex::default() })
    }

    /// The key of that id.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn key(&self, kid: &str) -> Result<Arc<VerificationKey>, KeyError> {
        let mut cached = self.cached.lock().await;
        let now = self.clock.monotonic();
        let known = cached.keys.contains_key(kid) && now < cached.fresh_until;
        let rested = cached.tried_at.is_none_or(|tried_at| now >= tried_at + COOLDOWN);
        if !known && rested {
            cached.tried_at = Some(now);
            match self.fetch().await {
                Ok(fetched) => {
                    cached.keys = fetched.keys;
                    // What must not be kept still serves the cooldown, or nobody could use it.
                    cached.fresh_until = now + fetched.max_age.max(COOLDOWN);
                    cached.usable_until = cached.fresh_until + fetched.stale_if_error;
                }
                Err(error) => tracing::warn!(error = %ErrorChain(&error), "the key set was not fetched"),
            }
        }
        if cached.keys.is_empty() || now >= cached.usable_until {
            return Err(KeyError::Unavailable);
        }
        cached.keys.get(kid).cloned().ok_or(KeyError::Unknown)
    }

    async fn fetch(&self) -> Result<Fetched, FetchError> {
        let mut response = self.client.get(&self.url).header(header::ACCEPT, "application/json").send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let control = response.headers().get(header::CACHE_CONTROL);
        let control = control.and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let keys = usable_keys(&body)?;
        let unkept = control.split(',').any(|directive| matches!(directive.trim(), "no-store" | "no-cache"));
        let default = if unkept { Duration::ZERO } else { DEFAULT_MAX_AGE };
        Ok(Fetched {
            keys,
            max_age: seconds(&control, "max-age").unwrap_or(default),
            stale_if_error: seconds(&control, "stale-if-error").unwrap_or_default(),
        })
    }
}

/// The seconds of one directive of a lower-case `Cache-Control` (RFC 9111 §5.2), a day at most.
fn seconds(control: &str, name: &str) -> Option<Duration> {
    let value = control.split(',').find_map(|directive| directive.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(Duration::from_secs(value.parse().ok()?).min(Duration::from_hours(24)))
}

/// The keys that can verify a token, by id. Each is read by itself, so that one odd key does not spoil the set.
fn usable_keys(body: &[u8]) -> Result<HashMap<String, Arc<VerificationKey>>, FetchError> {
    let document: Value = serde_json::from_slice(body).map_err(|_| FetchError::Malformed)?;
    let keys = document.get("keys").and_then(Value::as_array).ok_or(FetchError::Malformed)?;
    let usable: HashMap<_, _> = keys.iter().filter_map(usable).collect();
    if usable.is_empty() { Err(FetchError::NoKeys) } else { Ok(usable) }
}

fn usable(key: &Value) -> Option<(String, Arc<VerificationKey>)> {
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match jwk.common.key_algorithm? {
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        KeyAlgorithm::RS256 => Algorithm::RS256,
        _ => return None,
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    // A key that names an algorithm of another family contradicts itself.
    (key.family() == algorithm.family()).then_some(())?;
    Some((jwk.common.key_id?, Arc::new(VerificationKey { algorithm, key })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{crypto::signing_key::SigningKey, domain::audience};

    #[test]
    fn keys_that_are_of_no_use_here_are_passed_over() {
        let good = SigningKey::generate(audience::Algorithm::Es256).unwrap().key;
        let with = |name: &str, value: Value| {
            let mut jwk = good.public_jwk();
            jwk[name] = value;
            jwk["kid"] = format!("bad {name}").into();
            jwk
        };
        let mut nameless = good.public_jwk();
        nameless.as_object_mut().unwrap().remove("kid");
        let set = json!({ "extra": 1, "keys": [
            7,
            { "kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AA" },
            { "kty": "EC", "crv": "secp256k1", "alg": "ES256K", "kid": "odd", "x": "AA", "y": "AA" },
            { "kty": "oct", "alg": "HS256", "kid": "shared", "k": "AAAA" },
            { "kty": "oct", "alg": "ES256", "kid": "confused", "k": "AAAA" },
            with("use", "enc".into()),
            with("alg", "RS256".into()),
            with("alg", "none".into()),
            with("kty", "RSA".into()),
            nameless,
            good.public_jwk(),
        ]});
        let keys = usable_keys(set.to_string().as_bytes()).unwrap();
        assert_eq!(keys.keys().collect::<Vec<_>>(), [good.kid().as_str()]);
        assert_eq!(keys[good.kid().as_str()].algorithm, Algorithm::ES256);
    }

    #[test]
    fn a_document_without_usable_keys_is_refused() {
        for (body, words) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"keys":{}}"#, "no JSON object"),
            (r#"{"keys":[]}"#, "no key of a known algorithm"),
        ] {
            let error = usable_keys(body.as_bytes()).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(words), "{body}: {error}");
        }
    }

    #[test]
    fn a_directive_is_read_by_its_whole_name() {
        let control = "public, s-max-age=1, max-age=300, stale-if-error=9999999999";
        assert_eq!(seconds(control, "max-age"), Some(Duration::from_mins(5)));
        assert_eq!(seconds(control, "stale-if-error"), Some(Duration::from_hours(24)));
        assert_eq!(seconds("no-store", "max-age"), None);
        assert_eq!(seconds("max-age=-1", "max-age"), None);
    }
}
