//! `/exchange` and `/exchange/{audience}`: the session cookie in, the access token out.
//!
//! | status | when |
//! |---|---|
//! | 200 | a live session; exactly one non-empty `Authorization`, and `X-Upstream-Cookie` |
//! | 401 | no live session, malformed and conflicting cookies included |
//! | 403 | a live session that this audience refuses, or a write that a browser sends from another site |
//! | 503 | it truly cannot be decided |
//!
//! With `exchange.gateway_cache`, a 200 says for how many seconds a gateway may repeat it; everything else is for nobody to keep.
//! Bodies are always empty: nginx keeps a connection alive only then. Never a redirect, never a `Set-Cookie`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::Data,
};

use crate::{
    http::{
        middleware::request::{Bare, ISSUED, note},
        problem::Problem,
        same_origin, session_cookie,
        state::AppState,
    },
    service::exchange::{ExchangeError, Exchanged, StepUp},
    telemetry::error_chain::ErrorChain,
};

/// The request's cookies without the session's, for the service upstream.
const X_UPSTREAM_COOKIE: HeaderName = HeaderName::from_static("x-upstream-cookie");

/// The method of the request that a gateway asks about.
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");

/// Everything in a request that an answer which may be kept depends on, beside its path.
const DEPENDS_ON: HeaderValue =
    HeaderValue::from_static("Cookie, Authorization, X-Forwarded-Method, Sec-Fetch-Site, Origin");

/// What stands before an access token (RFC 6750 §2.1).
const SCHEME: &str = "Bearer ";

/// `/exchange`: a token for the default audience.
pub async fn default_audience(request: HttpRequest, state: Data<AppState>) -> HttpResponse {
    exchange(&request, &state, None).await
}

/// `/exchange/{audience}`: a token for the audience whose name is the path's last segment, byte for byte.
///
/// # Errors
/// [`Problem::NotFound`] where the path has other than one segment below `/exchange`.
pub async fn named_audience(request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    one_segment(request.match_info().unprocessed()).ok_or(Problem::NotFound)?;
    let audience = request.uri().path().rsplit('/').next().unwrap_or_default();
    Ok(exchange(&request, &state, Some(audience)).await)
}

/// The one segment that a path below `/exchange` may have.
fn one_segment(below: &str) -> Option<&str> {
    below.strip_prefix('/').filter(|segment| !segment.is_empty() && !segment.contains('/'))
}

/// The pattern of a path that is one of these routes.
#[must_use]
pub fn route_at(path: &str) -> Option<&'static str> {
    match path.strip_prefix("/exchange")? {
        "" => Some("/exchange"),
        below => one_segment(below).map(|_| "/exchange/{audience}"),
    }
}

/// Whether a path is one of these routes, for layers that answer before them.
#[must_use]
pub fn is_at(path: &str) -> bool {
    path.strip_prefix("/exchange").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An answer with an empty body that nobody keeps, as every exchange has.
#[must_use]
pub fn bare(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::build(status).body(());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Bare);
    response
}

async fn exchange(request: &HttpRequest, state: &AppState, audience: Option<&str>) -> HttpResponse {
    let presented = session_cookie::presented_anywhere(request.headers(), &state.cookie.name);
    let cross_site_write = is_write(request.headers()) && same_origin::is_cross_site(request.headers(), &state.origin);
    match state.exchange.exchange(presented, audience, cross_site_write).await {
        Ok(exchanged) => {
            note(request, |log| {
                log.session_id = Some(exchanged.session_id);
                log.outcome = Some(ISSUED);
            });
            issued(request, state, &exchanged).unwrap_or_else(|| bare(StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(error) => {
            note(request, |log| {
                log.session_id = error.session_id();
                log.outcome = Some(error.as_str());
                log.error = error.is_a_failure().then(|| ErrorChain(&error).to_string());
            });
            refused(&error)
        }
    }
}

/// Whether the gateway asks for a request that may change something (RFC 9110 §9.2.1).
///
/// What it reports can only make the answer stricter, so it is heard whoever the peer is.
fn is_write(headers: &HeaderMap) -> bool {
    const SAFE: [&[u8]; 4] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE"];
    headers.get_all(X_FORWARDED_METHOD).any(|method| !SAFE.contains(&method.as_bytes()))
}

/// The answer that carries the token; nothing if a header could not be written, which their alphabets exclude.
fn issued(request: &HttpRequest, state: &AppState, exchanged: &Exchanged) -> Option<HttpResponse> {
    // Of the right size from the start, so that the header takes the text over as it is.
    let [head, tail] = exchanged.token.expose_halves();
    let mut authorization = String::with_capacity(SCHEME.len() + exchanged.token.length());
    for part in [SCHEME, head, tail] {
        authorization.push_str(part);
    }
    let authorization = HeaderValue::try_from(authorization).ok()?;
    let cookies = session_cookie::without_session(request.headers(), &state.cookie.name);
    let mut response = bare(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(X_UPSTREAM_COOKIE, HeaderValue::from_bytes(&cookies).ok()?);
    if exchanged.keep_seconds > 0 && may_be_kept(request.headers()) {
        let value = HeaderValue::try_from(format!("private, max-age={}", exchanged.keep_seconds)).ok()?;
        headers.insert(header::CACHE_CONTROL, value);
        headers.insert(header::VARY, DEPENDS_ON);
    }
    Some(response)
}

/// Whether a gateway may repeat the answer to such a request.
///
/// Not to writes: each is judged by where it comes from. Not to tokens outside of cookies: a gateway's memory knows requests by their
/// cookies.
fn may_be_kept(headers: &HeaderMap) -> bool {
    !is_write(headers) && !session_cookie::presented_by_scheme(headers)
}

fn refused(error: &ExchangeError) -> HttpResponse {
    match error {
        ExchangeError::Unauthenticated(..) => {
            challenge(StatusCode::UNAUTHORIZED, HeaderValue::from_static("Session realm=\"ephemint\""))
        }
        ExchangeError::UnknownAudience | ExchangeError::AudienceDisabled | ExchangeError::CrossSiteWrite(_) => {
            bare(StatusCode::FORBIDDEN)
        }
        ExchangeError::StepUp(lack, _) => {
            // RFC 9470 §3.
            let value = match lack {
                StepUp::MaxAge(age) => format!(
                    "Session realm=\"ephemint\", error=\"insufficient_user_authentication\", max_age=\"{}\"",
                    age.as_secs()
                ),
                StepUp::Methods => "Session realm=\"ephemint\", error=\"insufficient_user_authentication\"".to_owned(),
            };
            match HeaderValue::from_str(&value) {
                Ok(value) => challenge(StatusCode::FORBIDDEN, value),
                Err(_) => bare(StatusCode::FORBIDDEN),
            }
        }
        ExchangeError::TimedOut
        | ExchangeError::Storage(_)
        | ExchangeError::NotRead(_)
        | ExchangeError::NoSigner(_)
        | ExchangeError::Sign(_)
        | ExchangeError::Random(_) => {
            let mut response = bare(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

fn challenge(status: StatusCode, value: HeaderValue) -> HttpResponse {
    let mut response = bare(status);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    response
}
