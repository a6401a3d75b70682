//! A handler that gives a token: exactly one cookie with exactly our attributes, whatever the request presented.

use std::{rc::Rc, time::Duration};

use actix_session::{
    SessionMiddleware,
    config::{BrowserSession as BrowserLifecycle, CookieContentSecurity},
};
use actix_web::{App, HttpRequest, HttpResponse, cookie::Key, middleware::from_fn, test, web};
use ephemint::{
    domain::session_token::SessionToken,
    http::{
        browser_session::{BrowserSessionStore, forget, give},
        middleware::cookie_bridge::{INNER_NAME, bridge},
        state::AppState,
    },
};

use crate::support::{app::TestApp, browser::cookie};

/// The `Set-Cookie` lines of a handler that gives a token of a session with an hour left, and that token.
async fn answered(state: &AppState, forgetful: bool, headers: &[(&str, &str)]) -> (Vec<String>, String) {
    let token = SessionToken::generate().unwrap();
    let text = token.expose();
    let token = Rc::new(token);
    let expires_at = state.clock.now() + Duration::from_secs(3_600);
    let key = Key::from(&[7; 64]);
    let bridge_key = Rc::new(key.clone());
    let bridging = state.clone();
    let sessions = SessionMiddleware::builder(BrowserSessionStore::new(state.clone()), key)
        .cookie_name(INNER_NAME.to_owned())
        .cookie_content_security(CookieContentSecurity::Signed)
        .session_lifecycle(BrowserLifecycle::default())
        .build();
    let handler = move |request: HttpRequest| {
        if forgetful {
            forget(&request);
        } else {
            give(&request, &token, expires_at);
        }
        std::future::ready(HttpResponse::Ok().finish())
    };
    let app = App::new()
        .route("/give", web::post().to(handler))
        .wrap(sessions)
        .wrap(from_fn(move |request, next| bridge(bridging.clone(), Rc::clone(&bridge_key), request, next)));
    let service = test::init_service(app).await;
    let mut request = test::TestRequest::post().uri("/give");
    for (name, value) in headers {
        request = request.append_header((*name, *value));
    }
    let response = test::call_service(&service, request.to_request()).await;
    let lines = response.headers().get_all("set-cookie").map(|line| line.to_str().unwrap().to_owned()).collect();
    (lines, text)
}

#[tokio::test]
async fn a_given_token_is_one_cookie_with_and_without_a_session() {
    for (persistent, max_age) in [(false, ""), (true, "; Max-Age=3600")] {
        let app = TestApp::spawn_with(&format!("session.persistent = {persistent}")).await;
        let live = app.given_session("alice").await;
        let unknown = SessionToken::generate().unwrap().expose();
        for presented in ["", "theme=dark", "junk", &cookie("junk"), &cookie(&unknown), &cookie(&live.token)] {
            let (lines, token) = answered(&app.state, false, &[("cookie", presented)]).await;
            let expected = format!("{}; Path=/; Secure; HttpOnly; SameSite=Lax{max_age}", cookie(&token));
            assert_eq!(lines, [expected], "{presented}");
        }
    }
}

#[tokio::test]
async fn who_presents_a_token_without_a_cookie_gets_no_cookie() {
    let app = TestApp::spawn().await;
    let live = app.given_session("alice").await;
    let authorization = format!("Session {}", live.token);
    for forgetful in [false, true] {
        let (lines, _) = answered(&app.state, forgetful, &[("authorization", &authorization)]).await;
        assert_eq!(lines, Vec::<String>::new());
        let (lines, _) = answered(&app.state, forgetful, &[("cookie", &live.cookie())]).await;
        assert_eq!(lines.len(), 1);
    }
}
