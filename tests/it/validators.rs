//! Tokens in the hands of stock validators, as other teams run them: `PyJWT` and Node's jose, with their default settings.
//!
//! A machine without them fails these tests and is told what to install: a promise that was not tested is none.

use std::{path::Path, process::Stdio};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::process::Command;

use crate::support::app::{TestApp, payload, url};

const ISSUER: &str = "https://app.example.com";
/// Longest that tokens may live, so that a slow machine has time to start its validators.
const SETTINGS: &str = "token.ttl = '5m'";

/// A program that verifies a token, and what to install where it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validator {
    PyJwt,
    Jose,
}

impl Validator {
    /// The interpreter, the script, and the package that brings the interpreter. Debian's own Python is the one that sees
    /// Debian's packages.
    fn program(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::PyJwt => ("/usr/bin/python3", "verify.py", "python3-jwt"),
            Self::Jose => ("node", "verify.mjs", "nodejs and npm"),
        }
    }

    /// How it names a token for another audience, and one whose signature does not fit.
    fn refusals(self) -> [&'static str; 2] {
        match self {
            Self::PyJwt => ["InvalidAudienceError", "InvalidSignatureError"],
            Self::Jose => ["ERR_JWT_CLAIM_VALIDATION_FAILED", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"],
        }
    }

    /// The claims of a token that it accepts, or its name for why it does not.
    async fn verify(self, key_set: &str, issuer: &str, audience: &str, token: &str) -> Result<Value, String> {
        let (program, script, package) = self.program();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validators").join(script);
        let command = Command::new(program)
            .arg(script)
            .args([key_set, issuer, audience, token])
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), command).await;
        let output = output.expect("a validator ends within a minute");
        let output = output.unwrap_or_else(|error| panic!("{program} cannot be run ({error}); install {package}"));
        let (printed, complaint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(0) => Ok(serde_json::from_str(&printed).unwrap()),
            Some(1) if !printed.is_empty() => Err(printed.trim().to_owned()),
            code => panic!("{self:?} ended with {code:?}: {complaint}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyjwt_accepts_our_tokens_and_refuses_others() {
    let app = TestApp::spawn_with(SETTINGS).await;
    accepts_ours_and_refuses_others(&app, Validator::PyJwt, "orders", "").await;
    accepts_ours_and_refuses_others(&app, Validator::PyJwt, "legacy", "/rs256").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jose_accepts_our_tokens_and_refuses_others() {
    let app = TestApp::spawn_with(SETTINGS).await;
    accepts_ours_and_refuses_others(&app, Validator::Jose, "orders", "").await;
    accepts_ours_and_refuses_others(&app, Validator::Jose, "legacy", "/rs256").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jose_accepts_eddsa_too() {
    let app = TestApp::spawn_with(&format!("{SETTINGS}\ntoken.algorithm = 'EdDSA'")).await;
    accepts_ours_and_refuses_others(&app, Validator::Jose, "orders", "").await;
}

async fn accepts_ours_and_refuses_others(app: &TestApp, validator: Validator, audience: &str, issuer_path: &str) {
    let session = app.given_session("alice").await;
    let token = app.access_token(audience, &session).await;
    let key_set = url(app.addresses.gateway, &format!("{issuer_path}/.well-known/jwks.json"));
    let issuer = format!("{ISSUER}{issuer_path}");
    let verify = |audience, token| validator.verify(&key_set, &issuer, audience, token);
    let [other_audience, bad_signature] = validator.refusals().map(|name| Err(name.to_owned()));

    assert_eq!(verify(audience, token.as_str()).await, Ok(payload(&token)), "{validator:?} {audience}");
    assert_eq!(verify("billing", token.as_str()).await, other_audience, "{validator:?} {audience}");
    assert_eq!(verify(audience, forged(&token).as_str()).await, bad_signature, "{validator:?} {audience}");
}

/// The same token for someone else, under the old signature.
fn forged(token: &str) -> String {
    let mut claims = payload(token);
    claims["sub"] = "mallory".into();
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}
