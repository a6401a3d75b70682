//! Reads a request's body: whole, in time, within bounds, and of the right type.

use actix_web::{HttpMessage as _, HttpRequest, dev::Payload, http::header, web::Data};
use futures_util::StreamExt as _;
use zeroize::Zeroizing;

use crate::http::{problem::Problem, state::AppState};

/// Whether the body says once that it is of this type, in UTF-8 and without a content coding.
pub(super) fn is_of_type(request: &HttpRequest, wanted: &str) -> bool {
    let mut types = request.headers().get_all(header::CONTENT_TYPE);
    let (Some(_), None) = (types.next(), types.next()) else { return false };
    let Some(mime) = request.mime_type().ok().flatten() else { return false };
    let utf_8 = mime.get_param("charset").is_none_or(|charset| charset.as_str().eq_ignore_ascii_case("utf-8"));
    mime.essence_str() == wanted && utf_8 && !request.headers().contains_key(header::CONTENT_ENCODING)
}

/// The bytes of a body, which may hold secrets and are erased when they are dropped.
pub(super) async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let limits = request.app_data::<Data<AppState>>().ok_or(Problem::Internal)?.limits;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: u64| announced > limits.max_body as u64) {
        return Err(Problem::BodyTooLarge);
    }
    // Reserved at once where its length is known, so that it never moves and leaves no copy behind.
    let expected = announced.and_then(|announced| usize::try_from(announced).ok()).unwrap_or(limits.max_body);
    let whole = async {
        let mut body = Zeroizing::new(Vec::with_capacity(expected));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::BadRequest("the body broke off".into()))?;
            if body.len() + chunk.len() > limits.max_body {
                return Err(Problem::BodyTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(limits.body_timeout, whole).await.unwrap_or(Err(Problem::RequestTimeout))
}
