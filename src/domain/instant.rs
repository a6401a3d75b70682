//! How an instant is written: as text for people and programs, as one number for memory.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// An instant as RFC 3339 text, such as `2026-01-31T12:00:00Z`; empty beyond the year 9999, which that form cannot write.
#[must_use]
pub fn rfc3339(instant: OffsetDateTime) -> String {
    instant.format(&Rfc3339).unwrap_or_default()
}

/// An instant as microseconds since 1970, the precision of our clock and of Postgres.
#[must_use]
pub fn unix_microseconds(instant: OffsetDateTime) -> i64 {
    // Never near the limits: an instant has a year of at most six digits.
    instant.unix_timestamp() * 1_000_000 + i64::from(instant.microsecond())
}

/// The instant that [`unix_microseconds`] was taken of; nothing outside of the years that an instant can have.
#[must_use]
pub fn from_unix_microseconds(microseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1_000).ok()
}
