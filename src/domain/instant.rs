//! How an instant is written for people and programs.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// An instant as RFC 3339 text, such as `2026-01-31T12:00:00Z`; empty beyond the year 9999, which that form cannot write.
#[must_use]
pub fn rfc3339(instant: OffsetDateTime) -> String {
    instant.format(&Rfc3339).unwrap_or_default()
}
