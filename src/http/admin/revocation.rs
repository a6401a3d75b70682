//! How operators end sessions: one, a subject's, or those that fit a filter.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde_json::json;

use super::{
    super::extract::{
        granted::{Granted, SessionsRevoke},
        granted_json::GrantedJson,
    },
    session_filter,
    sessions::{session_id, unavailable},
};
use crate::{
    domain::subject::Subject,
    http::{
        detached::detached,
        extract::{fields::invalid, query::Query},
        middleware::request::note,
        problem::Problem,
        revocation::{answer_revoked, wait_for_all},
        state::AppState,
    },
    service::sessions::RevokeReason,
};

/// `DELETE /admin/sessions/{session_id}`: revokes one session. Revoking it again ends nothing and succeeds.
///
/// # Errors
/// [`Problem::UnknownSession`] where there never was one; [`Problem::Unavailable`]: the session must be taken for alive then.
pub async fn one(
    _client: Granted<SessionsRevoke>,
    path: Path<String>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let id = session_id(&path)?;
    note(&request, |log| log.session_id = Some(id));
    let mut query = Query::of(&request)?;
    let wait = wait_for_all(&mut query)?;
    query.finish()?;
    let sessions = Arc::clone(&state.sessions);
    let revoked =
        detached(async move { sessions.revoke(id, RevokeReason::Admin).await }).await?.map_err(unavailable)?;
    if revoked.sessions == Some(0) && state.sessions.get(id).await.map_err(unavailable)?.is_none() {
        return Err(Problem::UnknownSession);
    }
    Ok(answer_revoked(&state, revoked, wait).await)
}

/// `DELETE /admin/sessions?subject=…`: revokes every session of a subject.
///
/// # Errors
/// [`Problem::InvalidField`] without a subject; [`Problem::Unavailable`]: the sessions must be taken for alive then.
pub async fn of_subject(
    _client: Granted<SessionsRevoke>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let wait = wait_for_all(&mut query)?;
    let subject = query.take("subject").ok_or_else(|| invalid("subject", "required in the query"))?;
    let subject = Subject::parse(subject).map_err(|error| invalid("subject", error.to_string()))?;
    query.finish()?;
    let sessions = Arc::clone(&state.sessions);
    let revoking = async move { sessions.revoke_all(Some(&subject), RevokeReason::Admin).await };
    let revoked = detached(revoking).await?.map_err(unavailable)?;
    Ok(answer_revoked(&state, revoked, wait).await)
}

/// `POST /admin/sessions/revoke`: revokes the live sessions that fit a filter, or counts them where `dry_run` is true.
///
/// # Errors
/// [`Problem::InvalidField`] names the member that is wrong, and `all` where nothing narrows the choice and nobody has said that this
/// is meant; [`Problem::BadRequest`] names a member that is unknown; [`Problem::Unavailable`]: what has not ended yet ends when it is
/// asked for again.
pub async fn matching(
    body: GrantedJson<SessionsRevoke>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let wait = wait_for_all(&mut query)?;
    query.finish()?;
    let mut fields = body.fields;
    let filter = session_filter::of_fields(&mut fields)?;
    let all = fields.optional_switch("all")?.unwrap_or(false);
    let dry_run = fields.optional_switch("dry_run")?.unwrap_or(false);
    fields.finish_by_name()?;
    if filter.is_empty() != all {
        return Err(invalid("all", "true where nothing else narrows the choice, and only there: it means everyone"));
    }
    if filter.among_live().is_none() {
        return Err(invalid("status", "live, active or reauthentication_needed: others have ended already"));
    }
    let sessions = Arc::clone(&state.sessions);
    if dry_run {
        let counted = sessions.count_matching(&filter).await.map_err(unavailable)?;
        return Ok(HttpResponse::Ok().json(json!({ "dry_run": true, "revoked": counted, "effective_by": null })));
    }
    let revoking = async move { sessions.revoke_matching(&filter, RevokeReason::Admin).await };
    let revoked = detached(revoking).await?.map_err(unavailable)?;
    Ok(answer_revoked(&state, revoked, wait).await)
}
