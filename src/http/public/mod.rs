//! The public listener: what a browser may ask.

pub mod account;
pub mod assets;
pub mod login;
mod login_request;
pub mod own_sessions;
pub mod problems;
pub mod renewal;
pub mod session;

use actix_web::web;

/// The routes of this listener besides the shared key sets and discovery documents.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(super::resource("/session").route(super::get_or_head().to(session::show)))
        .service(super::post_only("/session/renew").route(web::post().to(renewal::renew)))
        .service(
            web::resource("/sessions")
                .route(super::get_or_head().to(own_sessions::list))
                .route(web::delete().to(own_sessions::revoke_others))
                .default_service(super::method_not_allowed("GET, HEAD, DELETE")),
        )
        .service(
            web::resource("/sessions/{session_id}")
                .route(web::delete().to(own_sessions::revoke))
                .default_service(super::method_not_allowed("DELETE")),
        )
        .service(
            web::resource("/login")
                .route(super::get_or_head().to(login::page))
                .route(web::post().to(login::sign_in))
                .default_service(super::method_not_allowed("GET, HEAD, POST")),
        )
        .service(super::resource("/signed-out").route(super::get_or_head().to(login::signed_out)))
        .service(super::resource("/account").route(super::get_or_head().to(account::page)))
        .service(super::post_only("/account/sessions/revoke-others").route(web::post().to(account::revoke_others)))
        .service(super::post_only("/account/sessions/{session_id}/revoke").route(web::post().to(account::revoke)))
        .service(super::post_only("/logout").route(web::post().to(session::logout)))
        .service(super::resource("/assets/{name}").route(super::get_or_head().to(assets::show)))
        .service(super::resource("/problems/{code}").route(super::get_or_head().to(problems::page)));
}
