//! What operators see: metrics and log lines.

pub mod error_chain;
pub mod logging;
pub mod metrics;
mod span_fields;
