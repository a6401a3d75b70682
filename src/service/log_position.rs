//! Where this replica stands in the revocation log, and what a reading of it changes. No I/O: the reading has been done.
//!
//! A poll reads the rows of exactly those transactions that the poll before could not see. So a row that was written early and
//! became visible late is never skipped. Rows that are read again all the same are known and do nothing.

use std::{collections::HashSet, time::Duration};

use super::freshness::Freshness;
use crate::storage::revocation_feed::{Horizon, LogEntry, Reading};

/// A replica that has not polled for this long may have missed rows.
const LONGEST_GAP: Duration = Duration::from_mins(5);

/// A replica's place in the revocation log.
#[derive(Debug, Default)]
pub struct LogPosition {
    cursor: Option<Horizon>,
    /// The server that the cursor is from.
    server: Option<String>,
    /// Rows that the next poll may find again.
    known: HashSet<LogEntry>,
    /// When the last successful poll began, in monotonic time.
    polled_at: Option<Duration>,
}

impl LogPosition {
    /// The oldest transaction that still ran at the last reading; nothing before the first one.
    #[must_use]
    pub fn cursor(&self) -> Option<Horizon> {
        self.cursor
    }

    /// When the last poll that succeeded began, in monotonic time.
    #[must_use]
    pub fn polled_at(&self) -> Option<Duration> {
        self.polled_at
    }

    /// Whether a row was read before.
    #[must_use]
    pub fn knows(&self, entry: &LogEntry) -> bool {
        self.known.contains(entry)
    }

    /// Marks whom the reading of a poll that began at `began` concerns, and then renews the lease as of that moment. A replica that
    /// is not in the registry has no lease: barriers do not wait for it.
    pub fn apply(&mut self, reading: &Reading, began: Duration, freshness: &Freshness) {
        let Reading { horizon, server, entries, registered, .. } = reading;
        if self.starts_over(reading, began) {
            freshness.mark_everyone(began);
        } else {
            for entry in entries.iter().filter(|entry| !self.known.contains(entry)) {
                freshness.mark(&entry.concerned, began);
            }
        }
        self.known = entries.iter().filter(|entry| entry.written_by >= *horizon).cloned().collect();
        self.cursor = Some(*horizon);
        self.server = Some(server.clone());
        self.polled_at = Some(began);
        freshness.age(began);
        if *registered {
            // Last of all: whoever is trusted by this poll has had its marks.
            freshness.renew(began);
        }
    }

    /// Whether rows may be missing between the last reading and this one, of a poll that began at `began`.
    #[must_use]
    pub fn starts_over(&self, reading: &Reading, began: Duration) -> bool {
        // Rows before the first reading are not known, and after a long silence rows may have been swept.
        self.polled_at.is_none_or(|last| began.saturating_sub(last) > LONGEST_GAP)
            // A server that has taken over, or was restarted, may use transaction ids again that the cursor is already past. One
            // of whose processes crashed does so too and looks the same, except that it has lost every connection.
            || self.server.as_ref() != Some(&reading.server)
            || reading.reconnected
            || self.cursor.is_some_and(|cursor| reading.horizon < cursor)
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::{domain::session::SessionId, storage::revocation_feed::Concerned};

    const SECOND: Duration = Duration::from_secs(1);

    fn reading(horizon: u64, entries: &[(u64, SessionId)]) -> Reading {
        let written_by = Horizon::of_transaction;
        let entry =
            |&(id, session): &_| LogEntry { written_by: written_by(id), concerned: Concerned::Session(session) };
        let entries = entries.iter().map(entry).collect();
        let server = "one".into();
        Reading { horizon: written_by(horizon), server, reconnected: false, registered: true, barrier: None, entries }
    }

    fn session() -> SessionId {
        SessionId::generate(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    /// Whether what was read of a session when the log stood at horizon 10 holds after the next reading.
    fn holds_after(next: &Reading, began: Duration, session: SessionId) -> bool {
        let freshness = Freshness::new(2 * SECOND, Duration::from_mins(60));
        let mut position = LogPosition::default();
        position.apply(&Reading { reconnected: true, ..reading(10, &[]) }, SECOND, &freshness);
        let generation = freshness.generation();
        position.apply(next, began, &freshness);
        assert!(freshness.trusted(began));
        freshness.holds(session, "alice", generation, SECOND, began)
    }

    #[test]
    fn a_reading_marks_whom_it_names_and_nobody_else() {
        let (ended, other) = (session(), session());
        assert!(!holds_after(&reading(12, &[(10, ended)]), 2 * SECOND, ended));
        assert!(holds_after(&reading(12, &[(10, ended)]), 2 * SECOND, other));
    }

    #[test]
    fn everyone_is_marked_where_rows_may_be_missing() {
        assert!(holds_after(&reading(10, &[]), 301 * SECOND, session()));
        let gaps = [
            ("a long silence", reading(10, &[]), 302 * SECOND),
            ("a new connection", Reading { reconnected: true, ..reading(10, &[]) }, 2 * SECOND),
            ("another server", Reading { server: "other".into(), ..reading(10, &[]) }, 2 * SECOND),
            ("transaction ids that went back", reading(9, &[]), 2 * SECOND),
        ];
        for (gap, next, began) in gaps {
            assert!(!holds_after(&next, began, session()), "{gap}");
        }
    }

    #[test]
    fn without_a_place_in_the_registry_there_is_no_lease() {
        let freshness = Freshness::new(2 * SECOND, Duration::from_mins(60));
        let mut position = LogPosition::default();
        position.apply(&Reading { registered: false, ..reading(10, &[]) }, SECOND, &freshness);
        assert!(!freshness.trusted(SECOND));
        position.apply(&reading(10, &[]), 2 * SECOND, &freshness);
        assert!(freshness.trusted(2 * SECOND));
    }

    #[test]
    fn a_row_that_is_read_again_marks_nobody_again() {
        let freshness = Freshness::new(2 * SECOND, Duration::from_mins(60));
        let (mut position, ended) = (LogPosition::default(), session());
        position.apply(&reading(10, &[]), SECOND, &freshness);
        position.apply(&reading(10, &[(11, ended)]), 2 * SECOND, &freshness);
        let generation = freshness.generation();
        position.apply(&reading(10, &[(11, ended)]), 3 * SECOND, &freshness);
        assert_eq!(freshness.generation(), generation);
        // Ids that are given again after a crash are other rows.
        let crashed = Reading { reconnected: true, ..reading(10, &[(11, ended)]) };
        position.apply(&crashed, 4 * SECOND, &freshness);
        assert!(freshness.generation() > generation);
    }
}
