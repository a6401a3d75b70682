//! `GET /assets/{name}`: what pages link to.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{Data, Path},
};

use crate::http::{problem::Problem, state::AppState};

/// For a link that holds the content's own hash: what it leads to never changes (RFC 8246).
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For any other link.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A picture has no business but to be looked at, even when it is opened by itself.
const OF_PICTURES: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");

/// One file, or 304 where the browser has it already.
///
/// # Errors
/// [`Problem::NotFound`] for a name that no page links to.
pub async fn show(name: Path<String>, request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let asset = state.pages.asset(&name).ok_or(Problem::NotFound)?;
    let known = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|line| line.to_str().ok());
    let mut tags = known.flat_map(|line| line.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let mut response = if tags.any(|tag| tag == asset.etag || tag == "*") {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok().content_type(asset.media_type).body(asset.body.clone())
    };
    let headers = response.headers_mut();
    let named_by_content = request.query_string().strip_prefix("v=") == Some(&asset.version);
    headers.insert(header::CACHE_CONTROL, if named_by_content { FOR_GOOD } else { ASK_AGAIN });
    if let Ok(tag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, tag);
    }
    if asset.media_type.starts_with("image/") {
        headers.insert(header::CONTENT_SECURITY_POLICY, OF_PICTURES);
    }
    Ok(response)
}
