//! `GET /session` and `POST /logout`: a browser's own session.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    web::Data,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    domain::{device::Seen, instant::rfc3339, session::SessionId},
    http::{
        browser_session::{BrowserSession, forget},
        detached::detached,
        extract::{form_body::MaybeForm, query::Query},
        middleware::request::note,
        presented_token::{PresentedToken, seen},
        problem::Problem,
        revocation::wait_for_all,
        same_origin::SameOrigin,
        state::AppState,
    },
    service::sessions::RevokeReason,
    storage::error::StorageError,
    telemetry::error_chain::ErrorChain,
};

/// `GET /session`: what the browser may know of its session; 401 without one.
pub async fn show(session: BrowserSession, state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().json(document(&state, &session))
}

/// What a browser may know of its session.
pub(super) fn document(state: &AppState, session: &BrowserSession) -> Value {
    let now = state.clock.now();
    let idle = state.sessions.rules().idle;
    let left = |end: OffsetDateTime| (end - now).whole_seconds().max(0);
    // This request counts as a use, so the whole idle timeout lies ahead.
    let idle_expires_in = i64::try_from(idle.timeout.as_secs()).unwrap_or(i64::MAX).min(left(session.expires_at));
    json!({
        "session_id": session.session_id,
        "subject": session.subject,
        "created_at": rfc3339(session.created_at),
        "auth_time": rfc3339(session.auth_time),
        "last_seen_at": rfc3339(session.last_seen_at),
        "idle_expires_in": idle_expires_in,
        "absolute_expires_in": left(session.expires_at),
        "amr": session.amr,
        "csrf_token": state.sessions.csrf_token(session.session_id),
    })
}

/// `POST /logout`: ends the session and takes the cookie away; fine without a session too.
///
/// A session that is of no use until its subject signs in again ends as well. With `?wait=all` the answer comes once no replica mints
/// for it.
///
/// # Errors
/// [`Problem::CrossSite`] from another site; [`Problem::CsrfToken`] for a form with another session's token;
/// [`Problem::Unavailable`] when the session could not be revoked: then it is still alive, and the cookie stays so that the
/// browser can try again.
pub async fn logout(
    _same_origin: SameOrigin,
    request: HttpRequest,
    session: Result<BrowserSession, Problem>,
    presented: PresentedToken,
    MaybeForm(form): MaybeForm,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    // A query that is not understood keeps nobody signed in.
    let wait = Query::of(&request).and_then(|mut query| wait_for_all(&mut query)).unwrap_or(false);
    let by_form = form.is_some();
    let csrf_token = form.map(|mut form| form.any_text("csrf_token")).transpose()?.flatten();
    let known = session.is_ok();
    let ending = match session {
        Ok(session) => Some(session.session_id),
        Err(Problem::NoSession) => usable_again(&state, &presented, &seen(&request, &state)).await?,
        Err(problem) => return Err(problem),
    };
    if let Some(id) = ending {
        // The header rule has been kept; a page that sends the token as well must send the right one.
        if csrf_token.is_some_and(|token| !state.sessions.is_csrf_token(id, &token)) {
            return Err(Problem::CsrfToken);
        }
        let sessions = Arc::clone(&state.sessions);
        let revoking = async move { sessions.revoke(id, RevokeReason::Logout).await };
        let revoked = detached(revoking).await?.map_err(unavailable)?;
        if wait {
            let _ = state.sessions.wait_until_effective(revoked).await;
        }
        note(&request, |log| log.session_id = Some(id));
    }
    if known {
        forget(&request);
    }
    let mut response = if by_form {
        HttpResponse::SeeOther().insert_header((header::LOCATION, "/signed-out")).finish()
    } else {
        HttpResponse::NoContent().finish()
    };
    let headers = response.headers_mut();
    if !known && presented.has_cookie() {
        // A cookie of no use is worth removing as well.
        if let Ok(value) = HeaderValue::from_str(&state.cookie.clear()) {
            headers.append(header::SET_COOKIE, value);
        }
    }
    headers.insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"cache\", \"cookies\", \"storage\""),
    );
    Ok(response)
}

/// The session that would be usable after a sign-in, if what was presented stands for one.
async fn usable_again(state: &AppState, presented: &PresentedToken, seen: &Seen) -> Result<Option<SessionId>, Problem> {
    let found = state.sessions.find_usable_again(presented.presented(), seen).await.map_err(unavailable)?;
    Ok(found.map(|session| session.id))
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn unavailable(error: StorageError) -> Problem {
    tracing::error!(error = %ErrorChain(&error), "a session could not be revoked");
    Problem::Unavailable
}
