//! People and programs sign in, and put their secrets into every field that there is.

use std::path::Path;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Life, canaries::Canaries, on, refusal};
use crate::support::{
    program::run_with,
    visitor::{form, set_cookie},
};

const NAME: &str = "alice.hollerbach";
const PASSWORD: &str = "gravel otters sing canaries";
const WRONG: &str = "canaries hum gravel otters";
const WEBHOOK_SECRET: &str = "whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LWNhbmFyeS1jYW5hcnk=";

/// A webhook whose receiver is never there, and which signs with a secret.
pub(super) fn settings() -> String {
    format!("[hooks]\nurl = 'http://127.0.0.1:9/in'\nsecret = '{WEBHOOK_SECRET}'")
}

fn login(life: &Life, body: &str, media_type: &str) -> RequestBuilder {
    life.request("public", "POST", "/login").header("content-type", media_type).body(body.to_owned())
}

fn by_json(life: &Life, body: &Value) -> RequestBuilder {
    login(life, &body.to_string(), "application/json")
}

fn by_form(life: &Life, body: &str) -> RequestBuilder {
    login(life, body, "application/x-www-form-urlencoded").header("sec-fetch-site", "same-origin")
}

/// The token in the cookie that an answer sets.
fn token(response: &Response) -> String {
    set_cookie(response).split_once('=').unwrap().1.to_owned()
}

/// Signs in, renews, and types whatever is secret by then wherever something can be typed.
pub(super) async fn with_secrets_in_every_field(
    life: &mut Life,
    config: &Path,
    client_secret: &str,
    canaries: &mut Canaries,
) {
    let added = run_with(config, &["users", "add", NAME], PASSWORD.as_bytes()).await;
    assert!(added.status.success(), "{added:?}");
    canaries.text("password", PASSWORD);
    canaries.text("wrong password", WRONG);
    canaries.text("webhook secret", WEBHOOK_SECRET);
    canaries.text("webhook secret", &WEBHOOK_SECRET[6..]);
    canaries.text("webhook secret", "canary-webhook-secret-canary-canary");

    let right = json!({ "username": NAME, "password": PASSWORD, "return_to": format!("/{PASSWORD}") });
    let request = by_json(life, &right);
    let first = life.send(request, on("public", "POST", "/login", 200)).await;
    let former = token(&first);
    let csrf_token = first.json::<Value>().await.unwrap()["csrf_token"].as_str().unwrap().to_owned();
    let renewal = life.request("public", "POST", "/session/renew").header("cookie", format!("__Host-session={former}"));
    let renewed = token(&life.send(renewal, on("public", "POST", "/session/renew", 200)).await);
    let in_header = json!({ "username": NAME, "password": PASSWORD, "transport": "header" });
    let request = by_json(life, &in_header);
    let native: Value = life.send(request, on("public", "POST", "/login", 200)).await.json().await.unwrap();
    let native = native["session_token"].as_str().unwrap().to_owned();
    for session_token in [&former, &renewed, &native] {
        canaries.session_token(session_token);
    }
    canaries.text("csrf token", &csrf_token);

    for secret in [PASSWORD, WRONG, &csrf_token, &former, &native, WEBHOOK_SECRET, client_secret] {
        in_every_field(life, secret).await;
        let request = life.request("public", "POST", "/logout").header("cookie", format!("__Host-session={renewed}"));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&[("csrf_token", &format!("{secret}x"))]));
        life.refused(request, refusal("public", "POST", "/logout", 403, "csrf-token")).await;
    }
    // The account's own name beside a wrong password, and a name that would begin a line of its own.
    let forged = "x\n{\"message\":\"forged\",\"event\":\"login_succeeded\"}\r";
    for (name, password) in [(NAME, WRONG), (forged, PASSWORD), (PASSWORD, NAME)] {
        let request = by_json(life, &json!({ "username": name, "password": password }));
        life.refused(request, refusal("public", "POST", "/login", 401, "login-refused")).await;
    }
    // A former token after a sign-in inside its session: what it does then is told, but not with the token.
    let request = by_json(life, &right).header("cookie", format!("__Host-session={renewed}"));
    let latest = token(&life.send(request, on("public", "POST", "/login", 200)).await);
    canaries.session_token(&latest);
    let request = life.request("public", "GET", "/session").header("cookie", format!("__Host-session={former}"));
    life.refused(request, refusal("public", "GET", "/session", 401, "no-session")).await;
}

async fn in_every_field(life: &mut Life, secret: &str) {
    let refused = |status, code| refusal("public", "POST", "/login", status, code);
    for (request, status, code) in [
        (
            by_json(life, &json!({ "username": secret, "password": secret, "return_to": format!("/{secret}") })),
            401,
            "login-refused",
        ),
        (by_form(life, &form(&[("username", secret), ("password", "x"), ("return_to", secret)])), 401, "login-refused"),
        (by_json(life, &json!({ "username": "a", "password": "b", "transport": secret })), 400, "invalid-field"),
        (by_json(life, &json!({ "username": "a", "password": "b", secret: secret })), 400, "bad-request"),
        (by_json(life, &json!({ "username": [secret], "password": { secret: secret } })), 400, "invalid-field"),
        (login(life, &format!("{{\"username\":\"{secret}"), "application/json"), 400, "malformed-json"),
        (login(life, &format!("{{\"{secret}\":1,\"{secret}\":2}}"), "application/json"), 400, "malformed-json"),
        (login(life, secret, &format!("text/{}", secret.replace(' ', "-"))), 415, "unsupported-media-type"),
        (by_form(life, &form(&[("username", "a"), ("password", "b"), (secret, "x")])), 400, "bad-request"),
        (by_form(life, &format!("username={secret}&username={secret}")), 400, "bad-request"),
        (by_form(life, &format!("username=a&password={secret}%zz")), 400, "bad-request"),
        (
            by_json(life, &json!({})).header("origin", format!("https://{}.example", secret.replace(' ', "-"))),
            403,
            "cross-site-request",
        ),
        (by_json(life, &json!({})).header("authorization", format!("Session {secret}")), 400, "invalid-field"),
        (by_json(life, &json!({})).header("cookie", format!("__Host-session={secret}")), 400, "invalid-field"),
    ] {
        life.refused(request, refused(status, code)).await;
    }
    let query: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let target = format!("/login?return_to={query}&return_to={query}&username={query}&password={query}");
    let request = life.request("public", "GET", &target);
    life.refused(request, refusal("public", "GET", "/login", 400, "bad-request")).await;
}
