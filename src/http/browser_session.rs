//! The browser's session on the public listener: carried by actix-session, kept by our own store.
//!
//! actix-session sees a key, which is the session token, and a state, which is what handlers may know of the session. Sessions
//! are started, renewed and revoked through the service alone, so the state is never written back. A new token passes through
//! it on its way to the browser: a handler puts it into the state, and "saving" returns it as the key of the answer's cookie.

use std::{collections::HashMap, fmt, future::ready};

use actix_session::{
    SessionExt as _,
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError},
};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    domain::{
        cookie_header::Presented,
        device::Seen,
        session::{Session, SessionId},
        session_token::SessionToken,
        subject::Subject,
    },
    http::{middleware::request::note, problem::Problem, state::AppState},
    service::sessions::AuthenticateError,
    telemetry::error_chain::ErrorChain,
};

/// The entry of the state that holds the session.
const ENTRY: &str = "session";
/// The entry of the state that holds a token for the browser.
const GIVEN: &str = "given";

tokio::task_local! {
    /// What the request that is being answered tells of its device: actix-session hands its store a key alone.
    static SEEN: Seen;
}

/// The absolute end of the session whose token is given to the browser. Kept in the request's extensions.
#[derive(Debug, Clone, Copy)]
struct GivenUntil(OffsetDateTime);

/// The request asked for a cookie. Kept in its extensions.
#[derive(Debug, Clone, Copy)]
struct CookieAskedFor;

/// What handlers may know of the live session that a browser presented. Naming it in a handler's signature demands one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrowserSession {
    /// Its id.
    pub session_id: SessionId,
    /// Whom it belongs to.
    pub subject: Subject,
    /// When it was started.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the subject last authenticated.
    #[serde(with = "time::serde::rfc3339")]
    pub auth_time: OffsetDateTime,
    /// When it was last used before this request.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen_at: OffsetDateTime,
    /// Its absolute end.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// How the subject authenticated.
    pub amr: Vec<String>,
}

impl From<Session> for BrowserSession {
    fn from(session: Session) -> Self {
        Self {
            session_id: session.id,
            subject: session.subject,
            created_at: session.created_at,
            auth_time: session.auth_time,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            amr: session.amr,
        }
    }
}

/// What was found, in a form that fits actix-session's state.
#[derive(Debug, Serialize, Deserialize)]
enum Loaded {
    Live(BrowserSession),
    /// It could not be looked up. An error would become an opaque 500 inside actix-session; this becomes a 503.
    Unavailable,
}

/// actix-session's view of our sessions.
#[derive(Clone)]
pub struct BrowserSessionStore {
    state: AppState,
}

impl BrowserSessionStore {
    /// A store over the service.
    #[must_use]
    pub fn new(state: AppState) -> Self {
        Self { state }
    }
}

impl fmt::Debug for BrowserSessionStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BrowserSessionStore")
    }
}

impl SessionStore for BrowserSessionStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        let presented = Presented::Value(key.as_ref().as_bytes());
        let seen = SEEN.try_with(Clone::clone).unwrap_or_default();
        let loaded = match self.state.sessions.authenticate_seen(presented, &seen).await {
            Ok(session) => Loaded::Live(session.into()),
            Err(AuthenticateError::Refused(..)) => return Ok(None),
            Err(error @ (AuthenticateError::Unavailable(_) | AuthenticateError::Random(_))) => {
                tracing::error!(error = %ErrorChain(&error), "a session could not be looked up");
                Loaded::Unavailable
            }
        };
        let text = serde_json::to_string(&loaded).map_err(|error| LoadError::Other(error.into()))?;
        Ok(Some(HashMap::from([(ENTRY.to_owned(), text)])))
    }

    async fn save(
        &self,
        state: HashMap<String, String>,
        _ttl: &actix_web::cookie::time::Duration,
    ) -> Result<SessionKey, SaveError> {
        given(&state).map_err(SaveError::Other)
    }

    async fn update(
        &self,
        _key: SessionKey,
        state: HashMap<String, String>,
        _ttl: &actix_web::cookie::time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        given(&state).map_err(UpdateError::Other)
    }

    async fn update_ttl(
        &self,
        _key: &SessionKey,
        _ttl: &actix_web::cookie::time::Duration,
    ) -> Result<(), anyhow::Error> {
        // Use was noted when the session was loaded.
        Ok(())
    }

    /// The handler has revoked the session already, where a failure is still an answer of ours; only the cookie is left to go.
    async fn delete(&self, _key: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(())
    }
}

impl FromRequest for BrowserSession {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let loaded = request.get_session().entries().get(ENTRY).map(|text| serde_json::from_str(text));
        ready(match loaded {
            Some(Ok(Loaded::Live(session))) => {
                note(request, |log| log.session_id = Some(session.session_id));
                Ok(session)
            }
            Some(Ok(Loaded::Unavailable)) => Err(Problem::Unavailable),
            Some(Err(_)) => Err(Problem::Internal),
            None => Err(Problem::NoSession),
        })
    }
}

/// Gives the browser a new token of a session, in place of what it presented: the answer sets the cookie, which where it is
/// persistent lives until `expires_at`, the session's absolute end.
pub fn give(request: &HttpRequest, token: &SessionToken, expires_at: OffsetDateTime) {
    // A text always serialises, and a session that was forgotten takes nothing more.
    let _ = request.get_session().insert(GIVEN, token.expose());
    request.extensions_mut().insert(GivenUntil(expires_at));
}

/// The same for a sign-in that asked for a cookie, whatever the request presented.
pub fn give_cookie(request: &HttpRequest, token: &SessionToken, expires_at: OffsetDateTime) {
    give(request, token, expires_at);
    request.extensions_mut().insert(CookieAskedFor);
}

/// Tells actix-session that the session is over, so that the answer takes the cookie away.
pub fn forget(request: &HttpRequest) {
    request.get_session().purge();
}

/// Answers a request while the session store knows what it tells of its device.
pub(super) async fn while_seen<T>(seen: Seen, answering: impl Future<Output = T>) -> T {
    SEEN.scope(seen, answering).await
}

/// The absolute end of the session that [`give`] gave a token of.
pub(super) fn given_until(request: &HttpRequest) -> Option<OffsetDateTime> {
    request.extensions().get::<GivenUntil>().map(|until| until.0)
}

/// Whether [`give_cookie`] gave a token.
pub(super) fn cookie_asked_for(request: &HttpRequest) -> bool {
    request.extensions().contains::<CookieAskedFor>()
}

/// The token that a handler gave, as the key of the cookie.
fn given(state: &HashMap<String, String>) -> Result<SessionKey, anyhow::Error> {
    let text = state.get(GIVEN).ok_or_else(|| anyhow::anyhow!("sessions are changed by the session service"))?;
    Ok(serde_json::from_str::<String>(text)?.try_into()?)
}
