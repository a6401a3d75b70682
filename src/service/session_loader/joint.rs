//! Readings that others may join, whichever thread they are made on.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::Loaded;
use crate::domain::session_token::SessionTokenDigest;

/// Into how many parts the readings are split, so that threads seldom meet.
const SHARDS: usize = 64;

type Joined = HashMap<SessionTokenDigest, Vec<oneshot::Sender<Loaded>>>;

/// The readings that are wanted or under way, and who else waits for each.
pub(super) struct Joint {
    shards: Vec<Mutex<Joined>>,
}

/// What somebody who asks has to do.
pub(super) enum Part {
    /// To read, for all.
    Lead(Lead),
    /// To wait. Nothing comes where the one who was to read cannot any more.
    Joined(oneshot::Receiver<Loaded>),
}

/// The duty to answer those who join. Dropped without an answer, it tells them to ask for themselves.
pub(super) struct Lead {
    /// Nothing once it is answered.
    joint: Option<Arc<Joint>>,
    digest: SessionTokenDigest,
}

impl Default for Joint {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Joint {
    /// Joins the reading of a token, or begins one.
    pub(super) fn enter(joint: &Arc<Self>, digest: SessionTokenDigest) -> Part {
        match joint.shard(&digest).entry(digest) {
            Entry::Occupied(mut reading) => {
                let (answer, answered) = oneshot::channel();
                reading.get_mut().push(answer);
                Part::Joined(answered)
            }
            Entry::Vacant(free) => {
                free.insert(Vec::new());
                Part::Lead(Lead { joint: Some(Arc::clone(joint)), digest })
            }
        }
    }

    fn shard(&self, digest: &SessionTokenDigest) -> MutexGuard<'_, Joined> {
        let place = usize::from(digest.as_ref()[0]) % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Tells everybody who has joined. Whoever comes from now on begins another reading.
    pub(super) fn answer(mut self, loaded: &Loaded) {
        for joined in self.end() {
            // Whoever has left meanwhile needs no answer.
            let _ = joined.send(loaded.clone());
        }
    }

    /// Ends the duty where nobody waits any more; returns whether that is so.
    pub(super) fn withdraw(&mut self) -> bool {
        let Some(joint) = &self.joint else { return true };
        let mut shard = joint.shard(&self.digest);
        if shard.get(&self.digest).is_some_and(|joined| joined.iter().any(|joined| !joined.is_closed())) {
            return false;
        }
        shard.remove(&self.digest);
        drop(shard);
        self.joint = None;
        true
    }

    fn end(&mut self) -> Vec<oneshot::Sender<Loaded>> {
        let Some(joint) = self.joint.take() else { return Vec::new() };
        joint.shard(&self.digest).remove(&self.digest).unwrap_or_default()
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        drop(self.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::session_loader::Owner;

    const TOKEN: SessionTokenDigest = SessionTokenDigest::new([7; 32]);

    fn lead(joint: &Arc<Joint>) -> Lead {
        let Part::Lead(lead) = Joint::enter(joint, TOKEN) else { panic!("somebody else leads") };
        lead
    }

    fn join(joint: &Arc<Joint>) -> oneshot::Receiver<Loaded> {
        let Part::Joined(answered) = Joint::enter(joint, TOKEN) else { panic!("nobody to join") };
        answered
    }

    #[tokio::test]
    async fn everybody_who_joins_is_answered_and_the_next_one_leads() {
        let joint = Arc::default();
        let first = lead(&joint);
        let joined = [join(&joint), join(&joint)];
        first.answer(&Ok(Owner::Nobody));
        for answered in joined {
            assert!(matches!(answered.await, Ok(Ok(Owner::Nobody))));
        }
        lead(&joint).answer(&Ok(Owner::Nobody));
    }

    #[test]
    fn a_reading_is_withdrawn_only_where_nobody_waits() {
        let joint = Arc::default();
        let mut first = lead(&joint);
        let (stays, leaves) = (join(&joint), join(&joint));
        drop(leaves);
        assert!(!first.withdraw());
        drop(stays);
        assert!(first.withdraw());
        let second = lead(&joint);
        drop(first);
        drop(join(&joint));
        drop(second);
    }

    #[tokio::test]
    async fn whoever_has_joined_a_reading_that_is_given_up_hears_of_it() {
        let joint = Arc::default();
        let first = lead(&joint);
        let joined = join(&joint);
        drop(first);
        assert!(joined.await.is_err());
        // What is over does not take away what comes after it.
        let second = lead(&joint);
        let joined = join(&joint);
        second.answer(&Ok(Owner::Former));
        assert!(matches!(joined.await, Ok(Ok(Owner::Former))));
    }
}
