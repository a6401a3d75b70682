//! A microservice behind Ephemint that refuses the token of a session that was revoked a moment ago.
//!
//! `cargo run --example microservice -- --gateway http://127.0.0.1:8081 --issuer https://app.example.com --audience orders`
//!
//! It verifies tokens with the published key set, and follows the feed of revocations (docs/revocations-feed.md): by server-sent
//! events, and by polling while those cannot be had. While the feed says nothing, `--without-feed` decides:
//!
//! - `open`: tokens are taken as they are. A revoked session's last token then works until it expires: the bound that every service
//!   has that does not follow the feed.
//! - `closed`: every request is 503.
#![expect(clippy::disallowed_methods, reason = "a service of somebody else's reads the clock as it likes")]

mod feed;
mod tokens;

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header,
    web::{self, Data},
};
use clap::{Parser, ValueEnum};
use serde_json::json;

use crate::{feed::Feed, tokens::Tokens};

/// A microservice that follows the feed of revocations.
#[derive(Parser)]
struct Arguments {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:9200")]
    listen: SocketAddr,
    /// Ephemint's gateway listener.
    #[arg(long)]
    gateway: String,
    /// The issuer of tokens and of the feed.
    #[arg(long)]
    issuer: String,
    /// The audience that tokens must have.
    #[arg(long)]
    audience: String,
    /// What to do with valid tokens while the feed says nothing.
    #[arg(long, default_value = "open")]
    without_feed: WithoutFeed,
    /// For how long the feed may say nothing, in milliseconds; more than its heartbeat.
    #[arg(long, default_value_t = 3_000)]
    patience_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WithoutFeed {
    Open,
    Closed,
}

struct Service {
    tokens: Arc<Tokens>,
    feed: Arc<Feed>,
    without_feed: WithoutFeed,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_ansi(false).init();
    let arguments = Arguments::parse();
    let client = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(1)).build()?;
    let key_set = format!("{}/.well-known/jwks.json", arguments.gateway);
    let tokens = Arc::new(Tokens::new(client.clone(), key_set, arguments.issuer, arguments.audience));
    let patience = Duration::from_millis(arguments.patience_ms);
    let feed = Arc::new(Feed::new(client, format!("{}/revocations", arguments.gateway), patience, Arc::clone(&tokens)));
    actix_web::rt::spawn(Arc::clone(&feed).follow());
    let service = Data::new(Service { tokens, feed, without_feed: arguments.without_feed });
    let server = HttpServer::new(move || {
        App::new().app_data(service.clone()).route("/ready", web::get().to(ready)).default_service(web::to(answer))
    });
    let server = server.workers(1).bind(arguments.listen)?;
    tracing::info!("listens on http://{}", server.addrs()[0]);
    Ok(server.run().await?)
}

/// 200 while the feed is complete.
async fn ready(service: Data<Service>) -> HttpResponse {
    if service.feed.is_complete() { HttpResponse::Ok().finish() } else { HttpResponse::ServiceUnavailable().finish() }
}

async fn answer(request: HttpRequest, service: Data<Service>) -> HttpResponse {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
        return refuse("no token");
    };
    let claims = match service.tokens.verify_access_token(token).await {
        Ok(claims) => claims,
        Err(reason) => return refuse(reason),
    };
    if service.feed.is_revoked(&claims.sid) {
        return refuse("the session was revoked");
    }
    // Looked at last: what the feed names is refused also while it is not complete.
    if service.without_feed == WithoutFeed::Closed && !service.feed.is_complete() {
        return HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "1")).finish();
    }
    HttpResponse::Ok().json(json!({ "subject": claims.sub, "session_id": claims.sid }))
}

fn refuse(reason: &'static str) -> HttpResponse {
    let challenge = (header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
    HttpResponse::Unauthorized().insert_header(challenge).json(json!({ "reason": reason }))
}
