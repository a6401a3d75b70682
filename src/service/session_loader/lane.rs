//! One statement after the other: while one is under way, who asks is queued, and the next one is for all of them.
//!
//! No timer: an idle lane reads at once, a busy one reads for as many as have come meanwhile.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::RandomState},
    hash::{BuildHasher as _, Hasher as _},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{LoadError, Loaded, Owner, joint::Lead};
use crate::{
    clock::Clock,
    domain::{session::SessionId, session_token::SessionTokenDigest},
    service::{
        activity::Activity,
        freshness::{Freshness, Generation},
        session_cache::{CachedSession, SessionCache},
    },
    storage::{error::StorageError, session_reads::FoundRow, sessions::SessionStore},
    telemetry::error_chain::ErrorChain,
};

/// For how many requests one statement reads.
const MAX_BATCH: usize = 512;
/// How many requests may wait in one lane; beyond it they are refused at once.
const MAX_WAITING: usize = 8_192;

/// What all lanes share.
pub(super) struct Common {
    pub(super) cache: SessionCache,
    freshness: Arc<Freshness>,
    activity: Arc<Activity>,
    clock: Arc<dyn Clock>,
    /// Keyed, so that nobody can look for two states of a session with one hash.
    hasher: RandomState,
}

/// A request for the session of a token.
pub(super) struct Wanted {
    pub(super) current: SessionTokenDigest,
    /// The other digests under which it may be stored.
    pub(super) previous: Vec<SessionTokenDigest>,
    pub(super) answer: oneshot::Sender<Loaded>,
    /// Whoever has joined, where that is allowed.
    pub(super) lead: Option<Lead>,
}

/// A queue in front of the database.
pub(super) struct Lane {
    home: Handle,
    store: SessionStore,
    /// Whether the store's connection is this lane's alone.
    alone: bool,
    common: Arc<Common>,
    queue: Mutex<Queue>,
    /// Whether sessions are being moved to the current master key.
    moving: AtomicBool,
}

#[derive(Default)]
struct Queue {
    wanted: VecDeque<Wanted>,
    /// Whether somebody takes from it.
    served: bool,
}

impl Common {
    pub(super) fn new(
        cache: SessionCache,
        freshness: Arc<Freshness>,
        activity: Arc<Activity>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { cache, freshness, activity, clock, hasher: RandomState::new() }
    }

    /// What holds of a session from now on, by a reading that began at `read_at` after `generation` was noted.
    fn take(
        &self,
        current: SessionTokenDigest,
        row: &FoundRow,
        generation: Generation,
        read_at: Duration,
    ) -> Result<Arc<CachedSession>, StorageError> {
        let mut hasher = self.hasher.build_hasher();
        row.hash_state(&mut hasher)?;
        let state = hasher.finish();
        // Whether it was ended is never left to a hash.
        if !row.is_ended()?
            && let Some(known) = self.cache.confirm(&current, state, row.last_seen_at()?, generation, read_at)
        {
            return Ok(known);
        }
        let mut session = row.session()?;
        self.activity.refresh(&mut session);
        Ok(self.cache.take(current, CachedSession::new(session, generation, read_at).of_row(state)))
    }
}

impl Lane {
    /// A lane on the runtime `home`. Where `store` looks tokens up over a connection of this lane `alone`, it is closed with it.
    pub(super) fn new(home: Handle, store: SessionStore, alone: bool, common: Arc<Common>) -> Self {
        Self { home, store, alone, common, queue: Mutex::default(), moving: AtomicBool::new(false) }
    }

    /// Has a session read by a statement that begins after this call.
    ///
    /// # Errors
    /// [`LoadError::Overloaded`].
    pub(super) fn read(self: &Arc<Self>, wanted: Wanted) -> Result<(), LoadError> {
        let mut queue = self.queue();
        if queue.wanted.len() >= MAX_WAITING {
            return Err(LoadError::Overloaded);
        }
        queue.wanted.push_back(wanted);
        let served = mem::replace(&mut queue.served, true);
        drop(queue);
        if !served {
            drop(self.home.spawn(Server { lane: Arc::clone(self), ended: false }.serve()));
        }
        Ok(())
    }

    async fn read_round(self: &Arc<Self>, round: Vec<Wanted>) {
        let common = &self.common;
        // Noted first: whoever is ended from now on is marked with a later generation.
        let generation = common.freshness.generation();
        let read_at = common.clock.monotonic();
        let digests: Vec<&[u8]> = round.iter().flat_map(Wanted::digests).map(AsRef::as_ref).collect();
        let mut found = match self.found(&digests).await {
            Ok(found) => found,
            Err(error) => return fail(round, error),
        };
        let (mut others, mut to_move) = (Vec::new(), Vec::new());
        for wanted in round {
            let stored = wanted.digests().find(|digest| found.contains_key(digest)).copied();
            let Some((stored, found)) = stored.and_then(|stored| Some((stored, found.get_mut(&stored)?))) else {
                others.push(wanted);
                continue;
            };
            let current = wanted.current;
            let loaded = found.loaded.get_or_insert_with(|| {
                let taken = common.take(current, &found.row, generation, read_at);
                taken.map(Owner::Session).map_err(|error| LoadError::Storage(Arc::new(error)))
            });
            if stored != current
                && let Ok(Owner::Session(session)) = loaded
            {
                to_move.push((session.id(), stored, current));
            }
            let loaded = loaded.clone();
            wanted.answer(loaded);
        }
        self.move_to_current_key(to_move);
        if !others.is_empty() {
            self.read_former(others).await;
        }
    }

    async fn found(&self, digests: &[&[u8]]) -> Result<HashMap<SessionTokenDigest, FoundSession>, StorageError> {
        let rows = self.store.read_for_exchange(digests).await?;
        let found = |row: FoundRow| Ok((row.stored_digest()?, FoundSession { row, loaded: None }));
        rows.into_iter().map(found).collect()
    }

    /// Answers those whose tokens no session has now.
    async fn read_former(&self, round: Vec<Wanted>) {
        let digests: Vec<_> = round.iter().flat_map(Wanted::digests).copied().collect();
        let former: HashSet<_> = match self.store.former_among(&digests).await {
            Ok(former) => former.into_iter().collect(),
            Err(error) => return fail(round, error),
        };
        for wanted in round {
            self.common.cache.forget(&wanted.current);
            let was = wanted.digests().any(|digest| former.contains(digest.as_ref()));
            wanted.answer(Ok(if was { Owner::Former } else { Owner::Nobody }));
        }
    }

    /// Stores sessions under the digest of the current master key. Where that fails or is busy, their next reading tries again.
    fn move_to_current_key(self: &Arc<Self>, sessions: Vec<(SessionId, SessionTokenDigest, SessionTokenDigest)>) {
        if sessions.is_empty() || self.moving.swap(true, Ordering::AcqRel) {
            return;
        }
        let lane = Arc::clone(self);
        drop(self.home.spawn(async move {
            for (session, stored, current) in sessions {
                if let Err(error) = lane.store.replace_token_digest(session, stored.as_ref(), current).await {
                    tracing::warn!(session.id = %session, error = %ErrorChain(&error), "session not moved to the master key");
                }
            }
            lane.moving.store(false, Ordering::Release);
        }));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.alone {
            self.store.close_lookups();
        }
    }
}

/// A row, and what has become of it.
struct FoundSession {
    row: FoundRow,
    loaded: Option<Loaded>,
}

impl Wanted {
    fn digests(&self) -> impl Iterator<Item = &SessionTokenDigest> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Whether somebody still waits: after a statement that took long, most may have left.
    fn is_wanted(&mut self) -> bool {
        !self.answer.is_closed() || self.lead.as_mut().is_some_and(|lead| !lead.withdraw())
    }

    fn answer(self, loaded: Loaded) {
        if let Some(lead) = self.lead {
            lead.answer(&loaded);
        }
        // Whoever has left meanwhile needs no answer.
        let _ = self.answer.send(loaded);
    }
}

fn fail(round: Vec<Wanted>, error: StorageError) {
    let error = Arc::new(error);
    for wanted in round {
        wanted.answer(Err(LoadError::Storage(Arc::clone(&error))));
    }
}

/// Takes from a lane's queue until it is empty.
struct Server {
    lane: Arc<Lane>,
    ended: bool,
}

impl Server {
    async fn serve(mut self) {
        while let Some(round) = self.next_round() {
            self.lane.read_round(round).await;
        }
    }

    fn next_round(&mut self) -> Option<Vec<Wanted>> {
        let mut queue = self.lane.queue();
        let mut round = Vec::with_capacity(queue.wanted.len().min(MAX_BATCH));
        while round.len() < MAX_BATCH
            && let Some(mut wanted) = queue.wanted.pop_front()
        {
            if wanted.is_wanted() {
                round.push(wanted);
            }
        }
        if round.is_empty() {
            queue.served = false;
            self.ended = true;
            return None;
        }
        Some(round)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By a panic, or because the runtime ends: nobody may wait for what will not come, and the next one is to be served.
        if !self.ended {
            let abandoned = mem::take(&mut *self.lane.queue());
            drop(abandoned);
        }
    }
}
