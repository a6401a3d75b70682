//! `/admin/keys`: which signing keys there are, and the wish to change them.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde_json::{Value, json};

use crate::{
    domain::{instant::rfc3339, signing_key::SigningKeyState},
    http::{
        detached::detached,
        extract::{
            granted::{Granted, KeysRead, KeysRotate},
            query::Query,
        },
        problem::Problem,
        state::AppState,
    },
    telemetry::error_chain::ErrorChain,
};

/// `GET /admin/keys`: every key that is not destroyed, oldest first.
pub async fn list(_client: Granted<KeysRead>, state: Data<AppState>) -> HttpResponse {
    let now = state.clock.now();
    let keys = state.keys.ring().keys();
    let shown = keys.iter().filter(|key| key.dates.state(now) != SigningKeyState::Destroyed);
    let shown = shown.map(|key| key.describe(now));
    HttpResponse::Ok().json(Value::Array(shown.collect()))
}

/// `POST /admin/keys/rotate`: plans the next rotation as early as the publication lead allows; with `?compromised=true` the
/// signing keys are dropped at once and their standbys sign.
///
/// # Errors
/// [`Problem::BadRequest`] for another query; [`Problem::Unavailable`] when the database does not answer.
pub async fn rotate(
    client: Granted<KeysRotate>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let compromised = match query.take("compromised").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::BadRequest("compromised is true or false".into())),
    };
    query.finish()?;
    let keys = Arc::clone(&state.keys);
    let rotating = async move { if compromised { keys.rotate_compromised().await } else { keys.rotate().await } };
    let result = detached(rotating).await?;
    let rotations = result.map_err(|error| {
        tracing::error!(error = %ErrorChain(&error), "the signing keys could not be rotated");
        Problem::Unavailable
    })?;
    tracing::info!(
        target: "audit",
        event = "signing_key_rotation_requested",
        client.id = client.client.client_id,
        compromised,
        "signing key rotation requested"
    );
    let rotations: Vec<_> = rotations
        .iter()
        .map(|rotation| {
            json!({
                "algorithm": rotation.algorithm.as_str(),
                "kid": rotation.next_kid,
                "activates_at": rfc3339(rotation.activates_at),
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "rotations": rotations })))
}
