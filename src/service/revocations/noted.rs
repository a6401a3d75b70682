//! What polls of the revocation log have found and nobody has looked up yet. Bounded, and empty while nobody asks for the feed.

use std::time::Duration;

use super::Moment;
use crate::{
    domain::{session::SessionId, subject::Subject},
    storage::revocation_feed::{Concerned, LogEntry},
};

/// More than this are not noted one by one: the log is read as a whole instead.
const MOST: usize = 100_000;

/// What waits to be looked up.
#[derive(Debug, Default)]
pub(super) struct Noted {
    sessions: Vec<SessionId>,
    subjects: Vec<Subject>,
    /// Whether what is noted is all that was found since the last look.
    gapless: bool,
    /// When the last poll began.
    as_of: Option<Moment>,
    /// When somebody last asked, in monotonic time; nothing where that is too long ago.
    asked_at: Option<Duration>,
}

/// What to look up.
#[derive(Debug)]
pub(super) struct ToLookUp {
    /// Sessions that the log names.
    pub(super) sessions: Vec<SessionId>,
    /// Subjects that the log names.
    pub(super) subjects: Vec<Subject>,
    /// Whether the log has to be read as a whole instead.
    pub(super) whole: bool,
    /// As of when it is everything.
    pub(super) as_of: Moment,
}

impl ToLookUp {
    /// Whether nobody is named.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.subjects.is_empty()
    }
}

impl Noted {
    /// Notes what a poll found, or that it may have missed something. Returns whether anybody wants to know.
    pub(super) fn note(&mut self, found: Option<&[LogEntry]>, began: Moment, unasked: Duration) -> bool {
        self.as_of = Some(began);
        if self.asked_at.is_some_and(|asked| began.monotonic.saturating_sub(asked) >= unasked) {
            self.asked_at = None;
        }
        let Some(found) = found.filter(|_| self.asked_at.is_some()) else {
            self.lose_track();
            return self.asked_at.is_some();
        };
        for entry in found {
            match &entry.concerned {
                Concerned::Session(session) => self.sessions.push(*session),
                Concerned::Subject(subject) => self.subjects.push(subject.clone()),
                Concerned::Everyone => self.gapless = false,
            }
        }
        if !self.gapless || self.sessions.len() + self.subjects.len() > MOST {
            self.lose_track();
        }
        true
    }

    /// Notes that something may have been missed.
    pub(super) fn lose_track(&mut self) {
        self.gapless = false;
        self.sessions = Vec::new();
        self.subjects = Vec::new();
    }

    /// Notes that somebody asks at `now`. Returns whether nobody did before, so that everything has to be looked up.
    pub(super) fn ask(&mut self, now: Duration, unasked: Duration) -> bool {
        let slept = self.asked_at.is_none_or(|asked| now.saturating_sub(asked) >= unasked);
        if slept {
            self.lose_track();
        }
        self.asked_at = Some(now);
        slept
    }

    /// Takes what is to be looked up; nothing where nobody asks or nothing was polled yet, or where the whole log would have to be
    /// read and that is not allowed yet.
    pub(super) fn take(&mut self, whole_allowed: bool) -> Option<ToLookUp> {
        self.asked_at?;
        let as_of = self.as_of?;
        let whole = !self.gapless;
        if whole && !whole_allowed {
            return None;
        }
        // From here on what is found later is all that is missing.
        self.gapless = true;
        let (sessions, subjects) = (std::mem::take(&mut self.sessions), std::mem::take(&mut self.subjects));
        Some(ToLookUp { sessions, subjects, whole, as_of })
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::storage::revocation_feed::Horizon;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(monotonic: Duration) -> Moment {
        Moment { monotonic, wall: OffsetDateTime::UNIX_EPOCH }
    }

    fn row(concerned: Concerned) -> LogEntry {
        LogEntry { written_by: Horizon::of_transaction(7), concerned }
    }

    fn session() -> SessionId {
        SessionId::generate(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    /// One that somebody has asked for, and whose first look is over.
    fn asked() -> Noted {
        let mut noted = Noted::default();
        assert!(noted.ask(SECOND, 100 * SECOND));
        assert!(noted.note(Some(&[]), at(SECOND), 100 * SECOND));
        assert!(noted.take(true).unwrap().whole, "nothing is known at first");
        noted
    }

    #[test]
    fn what_was_found_is_looked_up_once() {
        let (mut noted, ended) = (asked(), session());
        noted.note(Some(&[row(Concerned::Session(ended))]), at(2 * SECOND), 100 * SECOND);
        let to_look_up = noted.take(false).unwrap();
        assert_eq!((to_look_up.sessions, to_look_up.whole, to_look_up.as_of), (vec![ended], false, at(2 * SECOND)));
        assert!(noted.take(false).unwrap().is_empty());
    }

    #[test]
    fn the_whole_log_is_read_after_a_gap_an_end_of_everyone_and_a_flood() {
        let flood: Vec<_> = (0..=MOST).map(|_| row(Concerned::Session(session()))).collect();
        for found in [None, Some(vec![row(Concerned::Everyone)]), Some(flood)] {
            let mut noted = asked();
            noted.note(found.as_deref(), at(2 * SECOND), 100 * SECOND);
            noted.note(Some(&[row(Concerned::Session(session()))]), at(3 * SECOND), 100 * SECOND);
            assert!(noted.take(false).is_none());
            let to_look_up = noted.take(true).unwrap();
            assert!(to_look_up.whole && to_look_up.is_empty());
        }
    }

    #[test]
    fn nothing_is_kept_while_nobody_asks() {
        let mut noted = asked();
        assert!(!noted.note(Some(&[row(Concerned::Session(session()))]), at(101 * SECOND), 100 * SECOND));
        assert!(noted.sessions.is_empty() && noted.take(true).is_none());
        assert!(noted.ask(102 * SECOND, 100 * SECOND));
        assert!(noted.take(true).unwrap().whole);
    }
}
