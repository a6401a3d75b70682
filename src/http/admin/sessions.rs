//! `/admin/sessions`: trusted back ends start sessions, operators find and end them.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde_json::{Value, json};

use super::super::extract::{
    granted::{Granted, SessionsCreate, SessionsRead, SessionsRevoke},
    granted_json::GrantedJson,
};
use crate::{
    domain::{
        instant::rfc3339,
        session::{Session, SessionId, SessionStatus},
        subject::Subject,
    },
    http::{
        admin::start_request,
        detached::detached,
        extract::{fields::invalid, query::Query},
        middleware::request::note,
        problem::Problem,
        revocation::{answer_revoked, wait_for_all},
        state::AppState,
    },
    service::sessions::{RevokeReason, StartError},
    storage::error::StorageError,
    telemetry::error_chain::ErrorChain,
};

/// How many sessions a page has where nothing else is asked for.
const DEFAULT_LIMIT: u16 = 50;
/// How many sessions a page has at most.
const MAX_LIMIT: u16 = 200;

/// `POST /admin/sessions`: starts a session for a subject that the caller has authenticated.
///
/// # Errors
/// [`Problem::InvalidField`] names the field that is wrong; [`Problem::SubjectDisabled`]; [`Problem::Unavailable`].
pub async fn start(
    body: GrantedJson<SessionsCreate>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let start = start_request::read(body.fields, state.clock.now())?;
    let sessions = Arc::clone(&state.sessions);
    let started = detached(async move { sessions.start(start).await }).await?.map_err(|error| match error {
        StartError::SubjectDisabled => Problem::SubjectDisabled,
        StartError::Random(_) => log_as(&error, Problem::Internal),
        StartError::Unavailable(_) => log_as(&error, Problem::Unavailable),
    })?;
    note(&request, |log| log.session_id = Some(started.id));
    let token = started.token.expose();
    Ok(HttpResponse::Created().json(json!({
        "session_id": started.id,
        "session_token": token,
        "set_cookie": state.cookie.set(&token, started.expires_at - state.clock.now()),
        "expires_at": rfc3339(started.expires_at),
    })))
}

/// `GET /admin/sessions?subject=…&cursor=…&limit=…`: a page of sessions, newest first, alive or not.
///
/// # Errors
/// [`Problem::BadRequest`] for a query that is not understood; [`Problem::Unavailable`].
pub async fn list(
    _client: Granted<SessionsRead>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let subject = query.take("subject").map(subject_of).transpose()?;
    let cursor = query.take("cursor").map(|cursor| cursor.parse::<SessionId>());
    let cursor = cursor.transpose().map_err(|_| invalid("cursor", "the next_cursor of an earlier page"))?;
    let limit = query.take("limit").map_or(Ok(DEFAULT_LIMIT), |limit| limit.parse());
    let limit = limit.ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    let limit = limit.ok_or_else(|| invalid("limit", format!("a whole number from 1 to {MAX_LIMIT}")))?;
    query.finish()?;
    // One more than asked for tells whether there is another page.
    let mut sessions = state.sessions.list(subject.as_ref(), cursor, limit + 1).await.map_err(unavailable)?;
    let more = sessions.len() > usize::from(limit);
    sessions.truncate(usize::from(limit));
    let next_cursor = sessions.last().filter(|_| more).map(|session| session.id);
    let shown: Vec<_> = sessions.iter().map(|session| document(&state, session)).collect();
    Ok(HttpResponse::Ok().json(json!({ "sessions": shown, "next_cursor": next_cursor })))
}

/// `GET /admin/sessions/{session_id}`: one session, alive or not.
///
/// # Errors
/// [`Problem::UnknownSession`] or [`Problem::Unavailable`].
pub async fn show(
    _client: Granted<SessionsRead>,
    path: Path<String>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let id = session_id(&path)?;
    note(&request, |log| log.session_id = Some(id));
    let session = state.sessions.get(id).await.map_err(unavailable)?.ok_or(Problem::UnknownSession)?;
    Ok(HttpResponse::Ok().json(document(&state, &session)))
}

/// `DELETE /admin/sessions/{session_id}`: revokes one session. Revoking it again ends nothing and succeeds.
///
/// # Errors
/// [`Problem::UnknownSession`] where there never was one; [`Problem::Unavailable`]: the session must be taken for alive then.
pub async fn revoke(
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
pub async fn revoke_all(
    _client: Granted<SessionsRevoke>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let wait = wait_for_all(&mut query)?;
    let subject = query.take("subject").ok_or_else(|| invalid("subject", "required in the query"))?;
    let subject = subject_of(subject)?;
    query.finish()?;
    let sessions = Arc::clone(&state.sessions);
    let revoking = async move { sessions.revoke_all(Some(&subject), RevokeReason::Admin).await };
    let revoked = detached(revoking).await?.map_err(unavailable)?;
    Ok(answer_revoked(&state, revoked, wait).await)
}

fn document(state: &AppState, session: &Session) -> Value {
    let status = match state.sessions.status(session) {
        SessionStatus::Active => "active",
        SessionStatus::Revoked => "revoked",
        SessionStatus::SubjectDisabled => "subject_disabled",
        SessionStatus::Expired => "expired",
        SessionStatus::Idle => "idle",
        SessionStatus::ReauthenticationNeeded => "reauthentication_needed",
    };
    json!({
        "session_id": session.id,
        "subject": session.subject,
        "status": status,
        "created_at": rfc3339(session.created_at),
        "auth_time": rfc3339(session.auth_time),
        "last_seen_at": rfc3339(session.last_seen_at),
        "idle_expires_at": rfc3339(session.idle_expires_at(state.sessions.rules().idle).min(session.expires_at)),
        "expires_at": rfc3339(session.expires_at),
        "revoked_at": session.revoked_at.map(rfc3339),
        "reauthenticate_since": session.reauthenticate_since.map(rfc3339),
        "amr": session.amr,
        "acr": session.acr,
        "claims": session.claims,
        "device": session.device,
        "ip": session.ip,
    })
}

fn session_id(path: &str) -> Result<SessionId, Problem> {
    path.parse().map_err(|_| Problem::UnknownSession)
}

fn subject_of(text: String) -> Result<Subject, Problem> {
    Subject::parse(text).map_err(|error| invalid("subject", error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn unavailable(error: StorageError) -> Problem {
    log_as(&error, Problem::Unavailable)
}

fn log_as(error: &dyn std::error::Error, problem: Problem) -> Problem {
    tracing::error!(error = %ErrorChain(error), "an admin request failed");
    problem
}
