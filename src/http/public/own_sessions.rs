//! `/sessions`: a subject's own devices, listed and signed out from afar.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde_json::{Value, json};

use crate::{
    domain::{
        instant::rfc3339,
        session::{Session, SessionId},
    },
    http::{
        browser_session::{BrowserSession, forget},
        detached::detached,
        extract::{fields::invalid, query::Query},
        problem::Problem,
        revocation::{answer_revoked, wait_for_all},
        same_origin::SameOrigin,
        state::AppState,
    },
    service::sessions::Revoked,
    storage::error::StorageError,
    telemetry::error_chain::ErrorChain,
};

/// `GET /sessions`: the live sessions of the subject, newest first.
///
/// # Errors
/// [`Problem::NoSession`] without a session; [`Problem::Unavailable`].
pub async fn list(session: BrowserSession, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions.own(&session.subject).await.map_err(unavailable)?;
    let shown: Vec<Value> = sessions.iter().map(|own| document(own, session.session_id)).collect();
    Ok(HttpResponse::Ok().json(json!({ "sessions": shown })))
}

/// `DELETE /sessions/{session_id}`: ends one session of the subject. Ending the current one takes its cookie away, too.
///
/// # Errors
/// [`Problem::NoSession`] without a session; [`Problem::CrossSite`] from another site; [`Problem::UnknownSession`] for one that
/// is not theirs; [`Problem::Unavailable`]: it must be taken for alive then.
pub async fn revoke(
    _same_origin: SameOrigin,
    session: BrowserSession,
    path: Path<String>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let id: SessionId = path.parse().map_err(|_| Problem::UnknownSession)?;
    let mut query = Query::of(&request)?;
    let wait = wait_for_all(&mut query)?;
    query.finish()?;
    let revoked = end_one(&request, &state, &session, id).await?;
    Ok(answer_revoked(&state, revoked, wait).await)
}

/// `DELETE /sessions?others=true`: ends every session of the subject but the current one.
///
/// # Errors
/// [`Problem::NoSession`] without a session; [`Problem::CrossSite`] from another site; [`Problem::InvalidField`] without
/// `others=true`; [`Problem::Unavailable`]: they must be taken for alive then.
pub async fn revoke_others(
    _same_origin: SameOrigin,
    session: BrowserSession,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let wait = wait_for_all(&mut query)?;
    if query.take("others").as_deref() != Some("true") {
        return Err(invalid("others", "required in the query: true"));
    }
    query.finish()?;
    let revoked = end_others(&state, session).await?;
    Ok(answer_revoked(&state, revoked, wait).await)
}

/// Ends one session of the subject of `session`, and where that is `session` itself takes its cookie away.
pub(super) async fn end_one(
    request: &HttpRequest,
    state: &AppState,
    session: &BrowserSession,
    id: SessionId,
) -> Result<Revoked, Problem> {
    let (sessions, subject) = (Arc::clone(&state.sessions), session.subject.clone());
    let revoking = async move { sessions.revoke_own(&subject, id).await };
    let revoked = detached(revoking).await?.map_err(unavailable)?.ok_or(Problem::UnknownSession)?;
    if id == session.session_id {
        forget(request);
    }
    Ok(revoked)
}

/// Ends every session of the subject of `session` but that one.
pub(super) async fn end_others(state: &AppState, session: BrowserSession) -> Result<Revoked, Problem> {
    let sessions = Arc::clone(&state.sessions);
    let revoking = async move { sessions.revoke_others(&session.subject, session.session_id).await };
    detached(revoking).await?.map_err(unavailable)
}

fn document(session: &Session, current: SessionId) -> Value {
    json!({
        "session_id": session.id,
        "current": session.id == current,
        "device": session.device,
        "ip": session.ip,
        "created_at": rfc3339(session.created_at),
        "auth_time": rfc3339(session.auth_time),
        "last_seen_at": rfc3339(session.last_seen_at),
        "expires_at": rfc3339(session.expires_at),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(super) fn unavailable(error: StorageError) -> Problem {
    tracing::error!(error = %ErrorChain(&error), "a subject's sessions could not be read or ended");
    Problem::Unavailable
}
