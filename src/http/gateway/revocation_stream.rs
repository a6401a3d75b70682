//! The feed of revocations as server-sent events (HTML Standard, section 9.2): a snapshot, then each change, and a heartbeat.
//!
//! A slow listener costs what its socket buffers: statements are shared, and written piece by piece. One that lags behind the kept
//! changes gets a snapshot.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    web::Bytes,
};
use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    http::drain::Drain,
    service::revocations::{FeedError, Revocations, Statement},
};

/// How much of a statement is copied to a socket's buffer at once.
const PIECE: usize = 16 * 1024;

/// Asks proxies of the nginx kind not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Opens a stream for a listener who was at the place `at`; for a new one where there is none.
///
/// # Errors
/// [`FeedError::TooManyListeners`].
pub(super) fn open(feed: &Arc<Revocations>, drain: &Drain, at: Option<u64>) -> Result<HttpResponse, FeedError> {
    let mut heartbeat = interval(feed.rules().heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // After a cut, a listener comes back after a second.
    let listener = Listener {
        place: feed.listen()?,
        feed: Arc::clone(feed),
        drain: drain.clone(),
        at,
        changes: feed.watch(),
        heartbeat,
        pieces: VecDeque::from([Bytes::from_static(b"retry: 1000\n\n")]),
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let piece = listener.next().await?;
        Some((Ok::<_, Infallible>(piece), listener))
    });
    let mut response = HttpResponse::Ok().content_type("text/event-stream").streaming(events);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Cuts a statement into pieces that share its memory.
pub(super) fn pieces(text: &Arc<[u8]>) -> impl DoubleEndedIterator<Item = Bytes> + use<> {
    let whole = Bytes::from_owner(Arc::clone(text));
    let count = whole.len().div_ceil(PIECE);
    (0..count).map(move |piece| whole.slice(piece * PIECE..whole.len().min((piece + 1) * PIECE)))
}

struct Listener {
    feed: Arc<Revocations>,
    drain: Drain,
    /// What has been told.
    at: Option<u64>,
    changes: watch::Receiver<u64>,
    heartbeat: Interval,
    pieces: VecDeque<Bytes>,
    #[expect(dead_code, reason = "held for as long as this listens")]
    place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next bytes; nothing when the stream ends, because the process leaves.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece);
            }
            if self.drain.is_draining() {
                return None;
            }
            // Before looking, so that no change falls in between.
            self.changes.mark_unchanged();
            for statement in self.feed.since(&mut self.at).unwrap_or_default() {
                self.push(&statement);
            }
            if !self.pieces.is_empty() {
                self.heartbeat.reset();
                continue;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = self.drain.wait() => {}
                _ = self.heartbeat.tick() => self.say_that_nothing_changed(),
            }
        }
    }

    /// A heartbeat, which is signed only where it is true that nothing was missed; otherwise it keeps the connection open, no more.
    fn say_that_nothing_changed(&mut self) {
        // As long as there is a listener, somebody asks.
        self.feed.still_asked();
        match self.at.map(|at| self.feed.heartbeat(at)) {
            Some(Ok(Some(statement))) => self.push(&statement),
            Some(Ok(None)) => {}
            Some(Err(_)) | None => self.pieces.push_back(Bytes::from_static(b": not complete\n\n")),
        }
    }

    fn push(&mut self, statement: &Statement) {
        let name = if statement.is_snapshot { "snapshot" } else { "changes" };
        self.pieces.push_back(format!("id: {}\nevent: {name}\ndata: ", statement.id).into());
        self.pieces.extend(pieces(&statement.text));
        self.pieces.push_back(Bytes::from_static(b"\n\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_again() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let text: Arc<[u8]> = (0..length).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect();
            let cut: Vec<Bytes> = pieces(&text).collect();
            assert!(cut.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
            assert_eq!(cut.concat(), *text);
        }
    }
}
