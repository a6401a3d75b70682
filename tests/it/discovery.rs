//! Key sets and discovery documents: what services fetch once and cache.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::app::{TestApp, header, sample};

const KEY_SET: &str = "/.well-known/jwks.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_exactly_the_members_that_validators_need() {
    for (main, path, kty, algorithm, coordinates) in [
        ("ES256", KEY_SET, "EC", "ES256", &[("x", 32), ("y", 32)]),
        ("EdDSA", "/rs256/.well-known/jwks.json", "RSA", "RS256", &[("n", 256), ("e", 3)]),
    ] {
        let app = TestApp::spawn_with(&format!("token.algorithm = '{main}'")).await;
        for key in keys(&app, path).await {
            let mut key = key.as_object().unwrap().clone();
            for (member, length) in coordinates {
                let value = key.remove(*member).unwrap();
                let bytes = URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
                assert_eq!(bytes.len(), *length, "{member}");
            }
            let kid = key["kid"].clone();
            let mut expected = json!({ "kty": kty, "use": "sig", "alg": algorithm, "kid": kid });
            if kty == "EC" {
                expected["crv"] = "P-256".into();
            }
            assert_eq!(Value::Object(key), expected);
        }
        if main == "EdDSA" {
            for key in keys(&app, KEY_SET).await {
                let (x, kid) = (key["x"].clone(), key["kid"].clone());
                assert_eq!(URL_SAFE_NO_PAD.decode(x.as_str().unwrap()).unwrap().len(), 32);
                let expected =
                    json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": kid });
                assert_eq!(key, expected);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signer_and_its_standby_are_always_published() {
    let app = TestApp::spawn().await;
    let session = app.given_session("alice").await;
    let listed: Value = app.admin(Method::GET, "/admin/keys").send().await.unwrap().json().await.unwrap();
    for (audience, path, algorithm) in
        [("orders", KEY_SET, "ES256"), ("legacy", "/rs256/.well-known/jwks.json", "RS256")]
    {
        let published: Vec<Value> = keys(&app, path).await.into_iter().map(|key| key["kid"].clone()).collect();
        let of_state = |state: &str| {
            let listed = listed.as_array().unwrap().iter();
            let mut kids = listed.filter(|key| key["algorithm"] == algorithm && key["state"] == state);
            let kid = kids.next().expect(state)["kid"].clone();
            assert!(kids.next().is_none(), "one {state} key");
            kid
        };
        assert_eq!(published, [of_state("active"), of_state("pending")]);
        assert_eq!(header(&app.access_token(audience, &session).await)["kid"], published[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_the_document_is_told_so() {
    let app = TestApp::spawn().await;
    for path in [KEY_SET, "/rs256/.well-known/jwks.json", "/.well-known/openid-configuration"] {
        let first = get(&app, path).await;
        let etag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10, "a strong validator: {etag}");
        let conditional =
            async |value: &str| app.gateway(Method::GET, path).header("if-none-match", value).send().await.unwrap();

        let list = format!("\"other\", W/\"third\" ,{etag}");
        for condition in [etag.clone(), format!("W/{etag}"), list, "*".to_owned()] {
            let response = conditional(&condition).await;
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{path}: {condition}");
            assert_eq!(response.headers()["etag"], etag.as_str());
            assert_eq!(response.headers()["cache-control"], first.headers()["cache-control"]);
            assert_eq!(response.text().await.unwrap(), "");
        }
        for condition in ["\"other\"", "W/\"other\"", etag.trim_matches('"'), ""] {
            let response = conditional(condition).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}: {condition}");
            assert!(!response.text().await.unwrap().is_empty());
        }
    }
    let metrics = app.metrics().await;
    let answered = |status| sample(&metrics, "ephemint_jwks_requests_total", &[status]).to_string();
    assert_eq!((answered("status=\"200\""), answered("status=\"304\"")), ("10".to_owned(), "8".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_set_has_another_validator() {
    let app = TestApp::spawn().await;
    let before = get(&app, KEY_SET).await.headers()["etag"].clone();
    let rotated = app.admin(Method::POST, "/admin/keys/rotate?compromised=true").send().await.unwrap();
    assert_eq!(rotated.status(), StatusCode::OK);

    let response = app.gateway(Method::GET, KEY_SET).header("if-none-match", &before).send().await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert_ne!(response.headers()["etag"], before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_may_be_cached_for_five_minutes_or_half_of_a_shorter_lead() {
    for (settings, max_age) in [("", 300), ("keys.publish_lead = '10m'", 300), ("keys.publish_lead = '20s'", 10)] {
        let app = TestApp::spawn_with(settings).await;
        for path in [KEY_SET, "/rs256/.well-known/jwks.json", "/.well-known/openid-configuration"] {
            let response = get(&app, path).await;
            let expected = format!("public, max-age={max_age}, stale-if-error=86400");
            assert_eq!(response.headers()["cache-control"], expected.as_str(), "{settings} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_reading_is_allowed_and_the_query_means_nothing() {
    let app = TestApp::spawn().await;
    let whole = get(&app, KEY_SET).await;
    let headers = |response: &Response| {
        let names = ["content-type", "content-length", "etag", "cache-control", "access-control-allow-origin"];
        names.map(|name| response.headers().get(name).cloned())
    };

    let head = app.gateway(Method::HEAD, KEY_SET).send().await.unwrap();
    assert_eq!((head.status(), headers(&head)), (StatusCode::OK, headers(&whole)));
    assert_eq!(head.headers()["content-type"], "application/json");
    assert_eq!(head.text().await.unwrap(), "");

    let queried = get(&app, &format!("{KEY_SET}?kid=unknown&alg=none")).await;
    assert_eq!(queried.text().await.unwrap(), whole.text().await.unwrap());
    for path in [KEY_SET, "/.well-known/openid-configuration"] {
        let response = app.gateway(Method::POST, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_names_the_issuer_and_its_one_algorithm_at_every_path_and_on_both_listeners() {
    let app = TestApp::spawn_with("token.issuer = 'https://id.example.com'").await;
    let document = |issuer: &str, algorithm: &str| {
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "id_token_signing_alg_values_supported": [algorithm],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        })
    };
    let (main, legacy) =
        (document("https://id.example.com", "ES256"), document("https://id.example.com/rs256", "RS256"));
    let paths = [
        ("/.well-known/openid-configuration", &main),
        ("/.well-known/oauth-authorization-server", &main),
        ("/rs256/.well-known/openid-configuration", &legacy),
        ("/rs256/.well-known/oauth-authorization-server", &legacy),
        ("/.well-known/openid-configuration/rs256", &legacy),
        ("/.well-known/oauth-authorization-server/rs256", &legacy),
    ];
    for (path, expected) in paths {
        for response in [get(&app, path).await, app.public(Method::GET, path).send().await.unwrap()] {
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(&response.json::<Value>().await.unwrap(), expected, "{path}");
        }
    }
    for path in [KEY_SET, "/rs256/.well-known/jwks.json"] {
        let (here, there) = (get(&app, path).await, app.public(Method::GET, path).send().await.unwrap());
        assert_eq!(here.headers()["etag"], there.headers()["etag"]);
        assert_eq!(here.text().await.unwrap(), there.text().await.unwrap(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_well_known_path_leads_nowhere() {
    let app = TestApp::spawn().await;
    for path in [
        "/.well-known/",
        "/.well-known/webfinger",
        "/.well-known/jwks",
        "/.well-known/jwks.json/",
        "/.well-known/jwks.json/rs256",
        "/.well-known/openid-configuration/orders",
        "/eddsa/.well-known/jwks.json",
        "/rs256",
    ] {
        for response in [get(&app, path).await, app.public(Method::GET, path).send().await.unwrap()] {
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

async fn get(app: &TestApp, path: &str) -> Response {
    app.gateway(Method::GET, path).send().await.unwrap()
}

async fn keys(app: &TestApp, path: &str) -> Vec<Value> {
    let set: Value = get(app, path).await.json().await.unwrap();
    assert_eq!(set.as_object().unwrap().len(), 1, "nothing beside the keys");
    set["keys"].as_array().unwrap().clone()
}
