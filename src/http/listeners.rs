//! Puts the three listeners' applications together: layers outside, routes inside.

use std::rc::Rc;

use actix_session::{
    SessionMiddleware,
    config::{BrowserSession as BrowserLifecycle, CookieContentSecurity},
};
use actix_web::{
    App, Error,
    body::BoxBody,
    cookie::Key,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web::{self, Data},
};

use super::{
    admin,
    browser_session::BrowserSessionStore,
    discovery, gateway,
    middleware::{
        cookie_bridge::{self, INNER_NAME},
        limits::{self, Asked},
        request::{self, Observer},
        security_headers,
    },
    problem::Problem,
    public,
    state::AppState,
};

/// What browsers reach. `cookie_key` signs what passes between the cookie bridge and actix-session.
pub fn public_app(
    state: AppState,
    cookie_key: [u8; 64],
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    let key = Key::from(&cookie_key);
    let bridge_key = Rc::new(key.clone());
    let sessions = SessionMiddleware::builder(BrowserSessionStore::new(state.clone()), key)
        .cookie_name(INNER_NAME.to_owned())
        .cookie_content_security(CookieContentSecurity::Signed)
        .session_lifecycle(BrowserLifecycle::default())
        .build();
    let https = state.origin.starts_with("https:");
    let (main, algorithms) = (state.issuer.algorithm, state.algorithms.clone());
    let (bridging, limiting) = (state.clone(), state.clone());
    let observer = Rc::new(Observer::new(state.clone(), request::PUBLIC));
    App::new()
        .app_data(Data::new(state))
        .configure(public::routes)
        .configure(|config| discovery::routes(config, main, &algorithms))
        .default_service(web::route().to(nowhere))
        .wrap(sessions)
        .wrap(from_fn(move |request, next| {
            cookie_bridge::bridge(bridging.clone(), Rc::clone(&bridge_key), request, next)
        }))
        .wrap(from_fn(move |request, next| limits::limit(limiting.clone(), Asked::Directly, request, next)))
        .wrap(from_fn(move |request, next| request::observe(Rc::clone(&observer), request, next)))
        .wrap(from_fn(move |request, next| security_headers::harden(https, request, next)))
}

/// What proxies and services reach.
pub fn gateway_app(
    state: AppState,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    let (main, algorithms) = (state.issuer.algorithm, state.algorithms.clone());
    let limiting = state.clone();
    let observer = Rc::new(Observer::new(state.clone(), request::GATEWAY));
    App::new()
        .app_data(Data::new(state))
        .configure(gateway::routes)
        .configure(|config| discovery::routes(config, main, &algorithms))
        .service(super::resource("/assets/{name}").route(super::get_or_head().to(public::assets::show)))
        .service(super::resource("/problems/{code}").route(super::get_or_head().to(public::problems::page)))
        .default_service(web::route().to(nowhere))
        .wrap(from_fn(move |request, next| limits::limit(limiting.clone(), Asked::ByGateway, request, next)))
        .wrap(from_fn(move |request, next| request::observe(Rc::clone(&observer), request, next)))
}

/// What operators, trusted back ends and Prometheus reach.
pub fn admin_app(
    state: AppState,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    let limiting = state.clone();
    let observer = Rc::new(Observer::new(state.clone(), "admin"));
    App::new()
        .app_data(Data::new(state))
        .configure(admin::routes)
        .default_service(web::route().to(nowhere))
        .wrap(from_fn(move |request, next| limits::limit(limiting.clone(), Asked::Directly, request, next)))
        .wrap(from_fn(move |request, next| request::observe(Rc::clone(&observer), request, next)))
        .wrap(from_fn(move |request, next| security_headers::harden(false, request, next)))
}

async fn nowhere() -> Result<&'static str, Problem> {
    Err(Problem::NotFound)
}
