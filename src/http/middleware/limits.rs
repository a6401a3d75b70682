//! Refuses what no route takes, before any route sees it.

use actix_web::{
    Error, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
};

use crate::http::{gateway, problem::Problem, state::AppState};

/// Whose requests a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its clients' own. One that asks for another protocol is refused.
    Directly,
    /// Those that a gateway asks about: whatever a client sent to it may be repeated here.
    ByGateway,
}

/// Refuses too large heads, and where clients ask directly upgrades to another protocol.
///
/// # Errors
/// Whatever the inner service fails with.
pub async fn limit(
    state: AppState,
    asked: Asked,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    if let Some(problem) = refuse(&state, asked, &request) {
        let response = if asked == Asked::ByGateway && gateway::exchange::is_at(request.path()) {
            gateway::exchange::bare(problem.status())
        } else {
            problem.error_response()
        };
        return Ok(request.into_response(response).map_into_right_body());
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

fn refuse(state: &AppState, asked: Asked, request: &ServiceRequest) -> Option<Problem> {
    let head = request.head();
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(1, |target| target.as_str().len()) + 12;
    let fields: usize = head.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if line + fields > state.limits.max_head {
        Some(Problem::HeadTooLarge)
    } else if asked == Asked::Directly && (head.upgrade() || request.headers().contains_key(header::UPGRADE)) {
        // No route speaks another protocol; a body reader would wait for one that never comes.
        Some(Problem::BadRequest("this server upgrades to no other protocol".into()))
    } else {
        None
    }
}
