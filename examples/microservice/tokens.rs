//! Verifies what Ephemint signs, with josekit and the published key set: access tokens, and statements of the feed.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use josekit::{
    JoseError,
    jwk::{Jwk, JwkSet},
    jws::{ES256, EdDSA, JwsVerifier, deserialize_compact_with_selector},
};
use serde::{Deserialize, de::DeserializeOwned};

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 5;
/// How long a key set is used without asking again, and how soon it may be asked for an unknown key.
const KEYS_KEPT: Duration = Duration::from_secs(300);
const COOLDOWN: Duration = Duration::from_secs(1);

/// What this service wants to know of a token.
#[derive(Deserialize)]
pub(crate) struct AccessToken {
    iss: String,
    aud: String,
    exp: u64,
    pub(crate) sub: String,
    pub(crate) sid: String,
}

/// A statement of the feed.
#[derive(Deserialize)]
pub(crate) struct Statement {
    iss: String,
    exp: u64,
    pub(crate) id: String,
    /// The statement that it continues; absent in a snapshot.
    pub(crate) after: Option<String>,
    /// How long an entry matters, in seconds.
    pub(crate) window: u64,
    pub(crate) up_to: Option<String>,
    pub(crate) sessions: Vec<String>,
}

type Verifiers = HashMap<String, Box<dyn JwsVerifier>>;

pub(crate) struct Tokens {
    client: reqwest::Client,
    key_set: String,
    issuer: String,
    audience: String,
    keys: RwLock<(Option<Instant>, Verifiers)>,
}

impl Tokens {
    pub(crate) fn new(client: reqwest::Client, key_set: String, issuer: String, audience: String) -> Self {
        Self { client, key_set, issuer, audience, keys: RwLock::default() }
    }

    pub(crate) async fn verify_access_token(&self, token: &str) -> Result<AccessToken, &'static str> {
        let claims: AccessToken = self.verify(token, "JWT").await?;
        if claims.aud == self.audience {
            self.in_time(&claims.iss, claims.exp).map(|()| claims)
        } else {
            Err("audience")
        }
    }

    pub(crate) async fn verify_statement(&self, text: &str) -> Result<Statement, &'static str> {
        let statement: Statement = self.verify(text, "revocations+jwt").await?;
        self.in_time(&statement.iss, statement.exp).map(|()| statement)
    }

    fn in_time(&self, issuer: &str, expires_at: u64) -> Result<(), &'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?.as_secs();
        match issuer == self.issuer {
            true if now < expires_at + LEEWAY => Ok(()),
            true => Err("expired"),
            false => Err("issuer"),
        }
    }

    /// Checks type and signature, and reads the claims.
    async fn verify<T: DeserializeOwned>(&self, token: &str, typ: &str) -> Result<T, &'static str> {
        for fetched in [false, true] {
            if let Some(result) = self.verify_with_known_keys(token, typ) {
                return result;
            }
            if !fetched {
                self.fetch_keys().await.map_err(|_| "the key set cannot be fetched")?;
            }
        }
        Err("unknown key")
    }

    /// Nothing where its key is not known, or the keys are old.
    fn verify_with_known_keys<T: DeserializeOwned>(&self, token: &str, typ: &str) -> Option<Result<T, &'static str>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.0.filter(|at| at.elapsed() < KEYS_KEPT)?;
        let unknown = std::cell::Cell::new(false);
        let decoded = deserialize_compact_with_selector(token, |header| {
            let verifier = header.key_id().and_then(|kid| keys.1.get(kid));
            unknown.set(header.key_id().is_some() && verifier.is_none());
            Ok(verifier.map(AsRef::as_ref))
        });
        if unknown.get() {
            return None;
        }
        Some(match decoded {
            Ok((payload, header)) if header.token_type() == Some(typ) => {
                serde_json::from_slice(&payload).map_err(|_| "claims")
            }
            Ok(_) => Err("type"),
            Err(_) => Err("signature"),
        })
    }

    async fn fetch_keys(&self) -> Result<(), Box<dyn std::error::Error>> {
        {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            if keys.0.is_some_and(|at| at.elapsed() < COOLDOWN) {
                return Ok(());
            }
        }
        let response = self.client.get(&self.key_set).timeout(Duration::from_secs(2)).send().await?;
        let set = JwkSet::from_bytes(response.error_for_status()?.bytes().await?)?;
        let named = |key: &Jwk| Some((key.key_id()?.to_owned(), verifier(key)?.ok()?));
        let verifiers = set.keys().into_iter().filter_map(named).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), verifiers);
        Ok(())
    }
}

/// The one algorithm of a key is what the key says, never what a token says.
fn verifier(key: &Jwk) -> Option<Result<Box<dyn JwsVerifier>, JoseError>> {
    match key.algorithm()? {
        "ES256" => Some(ES256.verifier_from_jwk(key).map(|verifier| Box::new(verifier) as Box<dyn JwsVerifier>)),
        "EdDSA" => Some(EdDSA.verifier_from_jwk(key).map(|verifier| Box::new(verifier) as Box<dyn JwsVerifier>)),
        _ => None,
    }
}
