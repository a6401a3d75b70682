//! `GET /revocations`: the feed of revocations, as a document, by long polling, or as a stream of events.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::{Bytes, Data},
};

use tokio::sync::OwnedSemaphorePermit;

use super::revocation_stream::{self, pieces};
use crate::{
    http::{
        extract::{fields::invalid, query::Query},
        middleware::request::note,
        problem::Problem,
        state::AppState,
    },
    service::revocations::{FeedError, MEDIA_TYPE, Revocations, Snapshot},
    telemetry::error_chain::ErrorChain,
};

/// The longest time that a request may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// From how many bytes on whoever is sent the document counts as one who waits.
const LARGE: usize = 64 * 1024;

/// Where a listener was when it lost its connection (HTML Standard, section 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Who has ended lately.
///
/// # Errors
/// [`Problem::Unavailable`] where that is not known, or too many wait already.
pub async fn show(request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let wait = query.take("wait").map(|text| waiting_time(&text)).transpose()?.unwrap_or_default();
    query.finish()?;
    let answered = answer(&request, &state, wait).await;
    answered.map_err(|error| {
        note(&request, |log| log.error = Some(ErrorChain(&error).to_string()));
        Problem::Unavailable
    })
}

async fn answer(request: &HttpRequest, state: &AppState, wait: Duration) -> Result<HttpResponse, FeedError> {
    let feed = &state.revocations;
    feed.ask().await?;
    if request.method() == Method::GET && wants_events(request.headers()) {
        let last = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
        return revocation_stream::open(feed, &state.drain, last.and_then(|id| feed.place_of(id)));
    }
    if !wait.is_zero() && is_current(request.headers(), &feed.etag()?) {
        let _place = feed.listen()?;
        tokio::select! {
            () = another(request.headers(), feed) => {}
            () = tokio::time::sleep(wait) => {}
            () = state.drain.wait() => {}
        }
    }
    let snapshot = feed.snapshot()?;
    let current = is_current(request.headers(), &snapshot.etag);
    // A large one may take its time, and each version that somebody is still sent takes its room.
    let large = !current && request.method() == Method::GET && snapshot.text.len() > LARGE;
    let place = if large { Some(feed.listen()?) } else { None };
    Ok(document(current, &snapshot, place))
}

fn waiting_time(text: &str) -> Result<Duration, Problem> {
    let parsed = humantime::parse_duration(text).ok().filter(|wait| *wait <= LONGEST_WAIT);
    parsed.ok_or_else(|| invalid("wait", "a time from 0s to 60s, such as 30s"))
}

/// Returns once the feed is another than the client has, or cannot say.
async fn another(headers: &HeaderMap, feed: &Revocations) {
    let mut changes = feed.watch();
    while feed.etag().is_ok_and(|etag| is_current(headers, &etag)) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Whether the client has it already (RFC 9110 §13.1.2).
fn is_current(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let presented = headers.get_all(header::IF_NONE_MATCH).filter_map(|line| line.to_str().ok());
    let mut tags = presented.flat_map(|line| line.split(','));
    tags.any(|tag| opaque(tag) == opaque(etag) || tag.trim() == "*")
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).filter_map(|line| line.to_str().ok());
    let mut ranges = accepted.flat_map(|line| line.split(','));
    ranges.any(|range| range.split(';').next().is_some_and(|name| name.trim() == "text/event-stream"))
}

fn document(unchanged: bool, snapshot: &Snapshot, place: Option<OwnedSemaphorePermit>) -> HttpResponse {
    let mut response = if unchanged {
        HttpResponse::NotModified().finish()
    } else {
        let (size, pieces) = (snapshot.text.len(), pieces(&snapshot.text).rev().collect());
        HttpResponse::Ok().content_type(MEDIA_TYPE).body(InPieces { size, pieces, _place: place })
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(&snapshot.etag) {
        headers.insert(header::ETAG, value);
    }
    response
}

/// A body that is shared with others and copied to the socket piece by piece.
struct InPieces {
    size: usize,
    /// The next one last.
    pieces: Vec<Bytes>,
    /// Among those who wait, for as long as it is being sent.
    _place: Option<OwnedSemaphorePermit>,
}

impl MessageBody for InPieces {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(self.pieces.pop().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_a_unit_and_a_bound() {
        assert_eq!(waiting_time("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(waiting_time("1min").unwrap(), LONGEST_WAIT);
        for text in ["", "30", "61s", "-1s", "all", "1d"] {
            assert!(waiting_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_validator_is_compared_without_regard_to_its_strength() {
        let headers =
            |line: &'static str| HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(line))]);
        for line in ["W/\"a\"", "\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(is_current(&headers(line), "W/\"a\""), "{line}");
        }
        for line in ["W/\"b\"", "a", ""] {
            assert!(!is_current(&headers(line), "W/\"a\""), "{line}");
        }
    }

    #[test]
    fn events_are_for_those_who_ask_for_them() {
        let headers = |line: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(line))]);
        assert!(wants_events(&headers("text/event-stream")));
        assert!(wants_events(&headers("application/json, text/event-stream;q=0.9")));
        for line in ["*/*", "text/*", "application/revocations+jwt", "text/event-streams"] {
            assert!(!wants_events(&headers(line)), "{line}");
        }
    }
}
