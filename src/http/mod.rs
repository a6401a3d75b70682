//! What the outside may ask, and what it is told: three listeners, and the rules that every request and connection obeys.
//!
//! - [`public`]: browsers. [`gateway`]: proxies and services. [`admin`]: operators, trusted back ends, Prometheus.
//! - [`problem`]: everything that can be refused or fail, with status, code and wording.
//! - [`extract`]: what a handler may demand in its signature.
//! - [`pages`]: what people see.
//! - [`openapi`]: all of it, as a document for programs.
//! - [`middleware`]: what every request passes through.
//! - [`server`], [`connection`], [`phase`], [`drain`]: sockets, deadlines, and the way out.

pub mod admin;
pub mod browser_session;
pub mod client_address;
pub mod connection;
mod detached;
pub mod discovery;
pub mod drain;
pub mod extract;
pub mod gateway;
pub mod listeners;
pub mod middleware;
pub mod openapi;
pub mod pages;
pub mod phase;
pub mod presented_token;
pub mod problem;
pub mod public;
pub mod request_id;
mod revocation;
pub mod same_origin;
pub mod server;
pub mod session_cookie;
#[cfg(test)]
mod socket_tests;
pub mod state;

use actix_web::{Resource, Route, guard, web};
use problem::Problem;

/// A resource that is read: other methods are 405.
fn resource(path: &str) -> Resource {
    web::resource(path.to_owned()).default_service(method_not_allowed("GET, HEAD"))
}

/// A resource that is only posted to.
fn post_only(path: &str) -> Resource {
    web::resource(path.to_owned()).default_service(method_not_allowed("POST"))
}

/// A route for GET, and for HEAD, which the framework does not derive by itself.
fn get_or_head() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A route that refuses the method and names those that are allowed.
fn method_not_allowed(allow: &'static str) -> Route {
    web::route().to(move || async move { Err::<&str, _>(Problem::MethodNotAllowed(allow)) })
}
