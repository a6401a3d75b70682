//! Refuses what no route takes, before any route sees it.

use actix_web::{
    Error, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
};

use crate::http::{problem::Problem, state::AppState};

/// Methods that the public and admin listeners know at all.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Which methods a listener lets through to its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// The methods that some route uses; others are 405 wherever they go.
    Known,
    /// Any: a gateway may pass on the method of the request that it asks about.
    Any,
}

/// Refuses too large heads, and on listeners with known methods all others.
///
/// # Errors
/// Whatever the inner service fails with.
pub async fn limit(
    state: AppState,
    methods: Methods,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    if let Some(problem) = refuse(&state, methods, &request) {
        return Ok(request.into_response(problem.error_response()).map_into_right_body());
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

fn refuse(state: &AppState, methods: Methods, request: &ServiceRequest) -> Option<Problem> {
    let head = request.head();
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(1, |target| target.as_str().len()) + 12;
    let fields: usize = head.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if line + fields > state.limits.max_head {
        Some(Problem::HeadTooLarge)
    } else if methods == Methods::Known && !METHODS.contains(&head.method) {
        Some(Problem::MethodNotAllowed("GET, HEAD, POST, PUT, PATCH, DELETE"))
    } else if methods == Methods::Known && (head.upgrade() || request.headers().contains_key(header::UPGRADE)) {
        // No route speaks another protocol; a body reader would wait for one that never comes.
        Some(Problem::BadRequest("this server upgrades to no other protocol".into()))
    } else {
        None
    }
}
