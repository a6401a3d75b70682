//! Whether a request is a person's, who would rather read a page than a problem document.

use actix_web::{
    HttpMessage as _, HttpRequest,
    http::{
        Method,
        header::{self, HeaderMap},
    },
};

/// Whether a browser goes to a page with this request: it reads, or sends a form, and prefers HTML to JSON.
///
/// A media range with a wildcard names neither (RFC 9110 §12.5.1), so that scripts and command-line clients get JSON.
#[must_use]
pub fn wants_page(request: &HttpRequest) -> bool {
    let goes_to_a_page = match *request.method() {
        Method::GET | Method::HEAD => true,
        Method::POST => request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded"),
        _ => false,
    };
    goes_to_a_page && prefers_html(request.headers())
}

fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (0.0_f32, 0.0_f32);
    let lines = headers.get_all(header::ACCEPT).filter_map(|line| line.to_str().ok());
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // What is no number between 0 and 1 is no wish.
        let quality = quality.map_or(Some(1.0), |text| text.parse().ok().filter(|q| (0.0..=1.0).contains(q)));
        let quality = quality.unwrap_or(0.0);
        match media_type.as_str() {
            "text/html" | "application/xhtml+xml" => html = html.max(quality),
            "application/json" | "application/problem+json" => json = json.max(quality),
            _ => {}
        }
    }
    html > 0.0 && html >= json
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn wants(method: Method, headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(TestRequest::default().method(method), |request, header| request.append_header(*header));
        wants_page(&request.to_http_request())
    }

    const CHROMIUM: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn a_navigation_wants_a_page() {
        assert!(wants(Method::GET, &[("accept", CHROMIUM)]));
        assert!(wants(Method::HEAD, &[("accept", "text/html;q=0.1")]));
        assert!(wants(Method::POST, &[("accept", CHROMIUM), FORM]));
        assert!(wants(Method::GET, &[("accept", "application/json;q=0.5"), ("accept", "TEXT/HTML ; q=0.6")]));
    }

    #[test]
    fn everything_else_wants_a_document() {
        for accept in [
            "",
            "*/*",
            "text/*",
            "application/json",
            "application/problem+json, text/html;q=0.9",
            "text/html;q=0",
            "text/html;q=9",
            "text/html;q=NaN",
            "text/htmlx",
        ] {
            assert!(!wants(Method::GET, &[("accept", accept)]), "{accept}");
        }
        assert!(!wants(Method::GET, &[]));
        assert!(!wants(Method::POST, &[("accept", CHROMIUM), ("content-type", "application/json")]));
        assert!(!wants(Method::DELETE, &[("accept", CHROMIUM)]));
    }
}
