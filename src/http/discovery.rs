//! Key sets and discovery documents, for services that validate tokens with a stock library.
//!
//! RFC 7517, RFC 8414 and OpenID Connect Discovery 1.0. Served from memory, the same on the public and the gateway listener.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{self, Data},
};
use serde_json::json;

use crate::{
    domain::audience::Algorithm,
    http::{problem::Problem, state::AppState},
    service::exchange::RS256_PATH,
};

const KEY_SET: &str = "/.well-known/jwks.json";
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// The routes of one issuer for each algorithm in use.
///
/// An issuer with a path is found under both rules for where its documents live: the path before `/.well-known` (OpenID
/// Connect) and behind it (RFC 8414 §3.1).
pub fn routes(config: &mut web::ServiceConfig, main: Algorithm, algorithms: &[Algorithm]) {
    serve(config, KEY_SET, move |request, state| key_set(&request, &state, main));
    for path in [OPENID, OAUTH] {
        serve(config, path, move |request, state| Ok(document(&request, &state, main)));
    }
    for &algorithm in algorithms.iter().filter(|&&algorithm| algorithm != main) {
        serve(config, &format!("{RS256_PATH}{KEY_SET}"), move |request, state| key_set(&request, &state, algorithm));
        for path in [OPENID, OAUTH] {
            for path in [format!("{RS256_PATH}{path}"), format!("{path}{RS256_PATH}")] {
                serve(config, &path, move |request, state| Ok(document(&request, &state, algorithm)));
            }
        }
    }
}

fn serve(
    config: &mut web::ServiceConfig,
    path: &str,
    answer: impl Fn(HttpRequest, Data<AppState>) -> Result<HttpResponse, Problem> + Clone + 'static,
) {
    let handler = move |request: HttpRequest, state: Data<AppState>| {
        let response = answer(request, state);
        async move { response }
    };
    config.service(super::resource(path).route(super::get_or_head().to(handler)));
}

fn key_set(request: &HttpRequest, state: &AppState, algorithm: Algorithm) -> Result<HttpResponse, Problem> {
    let set = state.keys.ring().key_set(algorithm, state.clock.now(), state.clock.monotonic());
    let response = set
        .map(|set| cacheable(request, state, "application/json", set.body, &set.etag))
        .map_err(|_| Problem::Unavailable);
    let status = response.as_ref().map_or_else(Problem::status, HttpResponse::status);
    state.metrics.jwks_requests_total.with_label_values(&[status.as_str()]).inc();
    response
}

fn document(request: &HttpRequest, state: &AppState, algorithm: Algorithm) -> HttpResponse {
    let issuer = state.issuer.issuer_of(algorithm);
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{KEY_SET}"),
        // Exactly the one algorithm in use: validators turn this list into their allow-list.
        "id_token_signing_alg_values_supported": [algorithm.as_str()],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
    })
    .to_string();
    let etag = crate::crypto::fingerprint::etag(document.as_bytes());
    cacheable(request, state, "application/json", document, &etag)
}

/// Answers with a body that caches may keep for half of the publication lead, or 304 where the client has it already.
fn cacheable(
    request: &HttpRequest,
    state: &AppState,
    media_type: &'static str,
    body: String,
    etag: &str,
) -> HttpResponse {
    let max_age = state.keys.rules().cache_time().as_secs();
    let unchanged = request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*");
    let mut response = if unchanged {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok().content_type(media_type).body(body)
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("public, max-age={max_age}, stale-if-error=86400")) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    if let Ok(value) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, value);
    }
    // Public keys are for everyone, browsers included.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
