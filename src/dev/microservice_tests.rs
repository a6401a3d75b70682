//! The demo microservice on a real socket, with keys from a real key set server that can be moved and broken.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, web};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::microservice::{MicroserviceOptions, serve};
use crate::{
    clock::{Clock as _, ManualClock, SystemClock},
    crypto::signing_key::SigningKey,
    domain::{
        access_token::AccessTokenClaims,
        audience::{Algorithm, AudienceName, TokenType},
        session::SessionId,
        session_token::SessionToken,
        subject::Subject,
    },
};

const ISSUER: &str = "https://exchange.example";

/// Made once, because RSA keys take long.
static KEYS: LazyLock<[SigningKey; 3]> = LazyLock::new(|| {
    [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(|algorithm| SigningKey::generate(algorithm).unwrap().key)
});

/// What the key set's address answers, and how often it was asked.
struct KeyServer {
    address: SocketAddr,
    answer: Mutex<(u16, &'static str, Value)>,
    fetches: AtomicUsize,
}

impl KeyServer {
    fn start(keys: &[&SigningKey], cache_control: &'static str) -> Arc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Mutex::new((200, cache_control, set_of(keys)));
        let server = Arc::new(Self { address, answer, fetches: AtomicUsize::new(0) });
        let shared = Arc::clone(&server);
        let app = move || {
            let shared = Arc::clone(&shared);
            App::new().default_service(web::to(move || {
                shared.fetches.fetch_add(1, SeqCst);
                let (status, cache_control, body) = shared.answer.lock().unwrap().clone();
                let status = actix_web::http::StatusCode::from_u16(status).unwrap();
                let response =
                    HttpResponse::build(status).insert_header(("cache-control", cache_control)).body(body.to_string());
                async move { response }
            }))
        };
        actix_web::rt::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
        server
    }

    fn publish(&self, keys: &[&SigningKey]) {
        self.answer.lock().unwrap().2 = set_of(keys);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(SeqCst)
    }
}

fn set_of(keys: &[&SigningKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>() })
}

struct Demo {
    url: String,
    clock: Arc<ManualClock>,
    client: reqwest::Client,
}

impl Demo {
    fn start(keys: &KeyServer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listen = listener.local_addr().unwrap();
        let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
        let options = MicroserviceOptions {
            listen,
            key_set_url: format!("http://{}/.well-known/jwks.json", keys.address),
            issuer: ISSUER.to_owned(),
            audience: "demo".to_owned(),
        };
        actix_web::rt::spawn(serve(listener, options, clock.clone()).unwrap());
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { url: format!("http://{listen}"), clock, client }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    async fn ask(&self, token: &str) -> Response {
        self.get("/api/hello").bearer_auth(token).send().await.unwrap()
    }

    /// Why a token is refused, by the answer's detail.
    async fn refusal(&self, token: &str) -> String {
        let response = self.ask(token).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"demo\", error=\"invalid_token\"");
        let body = response.text().await.unwrap();
        assert!(token.len() < 20 || !body.contains(token), "the answer repeats the token");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(401), &json!("invalid-token")));
        problem["detail"].as_str().unwrap().to_owned()
    }
}

fn claims() -> AccessTokenClaims {
    let now = SystemClock::new().now().unix_timestamp();
    AccessTokenClaims {
        iss: ISSUER.to_owned(),
        sub: Subject::parse("alice").unwrap(),
        aud: AudienceName::parse("demo").unwrap(),
        iat: now - 5,
        exp: now + 60,
        jti: "0123456789abcdef".to_owned(),
        sid: SessionId::from(uuid::Uuid::from_u128(7)),
        auth_time: now - 100,
        amr: vec!["pwd".to_owned()],
        acr: None,
        scope: None,
        client_id: None,
        custom: std::collections::BTreeMap::default(),
    }
}

fn token(key: &SigningKey, claims: &AccessTokenClaims) -> String {
    key.sign(claims, TokenType::Jwt).unwrap().expose()
}

/// A token with another header; its signature does not fit any more.
fn with_header(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[actix_web::test]
async fn a_valid_token_of_each_algorithm_is_accepted_and_shown() {
    let server = KeyServer::start(&KEYS.each_ref(), "max-age=300");
    let demo = Demo::start(&server);
    for key in &*KEYS {
        let claims = claims();
        let request = demo.client.post(format!("{}/api/orders/7?secret=1", demo.url)).body("{}");
        let request = request.header("cookie", "theme=dark; a=b").bearer_auth(token(key, &claims));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let text = response.text().await.unwrap();
        assert!(text.starts_with("{\n  \"service\": \"demo\",\n  \"method\": \"POST\",\n"), "{text}");
        let mut body: Value = serde_json::from_str(&text).unwrap();
        let expires_in = body["expires_in"].take().as_i64().unwrap();
        assert!((50..=60).contains(&expires_in), "{expires_in}");
        let expected = json!({
            "service": "demo",
            "method": "POST",
            "path": "/api/orders/7",
            "subject": "alice",
            "session_id": claims.sid.to_string(),
            "expires_in": null,
            "claims": serde_json::to_value(&claims).unwrap(),
            "token_header": { "alg": key.algorithm().as_str(), "kid": key.kid().as_str(), "typ": "JWT" },
            "cookies_received": "theme=dark; a=b",
            "session_cookie_received": false,
        });
        assert_eq!(body, expected);
    }
    assert_eq!(server.fetches(), 1);
}

#[actix_web::test]
async fn a_session_cookie_that_slips_through_is_reported_but_not_shown() {
    let server = KeyServer::start(&[&KEYS[0]], "max-age=300");
    let demo = Demo::start(&server);
    let secret = SessionToken::generate().unwrap().expose();
    for cookie in [format!("a=b; other={secret}"), "__Host-session=anything".to_owned()] {
        let request = demo.get("/api/").header("cookie", &cookie).bearer_auth(token(&KEYS[0], &claims()));
        let body: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(body["session_cookie_received"], true);
        assert_eq!(body["cookies_received"], "(not shown)");
    }
}

#[actix_web::test]
async fn a_request_without_one_bearer_token_is_refused() {
    let server = KeyServer::start(&[&KEYS[0]], "max-age=300");
    let demo = Demo::start(&server);
    for line in [None, Some("Basic YTpi"), Some("Bearer"), Some("Bearer  ")] {
        let request = demo.get("/api/");
        let request = line.map(|line| request.try_clone().unwrap().header("authorization", line)).unwrap_or(request);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{line:?}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"demo\"");
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], "no-token");
    }
    let good = token(&KEYS[0], &claims());
    let twice = demo.get("/api/").bearer_auth(&good).bearer_auth(&good).send().await.unwrap();
    assert_eq!(twice.status(), StatusCode::UNAUTHORIZED);
    assert!(twice.text().await.unwrap().contains("more than one Authorization header"));
    assert_eq!(server.fetches(), 0);
}

#[actix_web::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let server = KeyServer::start(&[&KEYS[0]], "max-age=300");
    let demo = Demo::start(&server);
    let request = demo.get("/api/live").bearer_auth(token(&KEYS[0], &claims()));
    let response = request.header("connection", "upgrade").header("upgrade", "websocket").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let large = demo.client.post(format!("{}/api/", demo.url)).body(vec![0; 900_000]);
    assert_eq!(large.bearer_auth(token(&KEYS[0], &claims())).send().await.unwrap().status(), StatusCode::OK);
}

#[actix_web::test]
async fn each_check_that_fails_is_named() {
    let [es256, eddsa, _] = &*KEYS;
    let server = KeyServer::start(&[es256], "max-age=300");
    let demo = Demo::start(&server);
    let good = token(es256, &claims());
    let header = |alg: &str| json!({ "alg": alg, "kid": es256.kid().as_str(), "typ": "JWT" });
    let now = claims().iat + 5;
    let cases = [
        ("not.a.jwt".to_owned(), "not a JWT"),
        (with_header(&good, &header("none")), "not a JWT"),
        (with_header(&good, &header("HS256")), "another algorithm"),
        (with_header(&good, &header("EdDSA")), "another algorithm"),
        (with_header(&good, &json!({ "alg": "ES256" })), "names no key"),
        (with_header(&good, &json!({ "alg": "ES256", "kid": "x", "crit": ["b64"] })), "an extension"),
        (with_header(&good, &json!({ "alg": "ES256", "kid": es256.kid().as_str() })), "signature"),
        (token(eddsa, &claims()), "no key of the id"),
        (token(es256, &AccessTokenClaims { exp: now - 7, ..claims() }), "expired"),
        (token(es256, &AccessTokenClaims { iss: "https://other.example".to_owned(), ..claims() }), "another issuer"),
        (
            token(es256, &AccessTokenClaims { aud: AudienceName::parse("orders").unwrap(), ..claims() }),
            "another audience",
        ),
    ];
    for (token, words) in cases {
        let detail = demo.refusal(&token).await;
        assert!(detail.contains(words), "{detail:?} should say {words:?}");
    }
    let within_leeway = token(es256, &AccessTokenClaims { exp: now - 1, ..claims() });
    assert_eq!(demo.ask(&within_leeway).await.status(), StatusCode::OK);
}

#[actix_web::test]
async fn a_new_key_is_found_by_its_id_but_invented_ids_fetch_once_a_second_at_most() {
    let [first, second, third] = &*KEYS;
    let server = KeyServer::start(&[first], "max-age=300");
    let demo = Demo::start(&server);
    assert_eq!(demo.ask(&token(first, &claims())).await.status(), StatusCode::OK);
    server.publish(&[first, second]);
    for _ in 0..5 {
        assert_eq!(demo.ask(&token(second, &claims())).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.fetches(), 1, "the cooldown holds");
    demo.clock.advance(Duration::from_secs(1));
    assert_eq!(demo.ask(&token(second, &claims())).await.status(), StatusCode::OK);
    for _ in 0..5 {
        assert_eq!(demo.ask(&token(third, &claims())).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.fetches(), 2);
}

#[actix_web::test]
async fn a_withdrawn_key_is_forgotten_at_the_end_of_max_age() {
    let [first, second, _] = &*KEYS;
    let server = KeyServer::start(&[first, second], "public, max-age=30, stale-if-error=60");
    let demo = Demo::start(&server);
    assert_eq!(demo.ask(&token(first, &claims())).await.status(), StatusCode::OK);
    server.publish(&[second]);
    demo.clock.advance(Duration::from_secs(29));
    assert_eq!(demo.ask(&token(first, &claims())).await.status(), StatusCode::OK);
    demo.clock.advance(Duration::from_secs(1));
    assert_eq!(demo.ask(&token(first, &claims())).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.fetches(), 2);
}

#[actix_web::test]
async fn keys_outlive_a_broken_key_server_only_as_long_as_it_allowed() {
    let server = KeyServer::start(&[&KEYS[0]], "max-age=30, stale-if-error=60");
    let demo = Demo::start(&server);
    let good = token(&KEYS[0], &claims());
    assert_eq!(demo.ask(&good).await.status(), StatusCode::OK);
    server.answer.lock().unwrap().0 = 500;
    demo.clock.advance(Duration::from_secs(89));
    assert_eq!(demo.ask(&good).await.status(), StatusCode::OK);
    demo.clock.advance(Duration::from_secs(1));
    let response = demo.ask(&good).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    server.answer.lock().unwrap().0 = 200;
    demo.clock.advance(Duration::from_secs(1));
    assert_eq!(demo.ask(&good).await.status(), StatusCode::OK);
}
