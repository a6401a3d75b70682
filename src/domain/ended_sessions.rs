//! Sessions that ended so recently that a token of theirs could still live: a bounded set whose entries go when their time is up.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::session::SessionId;

/// What is known to have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Sessions one by one.
    pub sessions: Vec<SessionId>,
    /// Every session with an id up to this one.
    pub up_to: Option<SessionId>,
}

impl Ended {
    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.up_to.is_none()
    }
}

/// There are more sessions than the set may hold; it holds none now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more sessions have ended than the feed of revocations may name")]
pub struct TooMany;

/// The set. Times are monotonic.
#[derive(Debug)]
pub struct EndedSessions {
    max: usize,
    sessions: BTreeSet<SessionId>,
    /// When each entry goes, the earliest first.
    ends: VecDeque<(Duration, SessionId)>,
    up_to: Option<(SessionId, Duration)>,
}

impl EndedSessions {
    /// An empty set of at most `max` sessions.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, sessions: BTreeSet::new(), ends: VecDeque::new(), up_to: None }
    }

    /// Adds what has ended, to be kept until `until`; calls come in the order of their `until`. Returns what was not in it.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn add(&mut self, ended: Ended, until: Duration) -> Result<Ended, TooMany> {
        let mut new = Ended::default();
        for session in ended.sessions {
            if self.sessions.insert(session) {
                self.ends.push_back((until, session));
                new.sessions.push(session);
            }
        }
        if let Some(up_to) = ended.up_to
            && self.up_to.is_none_or(|(known, _)| up_to > known)
        {
            self.up_to = Some((up_to, until));
            new.up_to = Some(up_to);
        }
        if self.sessions.len() > self.max {
            *self = Self::new(self.max);
            return Err(TooMany);
        }
        Ok(new)
    }

    /// Lets go of entries whose time is up; returns whether there were any.
    pub fn age(&mut self, now: Duration) -> bool {
        let before = self.sessions.len();
        while let Some(&(until, session)) = self.ends.front()
            && until <= now
        {
            self.sessions.remove(&session);
            self.ends.pop_front();
        }
        let over = self.up_to.is_some_and(|(_, until)| until <= now);
        if over {
            self.up_to = None;
        }
        over || self.sessions.len() < before
    }

    /// Everything in it, sessions in the order of their ids.
    #[must_use]
    pub fn all(&self) -> Ended {
        Ended { sessions: self.sessions.iter().copied().collect(), up_to: self.up_to.map(|(up_to, _)| up_to) }
    }

    /// How many sessions it names one by one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.up_to.is_none()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sessions(count: usize) -> Vec<SessionId> {
        (0..count).map(|_| SessionId::generate(datetime!(2026-11-01 12:00 UTC)).unwrap()).collect()
    }

    fn ended(sessions: &[SessionId]) -> Ended {
        Ended { sessions: sessions.to_vec(), up_to: None }
    }

    #[test]
    fn an_entry_goes_when_its_time_is_up_and_is_new_only_once() {
        let (mut set, ids) = (EndedSessions::new(9), sessions(2));
        assert_eq!(set.add(ended(&ids[..1]), 10 * SECOND).unwrap(), ended(&ids[..1]));
        assert_eq!(set.add(ended(&ids), 20 * SECOND).unwrap(), ended(&ids[1..]));
        assert!(!set.age(9 * SECOND));
        assert!(set.age(10 * SECOND));
        assert_eq!(set.all(), ended(&ids[1..]));
        assert!(set.age(20 * SECOND) && set.is_empty());
    }

    #[test]
    fn of_several_ends_of_everyone_the_last_one_counts() {
        let (mut set, [early, late]) = (
            EndedSessions::new(9),
            [datetime!(2026-11-01 12:00 UTC), datetime!(2026-11-01 12:01 UTC)].map(SessionId::first_at),
        );
        let everyone = |up_to| Ended { sessions: Vec::new(), up_to: Some(up_to) };
        assert_eq!(set.add(everyone(late), 10 * SECOND).unwrap(), everyone(late));
        assert!(set.add(everyone(early), 20 * SECOND).unwrap().is_empty());
        assert_eq!(set.all(), everyone(late));
        assert!(set.age(10 * SECOND) && set.is_empty());
    }

    #[test]
    fn beyond_its_bound_it_holds_nothing() {
        let (mut set, ids) = (EndedSessions::new(3), sessions(4));
        set.add(ended(&ids[..3]), SECOND).unwrap();
        assert_eq!(set.add(ended(&ids[3..]), SECOND), Err(TooMany));
        assert!(set.is_empty() && set.ends.is_empty());
    }

    #[test]
    fn ids_are_ordered_by_start() {
        let instant = datetime!(2026-11-01 12:00:00.123 UTC);
        let first = SessionId::first_at(instant);
        assert!(SessionId::generate(instant).unwrap() > first);
        assert!(SessionId::generate(instant - Duration::from_millis(1)).unwrap() < first);
        // As texts too: that is how services compare them.
        assert!(SessionId::generate(instant).unwrap().to_string() > first.to_string());
    }
}
