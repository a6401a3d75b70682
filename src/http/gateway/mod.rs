//! The gateway listener: what a proxy asks for each request, and what services fetch.
//!
//! Exchange paths answer from the head alone: any method, never reading body, query, `Upgrade`, `Expect`, `Range` or `If-*`, and of
//! `Authorization` only the scheme `Session`. What a client sends besides its session token changes nothing.

pub mod exchange;
mod revocation_stream;
pub mod revocations;

use actix_web::web;

/// The path of an exchange for the default audience.
pub const EXCHANGE: &str = "/exchange";
/// The pattern of an exchange for an audience.
pub const EXCHANGE_FOR: &str = "/exchange/{audience}";

/// The routes of this listener besides the shared key sets and discovery documents.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(super::resource("/revocations").route(super::get_or_head().to(revocations::show)))
        .service(web::resource("/exchange").to(exchange::default_audience))
        // A prefix, and not `/exchange/{audience}`: the framework would run a regular expression for each request.
        .service(web::scope("/exchange").default_service(web::to(exchange::named_audience)));
}
