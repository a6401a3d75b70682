//! The admin listener: sessions and keys for operators and trusted back ends, metrics, health.

pub mod health;
pub mod keys;
pub mod sessions;
pub mod start_request;

use actix_web::web;

/// The routes of this listener.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/admin/sessions")
                .route(web::post().to(sessions::start))
                .route(super::get_or_head().to(sessions::list))
                .route(web::delete().to(sessions::revoke_all))
                .default_service(super::method_not_allowed("GET, HEAD, POST, DELETE")),
        )
        .service(
            web::resource("/admin/sessions/{session_id}")
                .route(super::get_or_head().to(sessions::show))
                .route(web::delete().to(sessions::revoke))
                .default_service(super::method_not_allowed("GET, HEAD, DELETE")),
        )
        .service(super::resource("/admin/keys").route(super::get_or_head().to(keys::list)))
        .service(super::post_only("/admin/keys/rotate").route(web::post().to(keys::rotate)))
        .service(super::resource("/metrics").route(super::get_or_head().to(health::metrics)))
        .service(super::resource("/livez").route(super::get_or_head().to(health::live)))
        .service(super::resource("/readyz").route(super::get_or_head().to(health::ready)))
        .service(super::resource("/openapi.json").route(super::get_or_head().to(super::openapi::show)))
        .service(super::resource("/version").route(super::get_or_head().to(health::version)));
}
