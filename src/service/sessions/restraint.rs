//! How often one session may be told of: whoever flips their browser back and forth must not drown what others have to hear.
//!
//! Counted by each process for itself and forgotten with it. What is not told now is noticed again by a later request.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::session::SessionId;

/// How many changes of one session are told of in one [`WINDOW`].
const MOST: u32 = 10;
/// The time after which counting begins anew.
const WINDOW: Duration = Duration::from_mins(10);
/// Most sessions that are counted; beyond it all are forgotten: it costs events, never memory.
const MAX_SESSIONS: usize = 10_000;

/// Counts by session, of those that something was told of lately.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    told: Mutex<HashMap<SessionId, Told>>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    since: Duration,
    count: u32,
}

impl Restraint {
    /// Whether a session has been told of as often as it may.
    pub(super) fn is_exhausted(&self, session: SessionId, monotonic: Duration) -> bool {
        self.told().get(&session).is_some_and(|told| told.count >= MOST && !told.is_over(monotonic))
    }

    /// Counts that a session was told of.
    pub(super) fn count(&self, session: SessionId, monotonic: Duration) {
        let mut told = self.told();
        if told.len() >= MAX_SESSIONS && !told.contains_key(&session) {
            told.retain(|_, told| !told.is_over(monotonic));
            if told.len() >= MAX_SESSIONS {
                told.clear();
            }
        }
        let told = told.entry(session).or_insert(Told { since: monotonic, count: 0 });
        if told.is_over(monotonic) {
            *told = Told { since: monotonic, count: 0 };
        }
        told.count = told.count.saturating_add(1);
    }

    fn told(&self) -> MutexGuard<'_, HashMap<SessionId, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn is_over(self, monotonic: Duration) -> bool {
        monotonic.saturating_sub(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn session() -> SessionId {
        SessionId::generate(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_session_is_told_of_so_often_in_a_window() {
        let (restraint, one, other) = (Restraint::default(), session(), session());
        for _ in 0..MOST {
            assert!(!restraint.is_exhausted(one, Duration::ZERO));
            restraint.count(one, Duration::ZERO);
        }
        assert!(restraint.is_exhausted(one, WINDOW.saturating_sub(Duration::from_nanos(1))));
        assert!(!restraint.is_exhausted(other, Duration::ZERO));
        assert!(!restraint.is_exhausted(one, WINDOW));
        restraint.count(one, WINDOW);
        assert!(!restraint.is_exhausted(one, WINDOW), "counted anew");
    }

    #[test]
    fn it_never_remembers_more_than_it_may() {
        let restraint = Restraint::default();
        for number in 0..=2 * MAX_SESSIONS {
            restraint.count(session(), Duration::from_millis(u64::try_from(number).unwrap()));
            assert!(restraint.told().len() <= MAX_SESSIONS);
        }
    }
}
