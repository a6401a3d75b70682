//! What the exchange is compared with: servers of the same libraries and the same actix configuration that do less, or do it
//! the usual way. Each runs as a process of its own, so that its CPU time is counted apart.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{self, Data},
};
use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::ValueEnum;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use ephemint::{
    clock::{Clock as _, SystemClock},
    crypto::{master_key::Vault, signing_key::SigningKey},
    domain::{
        access_token::AccessTokenClaims,
        audience::{Algorithm, TokenType},
        cookie_header::{Presented, find},
        session::SessionId,
        session_token::SessionToken,
        subject::Subject,
    },
    http::{
        drain::Drain,
        server::{ConnectionLimits, bind, start},
    },
    random,
};
use josekit::{
    jws::{JwsHeader, JwsSigner, alg::ecdsa::EcdsaJwsAlgorithm},
    jwt::{self, JwtPayload},
};
use serde_json::json;
use time::OffsetDateTime;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::stage::{AUDIENCE, COOKIE, ISSUER, vault};

/// The servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Baseline {
    /// An empty 200.
    Plain,
    /// A new token of the same claims, by the product's own signer, for whoever asks.
    Sign,
    /// As it is usually written: a connection from a pool, a SELECT by the token's digest, a token by josekit's own signer.
    Naive,
}

/// Serves until the process is killed.
pub(crate) async fn serve(baseline: Baseline, listen: SocketAddr, database: Option<&str>) -> Result<()> {
    let state = Data::new(State::new(baseline, database)?);
    let limits = ConnectionLimits {
        head_timeout: Duration::from_secs(5),
        keep_alive: Duration::from_mins(2),
        write_timeout: Duration::from_secs(30),
        max_connections: 10_000,
        workers: crate::usage::cores(),
        shutdown_timeout: Duration::from_secs(1),
    };
    let app = move || {
        let handler = match baseline {
            Baseline::Plain => web::get().to(plain),
            Baseline::Sign => web::get().to(sign),
            Baseline::Naive => web::get().to(naive),
        };
        App::new()
            .app_data(state.clone())
            .service(web::resource("/exchange/{audience}").route(handler))
            // What stands behind a gateway.
            .service(web::resource("/api/{any}").to(plain))
    };
    start(bind(listen)?, "baseline", limits, Drain::new(), app)?.await.context("the server ended")
}

struct State {
    key: SigningKey,
    vault: Vault,
    pool: Option<Pool>,
    signer: Box<dyn JwsSigner + Send + Sync>,
    clock: Arc<SystemClock>,
    /// The session that every token of the bare signer names.
    session: SessionId,
}

impl State {
    fn new(baseline: Baseline, database: Option<&str>) -> Result<Self> {
        let pool = match (baseline, database) {
            (Baseline::Naive, Some(url)) => {
                let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
                Some(Pool::builder(Manager::from_config(url.parse()?, NoTls, manager)).max_size(16).build()?)
            }
            _ => None,
        };
        let pair = EcdsaJwsAlgorithm::Es256.generate_key_pair()?;
        let signer = EcdsaJwsAlgorithm::Es256.signer_from_pem(pair.to_pem_private_key())?;
        Ok(Self {
            key: SigningKey::generate(Algorithm::Es256)?.key,
            vault: vault()?,
            pool,
            signer: Box::new(signer),
            clock: Arc::default(),
            session: SessionId::generate(SystemClock::new().now())?,
        })
    }
}

async fn plain() -> HttpResponse {
    HttpResponse::Ok().finish()
}

async fn sign(state: Data<State>) -> HttpResponse {
    signed(&state).unwrap_or_else(|_| HttpResponse::InternalServerError().finish())
}

fn signed(state: &State) -> Result<HttpResponse> {
    let now = state.clock.now();
    let claims = AccessTokenClaims {
        iss: ISSUER.to_owned(),
        sub: Subject::parse("user-4711")?,
        aud: AUDIENCE.to_owned().try_into()?,
        iat: now.unix_timestamp() - 5,
        exp: now.unix_timestamp() + 60,
        jti: URL_SAFE_NO_PAD.encode(random::name::<16>()?),
        sid: state.session,
        auth_time: now.unix_timestamp(),
        amr: vec!["pwd".to_owned()],
        acr: None,
        scope: None,
        client_id: None,
        custom: [("role".to_owned(), json!("member"))].into(),
    };
    bearer(&state.key.sign(&claims, TokenType::Jwt)?.expose())
}

async fn naive(request: HttpRequest, state: Data<State>) -> HttpResponse {
    match exchanged(&request, &state).await {
        Ok(Some(response)) => response,
        Ok(None) => HttpResponse::Unauthorized().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn exchanged(request: &HttpRequest, state: &State) -> Result<Option<HttpResponse>> {
    const SELECT: &str = "SELECT session_id, subject, auth_time, last_seen_at, expires_at, revoked_at, amr, claims \
                          FROM session WHERE token_digest = $1";
    let cookies = request.headers().get_all(header::COOKIE).map(HeaderValue::as_bytes);
    let Presented::Value(token) = find(cookies, COOKIE.as_bytes()) else { return Ok(None) };
    let Ok(token) = SessionToken::parse(token) else { return Ok(None) };
    let digest = state.vault.session_token_digest(&token);
    let client = state.pool.as_ref().context("no database")?.get().await?;
    let statement = client.prepare_cached(SELECT).await?;
    let Some(row) = client.query_opt(&statement, &[&digest.as_ref()]).await? else { return Ok(None) };
    let now = state.clock.now();
    let revoked = row.get::<_, Option<OffsetDateTime>>("revoked_at").is_some();
    let idle = row.get::<_, OffsetDateTime>("last_seen_at") + Duration::from_mins(30) < now;
    if revoked || idle || row.get::<_, OffsetDateTime>("expires_at") <= now {
        return Ok(None);
    }
    let mut payload = JwtPayload::new();
    payload.set_issuer(ISSUER);
    payload.set_subject(row.get::<_, String>("subject"));
    payload.set_audience(vec![AUDIENCE]);
    payload.set_issued_at(&now.into());
    payload.set_expires_at(&(now + Duration::from_mins(1)).into());
    payload.set_jwt_id(URL_SAFE_NO_PAD.encode(random::bytes::<16>()?));
    payload.set_claim("sid", Some(json!(row.get::<_, Uuid>("session_id"))))?;
    payload.set_claim("auth_time", Some(json!(row.get::<_, OffsetDateTime>("auth_time").unix_timestamp())))?;
    payload.set_claim("amr", Some(json!(row.get::<_, Vec<String>>("amr"))))?;
    let claims: serde_json::Value = row.get("claims");
    payload.set_claim("role", claims.get("role").cloned())?;
    let mut header = JwsHeader::new();
    header.set_token_type("JWT");
    header.set_key_id("naive");
    bearer(&jwt::encode_with_signer(&payload, &header, &*state.signer)?).map(Some)
}

fn bearer(token: &str) -> Result<HttpResponse> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    Ok(HttpResponse::Ok().insert_header((header::AUTHORIZATION, value)).finish())
}
