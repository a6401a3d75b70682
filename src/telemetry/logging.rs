//! The log: one JSON object per line, or a calm text where a person watches a terminal.
//!
//! What may be logged and what never is: `docs/logging.md`.

use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::Metadata;
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::span_fields::SpanFields;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON everywhere else.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
    Pretty,
}

/// The log was set up twice in one process.
#[derive(Debug, thiserror::Error)]
#[error("the log is already set up")]
pub struct AlreadySetUp;

/// Whether listeners are being closed, which the server library takes for an error.
static CLOSING: AtomicBool = AtomicBool::new(false);

/// Tells the log that listeners are closed on purpose from now on.
pub fn expect_closed_listeners() {
    CLOSING.store(true, Ordering::Relaxed);
    // What is filtered is asked once for each place that logs, not once for each line.
    tracing::callsite::rebuild_interest_cache();
}

/// Starts writing log lines to standard error; call it once, first.
///
/// `level` is the least severe level of Ephemint's own lines; libraries speak from `warn` on. Audit events are written whatever
/// the level, unless `quiet`: then only warnings and worse appear.
///
/// # Errors
/// [`AlreadySetUp`] on a second call.
pub fn init(format: LogFormat, level: &str, quiet: bool) -> Result<(), AlreadySetUp> {
    let filter = EnvFilter::new(if quiet { "warn".to_owned() } else { format!("warn,ephemint={level},audit=info") });
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let expected = |line: &Metadata<'_>| CLOSING.load(Ordering::Relaxed) && line.target().starts_with("actix_server");
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(move |line| !expected(line)));
    let result = if json {
        let layer = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        let layer = layer.fmt_fields(SpanFields);
        registry.with(layer.with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().compact().with_target(false).with_writer(std::io::stderr)).try_init()
    };
    result.map_err(|_| AlreadySetUp)
}
