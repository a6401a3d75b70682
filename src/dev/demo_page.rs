//! The page of `ephemint dev`: static files that the demo microservice serves under `/demo/`, for a browser behind the gateway.
//!
//! The page has no data of its own. What it shows comes from the public listener (`/session`, `/sessions`) and from the
//! microservice (`/api/…`), all on one origin.

use actix_web::{
    HttpResponse, Resource, guard,
    http::header::{self, HeaderName},
    web,
};

/// Scripts, styles and requests of our own origin, and nothing else; the page cannot be framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// One file of the page.
#[derive(Debug, Clone, Copy)]
struct File {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// A file of the folder `demo_page`, under its own name.
macro_rules! file {
    ($name:literal, $media_type:literal) => {
        File {
            path: concat!("/demo/", $name),
            media_type: concat!($media_type, "; charset=utf-8"),
            text: include_str!(concat!("demo_page/", $name)),
        }
    };
}

const PAGE: &str = include_str!("demo_page/index.html");
const FILES: [File; 9] = [
    file!("style.css", "text/css"),
    file!("mark.svg", "image/svg+xml"),
    file!("main.js", "text/javascript"),
    file!("ask.js", "text/javascript"),
    file!("calls.js", "text/javascript"),
    file!("diagram.js", "text/javascript"),
    file!("session.js", "text/javascript"),
    file!("sessions.js", "text/javascript"),
    file!("token.js", "text/javascript"),
];

/// The page and its files.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource(File { path: "/demo/", media_type: "text/html; charset=utf-8", text: PAGE }));
    for file in FILES {
        config.service(resource(file));
    }
}

fn resource(file: File) -> Resource {
    let read = guard::Any(guard::Get()).or(guard::Head());
    web::resource(file.path).route(web::route().guard(read).to(move || async move { answer(file) }))
}

fn answer(file: File) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(file.media_type)
        // Always asked for anew: a rebuilt program must not meet yesterday's script.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .insert_header((HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .body(file.text)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use actix_web::{
        App,
        http::StatusCode,
        test::{TestRequest, call_service, init_service},
    };

    use super::*;
    use crate::dev::demo_account;

    #[actix_web::test]
    async fn every_file_that_the_page_names_is_served_under_the_strict_policy() {
        let app = init_service(App::new().configure(routes)).await;
        let named = PAGE.split('"').filter(|text| text.starts_with("/demo/"));
        let mut paths: BTreeSet<&str> = named.filter(|path| !path.contains('#')).collect();
        paths.extend(FILES.map(|file| file.path));
        assert!(paths.len() > FILES.len(), "the page names itself as well: {paths:?}");
        for path in paths {
            let response = call_service(&app, TestRequest::get().uri(path).to_request()).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap(), POLICY, "{path}");
            assert_eq!(response.headers().get(header::X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff", "{path}");
        }
        let response = call_service(&app, TestRequest::post().uri("/demo/").to_request()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy() {
        let scripts: Vec<&str> = PAGE.match_indices("<script").map(|(at, _)| &PAGE[at..]).collect();
        assert!(!scripts.is_empty() && scripts.iter().all(|tag| tag.split('>').next().unwrap().contains("src=")));
        for inline in [" style=", " onclick=", " onload=", " onsubmit=", "javascript:", "<style"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
        for file in FILES.into_iter().filter(|file| file.path != "/demo/mark.svg") {
            assert!(!file.text.contains("http://") && !file.text.contains("https://"), "{} asks others", file.path);
            assert!(!file.text.contains("innerHTML"), "{} writes markup", file.path);
        }
    }

    #[test]
    fn it_shows_the_demo_account() {
        assert!(PAGE.contains(&format!("<code>{}</code>", demo_account::NAME)));
        assert!(PAGE.contains(&format!("<code>{}</code>", demo_account::PASSWORD)));
    }

    #[test]
    fn no_file_of_the_folder_is_left_out() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dev/demo_page");
        let names: BTreeSet<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut served: BTreeSet<String> =
            FILES.iter().map(|file| file.path.trim_start_matches("/demo/").to_owned()).collect();
        served.extend(["index.html".to_owned(), "nginx.conf".to_owned()]);
        assert_eq!(names, served);
    }
}
