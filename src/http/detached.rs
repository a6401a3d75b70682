//! Work that goes on to its end when the client that asked for it hangs up.
//!
//! A handler is dropped together with its connection, wherever it is. What changes something must not stop between the change
//! and its audit record.

use tracing::Instrument as _;

use super::problem::Problem;

/// Runs `work` to its end, whether or not anybody still waits for it. What it logs carries the ids of the request.
///
/// # Errors
/// [`Problem::Internal`] when it panicked.
pub(super) async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work.in_current_span()).await.map_err(|_| Problem::Internal)
}
