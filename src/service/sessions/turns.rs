//! One at a time per subject, within this process.
//!
//! Starts of one subject wait for each other in Postgres, by a lock that holds on every replica. Waiting there costs a connection;
//! waiting here costs none, so that a burst for one subject leaves connections for everybody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

use crate::domain::subject::Subject;

/// The gates of the subjects that somebody has passed or waits for.
#[derive(Debug, Default)]
pub(super) struct Turns {
    gates: Mutex<HashMap<Subject, Arc<Gate<()>>>>,
}

/// A turn. It is over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    subject: Subject,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for a turn; nothing where it does not come within `patience`.
    pub(super) async fn take(&self, subject: &Subject, patience: Duration) -> Option<Turn<'_>> {
        let gate = Arc::clone(self.gates().entry(subject.clone()).or_default());
        // Made before the wait, so that a wait that is given up forgets its gate as well.
        let mut turn = Turn { turns: self, subject: subject.clone(), guard: None };
        turn.guard = Some(tokio::time::timeout(patience, gate.lock_owned()).await.ok()?);
        Some(turn)
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<Subject, Arc<Gate<()>>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut gates = self.turns.gates();
        drop(self.guard.take());
        // Under the lock nobody else can come for the gate: if only the map has it, nobody waits.
        if gates.get(&self.subject).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn one_subject_takes_turns_and_others_do_not_wait() {
        let turns = Turns::default();
        let [alice, bob] = ["alice", "bob"].map(|subject| Subject::parse(subject).unwrap());
        let first = turns.take(&alice, PATIENCE).await.unwrap();
        assert!(turns.take(&alice, Duration::ZERO).await.is_none(), "it is not over yet");
        let other = turns.take(&bob, PATIENCE).await.unwrap();
        let waiting = turns.take(&alice, PATIENCE);
        let (second, ()) = tokio::join!(waiting, async { drop(first) });
        assert_eq!(turns.gates().len(), 2);
        drop((second, other));
        assert!(turns.gates().is_empty(), "nothing is kept of those who have gone");
    }
}
