//! The outermost layer: names the request, answers every refusal with a problem document, counts it and writes its one log line.
//!
//! Logged: method, route pattern, status, problem code, session and client ids. Never: tokens, cookies, digests, bodies, paths
//! with their values, query strings.

use std::{borrow::Cow, cell::RefCell, rc::Rc, time::Duration};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use tracing::Instrument as _;

use crate::{
    domain::{return_to::ReturnTo, session::SessionId},
    http::{
        client_address::{client_address, is_trusted},
        gateway,
        pages::{Rendered, wants_page},
        problem::Problem,
        public::login::login_link,
        request_id::{RequestId, TraceContext},
        state::AppState,
    },
    telemetry::metrics::{Counter, Timer, seconds},
};

/// The listener whose clients are people.
pub const PUBLIC: &str = "public";
/// The listener whose clients are proxies and services.
pub const GATEWAY: &str = "gateway";

/// Carries the request's name to the client and to proxies.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outcome of an exchange that gave a token. There is one for every request to every service, so they are counted, and told
/// one by one only where `debug` is asked for.
pub const ISSUED: &str = "issued";

/// What handlers add to the request's log line. Kept in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct LogNote {
    /// The session that the request is about.
    pub session_id: Option<SessionId>,
    /// How it ended, where that is finer than the status.
    pub outcome: Option<&'static str>,
    /// The service client that sent it.
    pub client_id: Option<String>,
    /// What failed inside, with all its causes; free of secrets, and never sent.
    pub error: Option<String>,
}

/// The client's address as far as it can be believed. Kept in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub std::net::IpAddr);

/// Marks a response whose body is empty by contract, whatever its status.
#[derive(Debug, Clone, Copy)]
pub struct Bare;

/// Adds to the request's log line.
pub fn note(request: &HttpRequest, add: impl FnOnce(&mut LogNote)) {
    let mut extensions = request.extensions_mut();
    let mut log = extensions.remove::<LogNote>().unwrap_or_default();
    add(&mut log);
    extensions.insert(log);
}

/// What one worker of one listener observes its requests with.
#[derive(Debug)]
pub struct Observer {
    state: AppState,
    listener: &'static str,
    /// The counters of answers that were seen before: finding one by its labels costs more than counting.
    known: RefCell<Vec<(Answered, Counter, Timer)>>,
}

/// What answers are counted by; closed sets all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answered {
    route: &'static str,
    method: &'static str,
    status: StatusCode,
}

impl Observer {
    /// Observes the requests of a listener.
    #[must_use]
    pub fn new(state: AppState, listener: &'static str) -> Self {
        Self { state, listener, known: RefCell::default() }
    }

    #[expect(clippy::ptr_arg, reason = "only routes that live as long as the program are remembered")]
    fn count(&self, route: &Cow<'static, str>, method: &'static str, status: StatusCode, took: Duration) {
        let Cow::Borrowed(route) = *route else {
            let (counter, timer) = self.find(route, method, status);
            counter.inc();
            timer.observe(seconds(took));
            return;
        };
        let answered = Answered { route, method, status };
        let mut known = self.known.borrow_mut();
        let place = known.iter().position(|(other, ..)| *other == answered).unwrap_or_else(|| {
            let (counter, timer) = self.find(route, method, status);
            known.push((answered, counter, timer));
            known.len() - 1
        });
        let (_, counter, timer) = &known[place];
        counter.inc();
        timer.observe(seconds(took));
    }

    fn find(&self, route: &str, method: &'static str, status: StatusCode) -> (Counter, Timer) {
        let metrics = &self.state.metrics;
        let counter = metrics.http_requests_total.with_label_values(&[self.listener, route, method, status.as_str()]);
        (counter, metrics.http_request_duration_seconds.with_label_values(&[self.listener, route]))
    }
}

/// Wraps every request of one listener.
///
/// # Errors
/// Only what the framework itself fails with; refusals are responses.
pub async fn observe(
    observer: Rc<Observer>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (state, listener) = (&observer.state, observer.listener);
    let began = state.clock.monotonic();
    let peer = request.head().peer_addr.map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    let trusted = is_trusted(peer, &state.trusted_proxies);
    let id = RequestId::accept_or_make(request.headers(), trusted, state.clock.now());
    let trace = TraceContext::accept_or_make(request.headers(), trusted);
    let address = client_address(peer, request.headers(), &state.trusted_proxies);
    request.extensions_mut().insert(ClientAddress(address));
    let span = tracing::info_span!(
        "http.request",
        request.id = id.as_str(),
        trace.id = trace.trace_id(),
        span.id = trace.span_id(),
    );
    let method = label_of(request.method().as_str());
    let response = next.call(request).instrument(span).await?;
    let mut response = with_problem(response.map_into_boxed_body(), state, listener, &id);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    let took = state.clock.monotonic().saturating_sub(began);
    let route = route_of(listener, response.request());
    observer.count(&route, method, response.status(), took);
    log(listener, &route, method, &response, &id, &trace, address, took);
    Ok(response)
}

/// Replaces the body of a refusal by its problem document, or by a page where a person asked; unless it is complete already.
fn with_problem(
    mut response: ServiceResponse<BoxBody>,
    state: &AppState,
    listener: &'static str,
    id: &RequestId,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let complete = {
        let extensions = response.response().extensions();
        extensions.contains::<Bare>() || extensions.contains::<Rendered>()
    };
    if !(status.is_client_error() || status.is_server_error()) || complete {
        return response;
    }
    let stated = response.response().extensions().get::<Problem>().cloned();
    let problem = stated.unwrap_or_else(|| Problem::from_status(status));
    for (name, value) in problem.headers() {
        response.headers_mut().insert(name, value);
    }
    let page = (listener == PUBLIC && wants_page(response.request())).then(|| {
        let sign_in = sign_in_link(response.request(), &state.origin);
        state.pages.problem(&problem, id.as_str(), &sign_in)
    });
    let (media_type, body) = match page.flatten() {
        Some(page) => ("text/html; charset=utf-8", page),
        None => ("application/problem+json", problem.document(&state.origin)),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.response_mut().extensions_mut().insert(problem);
    response.map_body(|_, _| BoxBody::new(body))
}

/// The sign-in page that leads back to what was asked for.
fn sign_in_link(request: &HttpRequest, origin: &str) -> String {
    let asked = request.uri().path_and_query().map_or("", |target| target.as_str());
    let back = if request.method() == Method::GET { ReturnTo::parse(asked, origin) } else { ReturnTo::default() };
    login_link(&back)
}

/// The pattern of the request's path. Exchanges are told apart by hand: the framework would search all patterns again.
fn route_of(listener: &'static str, request: &HttpRequest) -> Cow<'static, str> {
    let exchange = if listener == GATEWAY { gateway::exchange::route_at(request.uri().path()) } else { None };
    match exchange {
        Some(route) => Cow::Borrowed(route),
        None => request.match_pattern().map_or(Cow::Borrowed("unmatched"), Cow::Owned),
    }
}

#[expect(clippy::too_many_arguments, reason = "everything that a line says")]
fn log(
    listener: &'static str,
    route: &str,
    method: &'static str,
    response: &ServiceResponse<BoxBody>,
    id: &RequestId,
    trace: &TraceContext,
    address: std::net::IpAddr,
    took: Duration,
) {
    let status = response.status();
    let problem = response.response().extensions().get::<Problem>().map(Problem::code);
    let note = response.request().extensions().get::<LogNote>().cloned().unwrap_or_default();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                listener,
                http.method = method,
                http.route = route,
                http.status = status.as_u16(),
                duration_ms = milliseconds(took),
                client.address = %address,
                request.id = id.as_str(),
                trace.id = trace.trace_id(),
                span.id = trace.span_id(),
                parent.id = trace.parent_id(),
                problem.code = problem,
                outcome = note.outcome,
                session.id = note.session_id.map(tracing::field::display),
                client.id = note.client_id,
                error = note.error,
                "request answered"
            )
        };
    }
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        line!(error);
    } else if status.is_server_error() {
        line!(warn);
    } else if note.outcome == Some(ISSUED) {
        line!(debug);
    } else {
        line!(info);
    }
}

/// Milliseconds, cut to whole microseconds.
fn milliseconds(duration: Duration) -> f64 {
    (seconds(duration) * 1_000_000.0).round() / 1_000.0
}

/// The method as a label of a closed set.
fn label_of(method: &str) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}
