//! Access tokens: what is in them, to the last member, and until when they live.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ephemint::clock::{Clock as _, ManualClock, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    app::{Started, TestApp, header, payload},
    database::TestDatabase,
};

const ALWAYS: [&str; 8] = ["aud", "auth_time", "exp", "iat", "iss", "jti", "sid", "sub"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_has_exactly_the_claims_that_every_token_has() {
    let app = TestApp::spawn().await;
    let session = app.given(json!({ "subject": "alice" })).await;
    let now = app.clock.now().unix_timestamp();

    let claims = payload(&app.access_token("orders", &session).await);

    let jti = claims["jti"].as_str().unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(jti).unwrap().len(), 16, "{jti}");
    let expected = json!({
        "iss": "https://app.example.com",
        "sub": "alice",
        "aud": "orders",
        "iat": now - 5,
        "exp": now + 60,
        "jti": jti,
        "sid": session.id,
        "auth_time": now,
    });
    assert_eq!(claims, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_says_what_its_session_and_its_audience_add_and_nothing_more() {
    let app = TestApp::spawn_with(
        "[[audience]]\nname = 'full'\ntype = 'at+jwt'\nttl = '2m'\nscopes = ['read', 'write']\nclaims = ['role', 'tree', 'unset']",
    )
    .await;
    let now = app.clock.now().unix_timestamp();
    let session = app
        .given(json!({
            "subject": "alice",
            "amr": ["pwd", "otp"],
            "acr": "aal2",
            "auth_time": now - 100,
            "claims": { "role": "admin", "tree": { "a": [1, 2.5, null] }, "secret": "not for anyone" },
            "device": "Firefox",
            "ip": "203.0.113.9",
        }))
        .await;

    let token = app.access_token("full", &session).await;
    let mut claims = payload(&token);
    assert_eq!(header(&token)["typ"], "at+jwt");
    assert!(claims.as_object_mut().unwrap().remove("jti").is_some());
    let expected = json!({
        "iss": "https://app.example.com",
        "sub": "alice",
        "aud": "full",
        "iat": now - 5,
        "exp": now + 120,
        "sid": session.id,
        "auth_time": now - 100,
        "amr": ["pwd", "otp"],
        "acr": "aal2",
        "scope": "read write",
        "role": "admin",
        "tree": { "a": [1, 2.5, null] },
    });
    assert_eq!(claims, expected);

    // The same session at other audiences: each takes what its own list allows.
    let names = |token: &str| payload(token).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let with = |more: &[&str]| {
        let mut names: Vec<String> = ALWAYS.iter().chain(more).map(|&name| name.to_owned()).collect();
        names.sort_unstable();
        names
    };
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(names(&app.access_token("orders", &session).await)), with(&["acr", "amr", "role"]));
    assert_eq!(sorted(names(&app.access_token("legacy", &session).await)), with(&["acr", "amr"]));
    assert_eq!(sorted(names(&app.access_token("sensitive", &session).await)), with(&["acr", "amr", "scope"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_header_names_algorithm_key_and_type_alone_and_times_are_whole_numbers() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    for (audience, algorithm, typ) in
        [("orders", "ES256", "JWT"), ("sensitive", "ES256", "at+jwt"), ("legacy", "RS256", "JWT")]
    {
        let token = app.access_token(audience, &session).await;

        let kid = header(&token)["kid"].clone();
        assert_eq!(header(&token), json!({ "alg": algorithm, "kid": kid, "typ": typ }), "{audience}");
        assert_eq!(URL_SAFE_NO_PAD.decode(kid.as_str().unwrap()).unwrap().len(), 32, "a SHA-256 thumbprint");
        let claims = payload(&token);
        for time in ["iat", "exp", "auth_time"] {
            assert!(claims[time].is_i64(), "{audience}: {time} is {}", claims[time]);
            let raw = String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
            let digits = raw.split_once(&format!("\"{time}\":")).unwrap().1.split([',', '}']).next().unwrap();
            assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{audience}: {time} is written {digits}");
        }
        assert!(claims["aud"].is_string() && claims["sub"].is_string(), "{audience}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_exchange_gives_a_token_with_at_least_half_of_its_life_left() {
    let app = TestApp::spawn_with("token.ttl = '20s'\ntoken.backdate = '0s'").await;
    let session = app.given_session("alice").await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..12 {
        let now = app.clock.now().unix_timestamp();
        let claims = payload(&app.access_token("orders", &session).await);
        let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert!(exp - now >= 10 && exp - iat <= 20 && iat <= now, "{claims} at {now}");
        seen.insert(claims["jti"].as_str().unwrap().to_owned());
        app.advance(Duration::from_secs(5)).await;
    }
    assert!(seen.len() >= 4, "a minute of 20 s tokens takes at least four: {}", seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_outlives_the_absolute_end_of_its_session() {
    // Half past a whole second, so that the last second is only half there.
    let start = SystemClock::new().now().replace_nanosecond(500_000_000).unwrap();
    let clock = Arc::new(ManualClock::at(start));
    let database = TestDatabase::migrated().await;
    let url = database.url.clone();
    let settings = "session.idle_timeout = '10m'\nsession.absolute_timeout = '10m'";
    let app = TestApp::spawn_at(clock, database, &url, settings).await;
    let session = app.given_session("alice").await;
    let end = start.unix_timestamp() + 600;
    let exp = async || payload(&app.access_token("orders", &session).await)["exp"].as_i64().unwrap();

    app.advance(Duration::from_secs(540)).await;
    assert_eq!(exp().await, end, "a whole lifetime is left");
    app.advance(Duration::from_secs(1)).await;
    assert_eq!(exp().await, end, "the token is cut at the session's end");
    app.advance(Duration::from_secs(58)).await;
    assert_eq!(exp().await, end, "one second is left");
    app.advance(Duration::from_millis(500)).await;
    let status = app.exchange(&session.cookie()).await.status();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "no whole second is left, so there is no token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_moment_of_authentication_is_what_the_session_was_started_with() {
    let app = TestApp::spawn().await;
    let now = app.clock.now().unix_timestamp();
    let given = |auth_time: Value| app.given(json!({ "subject": "alice", "auth_time": auth_time }));
    let auth_time = async |session: &Started| payload(&app.access_token("orders", session).await)["auth_time"].clone();

    assert_eq!(auth_time(&given(json!(now - 3_600)).await).await, now - 3_600);
    assert_eq!(auth_time(&given(json!("2026-01-31T12:00:00+01:00")).await).await, 1_769_857_200);
    let session = app.given_session("alice").await;
    app.advance(Duration::from_secs(100)).await;
    assert_eq!(auth_time(&session).await, now, "use is no authentication");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_issuer_has_one_algorithm_and_a_key_set_of_its_own() {
    for main in ["ES256", "EdDSA"] {
        let app = TestApp::spawn_with(&format!("token.algorithm = '{main}'")).await;
        let session = app.given_session("alice").await;
        let mut published: Vec<String> = Vec::new();
        for (audience, issuer, algorithm) in [("orders", "", main), ("legacy", "/rs256", "RS256")] {
            let token = app.access_token(audience, &session).await;
            assert_eq!(payload(&token)["iss"], format!("https://app.example.com{issuer}"), "{audience}");
            assert_eq!(header(&token)["alg"], algorithm, "{audience}");

            let path = format!("{issuer}/.well-known/jwks.json");
            let set: Value = app.gateway(Method::GET, &path).send().await.unwrap().json().await.unwrap();
            let keys = set["keys"].as_array().unwrap();
            assert!(keys.iter().all(|key| key["alg"] == algorithm), "{path}: {set}");
            assert!(keys.iter().any(|key| key["kid"] == header(&token)["kid"]), "{path}: {set}");
            published.extend(keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()));
        }
        let all = published.len();
        published.sort_unstable();
        published.dedup();
        assert_eq!(published.len(), all, "no key is in two sets");
    }
}
