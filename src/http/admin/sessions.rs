//! `/admin/sessions`: trusted back ends start sessions, operators find them. Ending them lives in `revocation`.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde_json::json;

use super::super::extract::{
    granted::{Granted, SessionsCreate, SessionsRead},
    granted_json::GrantedJson,
};
use crate::{
    domain::{instant::rfc3339, session::SessionId},
    http::{
        admin::{session_filter, start_request},
        detached::detached,
        extract::{fields::invalid, query::Query},
        middleware::request::note,
        problem::Problem,
        state::AppState,
    },
    service::sessions::{ListedSession, StartError},
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

/// `GET /admin/sessions?…&cursor=…&limit=…`: a page of the sessions that fit a filter, newest first, alive or not.
///
/// # Errors
/// [`Problem::BadRequest`] for a query that is not understood; [`Problem::Unavailable`].
pub async fn list(
    _client: Granted<SessionsRead>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let filter = session_filter::of_query(&mut query)?;
    let cursor = query.take("cursor").map(|cursor| cursor.parse::<SessionId>());
    let cursor = cursor.transpose().map_err(|_| invalid("cursor", "the next_cursor of an earlier page"))?;
    let limit = query.take("limit").map_or(Ok(DEFAULT_LIMIT), |limit| limit.parse());
    let limit = limit.ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    let limit = limit.ok_or_else(|| invalid("limit", format!("a whole number from 1 to {MAX_LIMIT}")))?;
    query.finish_by_name()?;
    let page = state.sessions.list(&filter, cursor, limit).await.map_err(unavailable)?;
    let shown: Vec<_> = page.sessions.iter().map(ListedSession::describe).collect();
    Ok(HttpResponse::Ok().json(json!({ "sessions": shown, "next_cursor": page.next })))
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
    Ok(HttpResponse::Ok().json(session.describe()))
}

pub(super) fn session_id(path: &str) -> Result<SessionId, Problem> {
    path.parse().map_err(|_| Problem::UnknownSession)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(super) fn unavailable(error: StorageError) -> Problem {
    log_as(&error, Problem::Unavailable)
}

fn log_as(error: &dyn std::error::Error, problem: Problem) -> Problem {
    tracing::error!(error = %ErrorChain(error), "an admin request failed");
    problem
}
