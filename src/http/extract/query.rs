//! Reads a query string strictly: nothing twice, nothing that is not text.

use std::collections::BTreeMap;

use actix_web::HttpRequest;

use crate::http::problem::Problem;

/// The request's query, each name at most once.
///
/// # Errors
/// [`Problem::BadRequest`] for a name that occurs twice, or bytes that are not UTF-8 behind their percent escapes.
pub fn query_fields(request: &HttpRequest) -> Result<BTreeMap<String, String>, Problem> {
    let mut fields = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
        if value.contains(['\u{fffd}', '\0']) {
            return Err(Problem::BadRequest("a query parameter is not valid UTF-8 or holds U+0000".into()));
        }
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Problem::BadRequest("a query parameter occurs twice".into()));
        }
    }
    Ok(fields)
}
