//! `POST /session/renew`: another token for the same session.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde_json::json;

use super::session::document;
use crate::{
    domain::session_token::SessionToken,
    http::{
        browser_session::{BrowserSession, give},
        detached::detached,
        middleware::request::note,
        presented_token::{PresentedToken, Transport, seen},
        problem::Problem,
        same_origin::SameOrigin,
        state::AppState,
    },
    service::sessions::AuthenticateError,
    telemetry::error_chain::ErrorChain,
};

/// Renews the session of the presented token and says what `GET /session` says.
///
/// A browser gets the new token in its cookie; an app that sent the old one in a header gets it as `session_token`, null where a
/// parallel request has brought it already.
///
/// # Errors
/// [`Problem::NoSession`]; [`Problem::CrossSite`] from another site; [`Problem::Unavailable`].
pub async fn renew(
    _same_origin: SameOrigin,
    request: HttpRequest,
    presented: PresentedToken,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let transport = presented.transport();
    let (sessions, seen) = (Arc::clone(&state.sessions), seen(&request, &state));
    let renewing = async move { sessions.renew(presented.presented(), &seen).await };
    let renewed = detached(renewing).await?.map_err(|error| problem_of(&request, &error))?;
    note(&request, |log| log.session_id = Some(renewed.session.id));
    let session = BrowserSession::from(renewed.session);
    let mut answer = document(&state, &session);
    match (transport, &renewed.token) {
        (Transport::Cookie, Some(token)) => give(&request, token, session.expires_at),
        (Transport::Cookie, None) => {}
        (Transport::Header, token) => answer["session_token"] = json!(token.as_ref().map(SessionToken::expose)),
    }
    Ok(HttpResponse::Ok().json(answer))
}

fn problem_of(request: &HttpRequest, error: &AuthenticateError) -> Problem {
    match error {
        AuthenticateError::Refused(reason, id) => {
            note(request, |log| (log.session_id, log.outcome) = (*id, Some(reason.as_str())));
            Problem::NoSession
        }
        AuthenticateError::Unavailable(_) | AuthenticateError::Random(_) => {
            tracing::error!(error = %ErrorChain(error), "a session could not be renewed");
            Problem::Unavailable
        }
    }
}
