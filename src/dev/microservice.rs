//! The demo microservice: verifies access tokens with a stock library and the key set's URL alone, and says what it received.
//!
//! It shares nothing with the service but that URL, as any other microservice would. `ephemint dev` runs it as a process of
//! its own.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
    web::{self, Data, Payload},
};
use futures_util::StreamExt as _;
use jsonwebtoken::{Header, TokenData, Validation, errors::ErrorKind};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    demo_page,
    remote_key_set::{FetchError, KeyError, RemoteKeySet},
};
use crate::{
    clock::{Clock, SystemClock},
    domain::session_token::SessionToken,
};

/// How far our clock may be from the issuer's, in seconds.
const LEEWAY: u64 = 5;
/// Longer than a gateway keeps idle connections, so that it is never cut off while it sends.
const KEEP_ALIVE: Duration = Duration::from_mins(2);
/// How much of a request's body is read, to be thrown away.
const MAX_BODY: usize = 1024 * 1024;

/// Where it listens, and whose tokens it takes.
#[derive(Debug, Clone)]
pub struct MicroserviceOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the issuer publishes its key set; plain HTTP.
    pub key_set_url: String,
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// The `aud` that tokens must have.
    pub audience: String,
}

/// Why the demo microservice does not run.
#[derive(Debug, thiserror::Error)]
pub enum MicroserviceError {
    /// Its address cannot be had.
    #[error("the demo microservice cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No HTTP client could be made.
    #[error("the demo microservice cannot fetch keys")]
    Client(#[source] FetchError),
    /// The server failed.
    #[error("the demo microservice failed")]
    Serve(#[source] io::Error),
}

/// Serves until the process is told to end (SIGINT or SIGTERM); to be called within a runtime.
///
/// # Errors
/// [`MicroserviceError`].
pub async fn run(options: MicroserviceOptions) -> Result<(), MicroserviceError> {
    let address = options.listen;
    let listener = TcpListener::bind(address).map_err(|source| MicroserviceError::Listen { address, source })?;
    tracing::info!(%address, key_set = options.key_set_url, "the demo microservice listens");
    serve(listener, options, Arc::new(SystemClock::new()))?.await.map_err(MicroserviceError::Serve)
}

/// The server on a listener that is open already; it runs while it is polled.
pub(super) fn serve(
    listener: TcpListener,
    options: MicroserviceOptions,
    clock: Arc<dyn Clock>,
) -> Result<Server, MicroserviceError> {
    let keys = RemoteKeySet::new(options.key_set_url, clock.clone()).map_err(MicroserviceError::Client)?;
    let verifier = Verifier { keys, issuer: options.issuer, audience: options.audience, clock };
    let verifier = Data::new(verifier);
    let server = HttpServer::new(move || {
        App::new().app_data(verifier.clone()).configure(demo_page::routes).default_service(web::to(answer))
    })
    .workers(1)
    .keep_alive(KEEP_ALIVE)
    .listen(listener)
    .map_err(MicroserviceError::Serve)?;
    Ok(server.run())
}

/// Why a request is refused. The texts say which check failed, and repeat nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the request has no Authorization header with a bearer token")]
    NoToken,
    #[error("the request has more than one Authorization header")]
    TwoTokens,
    #[error("the token is not a JWT that can be read")]
    Malformed,
    #[error("the token names no key")]
    NoKeyId,
    #[error("the token demands an extension that is not known here")]
    CriticalHeader,
    #[error("the key set has no key of the id that the token names")]
    UnknownKey,
    #[error("the token is signed with another algorithm than its key is for")]
    WrongAlgorithm,
    #[error("the signature does not belong to this token and key")]
    WrongSignature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token comes from another issuer")]
    WrongIssuer,
    #[error("the token is meant for another audience")]
    WrongAudience,
    #[error("the token lacks a claim that is required, or has one of the wrong type")]
    WrongClaims,
    #[error("the key set cannot be had, so no token can be checked")]
    NoKeySet,
}

impl Refusal {
    fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::WrongSignature,
            ErrorKind::InvalidAlgorithm => Self::WrongAlgorithm,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidIssuer => Self::WrongIssuer,
            ErrorKind::InvalidAudience => Self::WrongAudience,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::InvalidSubject => {
                Self::WrongClaims
            }
            _ => Self::Malformed,
        }
    }

    /// The answer: RFC 9457 for the body, RFC 6750 §3 for the challenge.
    fn response(self) -> HttpResponse {
        let (status, code, title, header) = match self {
            Self::NoKeySet => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Service Unavailable", (header::RETRY_AFTER, "1"))
            }
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "no-token",
                "Unauthorized",
                (header::WWW_AUTHENTICATE, "Bearer realm=\"demo\""),
            ),
            _ => (
                StatusCode::UNAUTHORIZED,
                "invalid-token",
                "Unauthorized",
                (header::WWW_AUTHENTICATE, "Bearer realm=\"demo\", error=\"invalid_token\""),
            ),
        };
        let problem = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "code": code,
            "detail": self.to_string(),
        });
        let mut response = document(status, "application/problem+json", &problem);
        response.headers_mut().insert(header.0, HeaderValue::from_static(header.1));
        response
    }
}

struct Verifier {
    keys: RemoteKeySet,
    issuer: String,
    audience: String,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    async fn verify(&self, token: &str) -> Result<TokenData<Map<String, Value>>, Refusal> {
        // Only to choose the key; nothing in this header is believed.
        let unverified_header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
        if unverified_header.crit.is_some() {
            // RFC 7515 §4.1.11; the library leaves this to its callers.
            return Err(Refusal::CriticalHeader);
        }
        let kid = unverified_header.kid.ok_or(Refusal::NoKeyId)?;
        let key = self.keys.key(&kid).await.map_err(|error| match error {
            KeyError::Unknown => Refusal::UnknownKey,
            KeyError::Unavailable => Refusal::NoKeySet,
        })?;
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        jsonwebtoken::decode(token, &key.key, &validation).map_err(|error| Refusal::of(error.kind()))
    }
}

async fn answer(request: HttpRequest, payload: Payload, verifier: Data<Verifier>) -> HttpResponse {
    discard(&request, payload).await;
    let outcome = match bearer_token(request.headers()) {
        Ok(token) => verifier.verify(token).await,
        Err(refusal) => Err(refusal),
    };
    let (response, subject, refusal) = match outcome {
        Ok(token) => {
            let subject = token.claims.get("sub").and_then(Value::as_str).map(str::to_owned);
            (received(&request, &token, verifier.clock.now().unix_timestamp()), subject, None)
        }
        Err(refusal) => (refusal.response(), None, Some(refusal)),
    };
    tracing::info!(
        http.method = request.method().as_str(),
        http.path = request.path(),
        http.status = response.status().as_u16(),
        subject,
        refusal = refusal.map(tracing::field::display),
        "demo request answered"
    );
    response
}

/// Reads the body away, so that the connection can be used again.
async fn discard(request: &HttpRequest, mut payload: Payload) {
    // These never end by themselves.
    if request.head().upgrade() || request.headers().contains_key(header::UPGRADE) {
        return;
    }
    let mut read = 0;
    while let Some(Ok(chunk)) = payload.next().await {
        read += chunk.len();
        if read > MAX_BODY {
            return;
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut lines = headers.get_all(header::AUTHORIZATION);
    let line = lines.next().ok_or(Refusal::NoToken)?;
    if lines.next().is_some() {
        return Err(Refusal::TwoTokens);
    }
    let (scheme, token) = line.to_str().ok().and_then(|line| line.split_once(' ')).ok_or(Refusal::NoToken)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        Ok(token.trim())
    } else {
        Err(Refusal::NoToken)
    }
}

/// What a caller with a valid token is told.
#[derive(Serialize)]
struct Shown<'a> {
    service: &'static str,
    method: &'a str,
    path: &'a str,
    subject: Option<&'a Value>,
    session_id: Option<&'a Value>,
    expires_in: Option<i64>,
    claims: &'a Map<String, Value>,
    token_header: &'a Header,
    cookies_received: &'a str,
    session_cookie_received: bool,
}

fn received(request: &HttpRequest, token: &TokenData<Map<String, Value>>, now: i64) -> HttpResponse {
    let lines = request.headers().get_all(header::COOKIE);
    let cookies = lines.map(|line| line.to_str().unwrap_or("(not text)")).collect::<Vec<_>>().join("; ");
    let session_cookie_received = cookies.split(';').any(is_session_cookie);
    let shown = Shown {
        service: "demo",
        method: request.method().as_str(),
        path: request.path(),
        subject: token.claims.get("sub"),
        session_id: token.claims.get("sid"),
        expires_in: token.claims.get("exp").and_then(Value::as_i64).map(|expires_at| expires_at - now),
        claims: &token.claims,
        token_header: &token.header,
        // Were it here, this answer would hand it to scripts, from which the browser hides it.
        cookies_received: if session_cookie_received { "(not shown)" } else { &cookies },
        session_cookie_received,
    };
    document(StatusCode::OK, "application/json", &shown)
}

/// Whether this is the session's cookie, under its default name or by the look of its value.
fn is_session_cookie(pair: &str) -> bool {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    name.trim() == "__Host-session" || SessionToken::parse(value.trim().as_bytes()).is_ok()
}

fn document(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> HttpResponse {
    // Pretty, because people read it in a terminal.
    let mut text = serde_json::to_string_pretty(body).unwrap_or_default();
    text.push('\n');
    HttpResponse::build(status)
        .content_type(media_type)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text)
}
