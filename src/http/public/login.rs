//! `GET /login`, `POST /login`, `GET /signed-out`: signing in, and where signing out leads.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde_json::json;

use super::{
    login_request::{LoginRequest, return_to_of_query},
    session::document,
};
use crate::{
    domain::{cookie_header::Presented, instant::rfc3339, return_to::ReturnTo},
    http::{
        browser_session::{BrowserSession, give_cookie},
        detached::detached,
        middleware::request::{ClientAddress, note},
        pages::views::SignIn as SignInView,
        presented_token::{PresentedToken, Transport, seen},
        problem::Problem,
        same_origin::SameOrigin,
        state::AppState,
    },
    service::{
        accounts::{Attempt, LoginError},
        sessions::{SignIn, SignedIn, StartError},
    },
    telemetry::error_chain::ErrorChain,
};

/// How somebody has proved who they are who typed a password (RFC 8176 §2).
const AMR: &str = "pwd";
/// What that is called in metrics and logs.
const METHOD: &str = "password";

/// The sign-in page that leads to `return_to` afterwards.
#[must_use]
pub fn login_link(return_to: &ReturnTo) -> String {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", return_to.as_str()).finish();
    format!("/login?{query}")
}

/// `GET /login`: the form. Who is signed in already may go on, or sign in again.
///
/// # Errors
/// [`Problem::BadRequest`] when `return_to` occurs twice.
pub async fn page(
    request: HttpRequest,
    session: Result<BrowserSession, Problem>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let return_to = return_to_of_query(&request, &state.origin)?;
    // A session that cannot be looked up right now is no reason to show nothing.
    let signed_in_as = session.as_ref().ok().map(|session| session.subject.as_str());
    let view = SignInView { refused: false, return_to: return_to.as_str(), signed_in_as };
    state.pages.sign_in(StatusCode::OK, &view)
}

/// `POST /login`: a new session token for a name and a password. A form is sent on, a program is told what it got.
///
/// # Errors
/// [`Problem::LoginRefused`], to a form as a page: the same bytes whatever the reason. [`Problem::CrossSite`] from another site;
/// [`Problem::Unavailable`] when too many sign in, or the database does not answer.
pub async fn sign_in(
    _same_origin: SameOrigin,
    request: HttpRequest,
    presented: PresentedToken,
    login: LoginRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let LoginRequest { username, password, return_to, transport, by_form } = login;
    let return_to = ReturnTo::parse(&return_to, &state.origin);
    let address = request.extensions().get::<ClientAddress>().ok_or(Problem::Internal)?.0;
    let (shared, seen) = (state.clone(), seen(&request, &state));
    let signing_in = async move {
        let attempt = Attempt { username: &username, password: &password, address };
        let proven = shared.accounts.authenticate(attempt).await.map_err(|error| refused(&error))?;
        // Apps that keep no cookies and browsers never take over each other's session.
        let presented = if presented.transport() == transport { presented.presented() } else { Presented::Absent };
        let sign_in = SignIn {
            subject: proven.subject,
            authenticated_under: Some(proven.epoch),
            amr: vec![AMR.to_owned()],
            presented,
            seen,
            method: METHOD,
        };
        shared.sessions.sign_in(sign_in).await.map_err(|error| not_started(&error))
    };
    match detached(signing_in).await? {
        Ok(signed_in) => {
            note(&request, |log| log.session_id = Some(signed_in.session.id));
            Ok(answer(&request, &state, signed_in, &return_to, transport, by_form))
        }
        Err(Problem::LoginRefused) if by_form => refusal_page(&state, &return_to),
        Err(problem) => Err(problem),
    }
}

/// `GET /signed-out`: the end of the way out.
///
/// # Errors
/// [`Problem::Internal`] when the page cannot be rendered.
pub async fn signed_out(state: Data<AppState>) -> Result<HttpResponse, Problem> {
    state.pages.signed_out()
}

fn answer(
    request: &HttpRequest,
    state: &AppState,
    signed_in: SignedIn,
    return_to: &ReturnTo,
    transport: Transport,
    by_form: bool,
) -> HttpResponse {
    let SignedIn { session, token, .. } = signed_in;
    let session = BrowserSession::from(session);
    if transport == Transport::Cookie {
        give_cookie(request, &token, session.expires_at);
    }
    if by_form {
        return HttpResponse::SeeOther().insert_header((header::LOCATION, return_to.as_str())).finish();
    }
    let mut document = document(state, &session);
    document["return_to"] = json!(return_to.as_str());
    document["expires_at"] = json!(rfc3339(session.expires_at));
    if transport == Transport::Header {
        document["session_token"] = json!(token.expose());
    }
    HttpResponse::Ok().json(document)
}

/// The sign-in page again, without the name: what was typed changes no byte of it.
fn refusal_page(state: &AppState, return_to: &ReturnTo) -> Result<HttpResponse, Problem> {
    let view = SignInView { refused: true, return_to: return_to.as_str(), signed_in_as: None };
    let mut response = state.pages.sign_in(StatusCode::UNAUTHORIZED, &view)?;
    for (name, value) in Problem::LoginRefused.headers() {
        response.headers_mut().insert(name, value);
    }
    response.extensions_mut().insert(Problem::LoginRefused);
    Ok(response)
}

fn refused(error: &LoginError) -> Problem {
    match error {
        LoginError::Refused => Problem::LoginRefused,
        LoginError::Busy => Problem::Unavailable,
        LoginError::Unavailable(_) => {
            tracing::error!(error = %ErrorChain(error), "a sign-in could not be decided");
            Problem::Unavailable
        }
    }
}

fn not_started(error: &StartError) -> Problem {
    match error {
        // Disabled or given another password between the two steps: told like any other refusal.
        StartError::SubjectDisabled => Problem::LoginRefused,
        StartError::Random(_) | StartError::Unavailable(_) => {
            tracing::error!(error = %ErrorChain(error), "a session could not be started");
            Problem::Unavailable
        }
    }
}
