//! `/account`: the page on which people see where they are signed in, and its forms.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path},
};

use super::{
    login::login_link,
    own_sessions::{end_one, end_others, unavailable},
};
use crate::{
    domain::{
        return_to::ReturnTo,
        session::{Session, SessionId},
    },
    http::{
        browser_session::BrowserSession,
        extract::{fields::Fields, form_body::FormBody},
        pages::views::{Account, Device, kind_of_device},
        problem::Problem,
        same_origin::SameOrigin,
        state::AppState,
    },
};

/// What a device without a name is called.
const NAMELESS: &str = "Unknown device";

/// `GET /account`: the devices of the subject. Who is not signed in is sent to do so.
///
/// # Errors
/// [`Problem::Unavailable`] when the sessions cannot be read.
pub async fn page(session: Result<BrowserSession, Problem>, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let session = match session {
        Err(Problem::NoSession) => return Ok(see_other(&login_link(&ReturnTo::default()))),
        session => session?,
    };
    let mut sessions = state.sessions.own(&session.subject).await.map_err(unavailable)?;
    // The newest are first; this one comes before all.
    sessions.sort_by_key(|own| own.id != session.session_id);
    let devices: Vec<Device> = sessions.iter().map(|own| device(own, session.session_id)).collect();
    state.pages.account(&Account {
        subject: session.subject.as_str(),
        csrf_token: &state.sessions.csrf_token(session.session_id),
        others: devices.iter().filter(|device| !device.current).count(),
        devices,
    })
}

/// `POST /account/sessions/{session_id}/revoke`: signs one device out; this one as well.
///
/// # Errors
/// [`Problem::NoSession`]; [`Problem::CrossSite`] from another site; [`Problem::CsrfToken`] without the session's token;
/// [`Problem::UnknownSession`] for one that is not theirs; [`Problem::Unavailable`]: it must be taken for alive then.
pub async fn revoke(
    _same_origin: SameOrigin,
    session: BrowserSession,
    path: Path<String>,
    FormBody(form): FormBody,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    demand_csrf_token(&state, &session, form)?;
    let id: SessionId = path.parse().map_err(|_| Problem::UnknownSession)?;
    end_one(&request, &state, &session, id).await?;
    Ok(see_other(if id == session.session_id { "/signed-out" } else { "/account" }))
}

/// `POST /account/sessions/revoke-others`: signs every other device out.
///
/// # Errors
/// As [`revoke`].
pub async fn revoke_others(
    _same_origin: SameOrigin,
    session: BrowserSession,
    FormBody(form): FormBody,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    demand_csrf_token(&state, &session, form)?;
    end_others(&state, session).await?;
    Ok(see_other("/account"))
}

fn demand_csrf_token(state: &AppState, session: &BrowserSession, mut form: Fields) -> Result<(), Problem> {
    let token = form.any_text("csrf_token")?.ok_or(Problem::CsrfToken)?;
    form.finish()?;
    if state.sessions.is_csrf_token(session.session_id, &token) { Ok(()) } else { Err(Problem::CsrfToken) }
}

fn device(session: &Session, current: SessionId) -> Device {
    let name = session.device.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or(NAMELESS);
    Device {
        id: session.id.to_string(),
        name: name.to_owned(),
        kind: kind_of_device(name),
        current: session.id == current,
        address: session.ip.map(|ip| ip.to_string()),
        signed_in: session.auth_time.into(),
        last_seen: session.last_seen_at.into(),
    }
}

fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}
