//! `/livez`, `/readyz`, `/version` and `/metrics`: for probes and Prometheus, without a credential.

use actix_web::{HttpResponse, web::Data};
use serde_json::json;

use crate::{
    http::{problem::Problem, state::AppState},
    storage::migrate,
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
    version,
};

/// `/livez`: the process answers; nothing else is looked at.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

/// `/readyz`: whether this process should be sent requests, and which check says no. 503 while one does.
pub async fn ready(state: Data<AppState>) -> HttpResponse {
    let now = state.clock.now();
    let database = state.database.ping().await;
    let schema = match &database {
        Ok(_) => state.database.schema_version().await.map(|version| version >= migrate::newest()),
        Err(_) => Ok(false),
    };
    let signer = state.keys.ring().signer(state.issuer.algorithm, now, state.clock.monotonic());
    for error in [database.as_ref().err(), schema.as_ref().err()].into_iter().flatten() {
        tracing::warn!(error = %ErrorChain(error), "not ready: the database does not answer");
    }
    let checks = [
        ("database", database.is_ok()),
        ("schema", schema.unwrap_or(false)),
        ("signing_key", signer.is_ok()),
        ("not_draining", !state.drain.is_draining()),
    ];
    let ready = checks.iter().all(|(_, passes)| *passes);
    let mut checks_document = serde_json::Map::new();
    for (name, passes) in checks {
        checks_document.insert(name.to_owned(), json!(if passes { "ok" } else { "failing" }));
    }
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let mut response =
        response.json(json!({ "status": if ready { "ready" } else { "not ready" }, "checks": checks_document }));
    response.extensions_mut().insert(crate::http::middleware::request::Bare);
    response
}

/// `/version`: which build this is.
pub async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "version": version::VERSION, "commit": version::COMMIT }))
}

/// `/metrics`: the text exposition for Prometheus.
///
/// # Errors
/// [`Problem::Internal`] when a metric cannot be encoded.
pub async fn metrics(state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let pools = [state.lookups.pool_status(), state.database.pool_status()];
    let gauge = |label, value: usize| {
        let gauge = state.metrics.database_pool_connections.with_label_values(&[label]);
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    };
    gauge("idle", pools.iter().map(|pool| pool.available).sum());
    gauge("in_use", pools.iter().map(|pool| pool.size.saturating_sub(pool.available)).sum());
    state.exchange.measure_memory();
    state.revocations.measure();
    let text = state.metrics.render().map_err(|error| {
        tracing::error!(error = %ErrorChain(&error), "the metrics could not be encoded");
        Problem::Internal
    })?;
    Ok(HttpResponse::Ok().content_type(Metrics::content_type()).body(text))
}
