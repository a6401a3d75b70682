//! How a revocation is asked for and answered, on every listener alike.

use actix_web::HttpResponse;
use serde_json::json;

use super::{
    extract::{fields::invalid, query::Query},
    problem::Problem,
    state::AppState,
};
use crate::{domain::instant::rfc3339, service::sessions::Revoked};

/// How many sessions have ended, and from when no replica mints for them; only then where `wait` asks for that.
pub(super) async fn answer_revoked(state: &AppState, revoked: Revoked, wait: bool) -> HttpResponse {
    let revoked = if wait { state.sessions.wait_until_effective(revoked).await } else { revoked };
    HttpResponse::Ok().json(json!({ "revoked": revoked.sessions, "effective_by": rfc3339(revoked.effective_by) }))
}

/// Takes `wait=all` from a query.
///
/// # Errors
/// [`Problem::InvalidField`] for any other value.
pub(super) fn wait_for_all(query: &mut Query) -> Result<bool, Problem> {
    match query.take("wait").as_deref() {
        None => Ok(false),
        Some("all") => Ok(true),
        Some(_) => Err(invalid("wait", "all")),
    }
}
