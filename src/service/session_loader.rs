//! Reads sessions for exchanges: many tokens in one statement, one reading for many requests.
//!
//! Requests queue what they want. A *lane* takes all of it, asks the database once, and answers everybody; what arrives
//! meanwhile waits for the next round. So the number of statements is bounded by the lanes, however many requests there are.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    activity::Activity,
    freshness::Freshness,
    session_cache::{CachedSession, SessionCache},
};
use crate::{
    clock::Clock,
    domain::{session::Session, session_token::SessionTokenDigest},
    storage::{error::StorageError, sessions::SessionStore},
    telemetry::error_chain::ErrorChain,
};

/// How many statements may be under way at once.
const MAX_LANES: usize = 4;
/// How many tokens one statement asks for.
const MAX_BATCH: usize = 512;
/// How many tokens may wait; beyond it requests are refused at once.
const MAX_WAITING: usize = 8_192;

/// Why a session could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// The database did not answer.
    #[error("the session could not be read")]
    Storage(#[source] Arc<StorageError>),
    /// Too many requests wait for the database.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// The process is about to end.
    #[error("the reading was interrupted")]
    Interrupted,
}

/// Whether a request may be answered by a reading that began before it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// Yes; the caller checks whether what it gets may be believed.
    Allowed,
    /// No: only a reading that begins after this request will do.
    Forbidden,
}

/// Whose a token is.
#[derive(Debug, Clone)]
pub enum Owner {
    /// A session has it now, alive or not.
    Session(Arc<CachedSession>),
    /// A session had it before.
    Former,
    /// No session has or had it.
    Nobody,
}

type Loaded = Result<Owner, LoadError>;

/// What a reading found, and whether it began before it was asked for.
#[derive(Debug)]
pub struct Found {
    /// Whose the token is.
    pub owner: Owner,
    /// Whether somebody else's reading was joined.
    pub joined: bool,
}

/// Reads sessions and keeps them in a cache.
pub struct SessionLoader {
    store: SessionStore,
    cache: SessionCache,
    freshness: Arc<Freshness>,
    activity: Arc<Activity>,
    clock: Arc<dyn Clock>,
    /// Where lanes live: a listener's own runtime may end before others have their answer.
    home: Handle,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    wanted: HashMap<SessionTokenDigest, Wanted>,
    /// Who waits for a reading that is under way.
    running: HashMap<SessionTokenDigest, Vec<oneshot::Sender<Loaded>>>,
    lanes: usize,
}

/// One token that somebody wants the session of.
struct Wanted {
    /// Every digest under which it may be stored, the current one first.
    digests: Vec<SessionTokenDigest>,
    waiting: Vec<oneshot::Sender<Loaded>>,
}

/// The digests of one round: by the current digest, all under which the session may be stored.
type Round = Vec<(SessionTokenDigest, Vec<SessionTokenDigest>)>;

impl fmt::Debug for SessionLoader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessionLoader").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl SessionLoader {
    /// A loader whose statements run on the runtime `home`.
    #[must_use]
    pub fn new(
        store: SessionStore,
        cache: SessionCache,
        freshness: Arc<Freshness>,
        activity: Arc<Activity>,
        clock: Arc<dyn Clock>,
        home: Handle,
    ) -> Self {
        Self { store, cache, freshness, activity, clock, home, queue: Mutex::default() }
    }

    /// What earlier readings have left.
    #[must_use]
    pub fn cache(&self) -> &SessionCache {
        &self.cache
    }

    /// Finds out whose a token is.
    ///
    /// `digests` are all under which it may be stored, the current one first.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(
        self: &Arc<Self>,
        digests: Vec<SessionTokenDigest>,
        joining: Joining,
    ) -> Result<Found, LoadError> {
        let Some(&current) = digests.first() else { return Ok(Found { owner: Owner::Nobody, joined: false }) };
        let mut joined = false;
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.queue();
            match queue.running.get_mut(&current) {
                Some(waiting) if joining == Joining::Allowed => {
                    joined = true;
                    waiting.push(answer);
                }
                _ => {
                    let queue = &mut *queue;
                    let full = queue.wanted.len() >= MAX_WAITING;
                    match queue.wanted.entry(current) {
                        Entry::Occupied(mut wanted) => wanted.get_mut().waiting.push(answer),
                        Entry::Vacant(_) if full => return Err(LoadError::Overloaded),
                        Entry::Vacant(free) => drop(free.insert(Wanted { digests, waiting: vec![answer] })),
                    }
                    if queue.lanes < MAX_LANES {
                        queue.lanes += 1;
                        drop(self.home.spawn(Arc::clone(self).lane()));
                    }
                }
            }
        }
        let owner = answered.await.unwrap_or(Err(LoadError::Interrupted))?;
        Ok(Found { owner, joined })
    }

    async fn lane(self: Arc<Self>) {
        while let Some(round) = self.next_round() {
            // Noted first: whoever is ended from now on is marked with a later generation.
            let generation = self.freshness.generation();
            let read_at = self.clock.monotonic();
            let digests: Vec<_> = round.iter().flat_map(|(_, digests)| digests.iter().copied()).collect();
            let read = self.read(&digests).await.map_err(Arc::new);
            let (mut found, former, failed) = match read {
                Ok((found, former)) => (found, former, None),
                Err(error) => (HashMap::new(), HashSet::new(), Some(error)),
            };
            for (current, digests) in round {
                let row = digests.iter().find_map(|digest| Some((*digest, found.remove(digest.as_ref())?)));
                let stored = row.as_ref().map(|(digest, session)| (*digest, session.id));
                let loaded = match (&failed, row) {
                    (Some(error), _) => Err(LoadError::Storage(Arc::clone(error))),
                    (None, Some((_, mut session))) => {
                        self.activity.refresh(&mut session);
                        let read = CachedSession::new(session, generation, read_at);
                        Ok(Owner::Session(self.cache.take(current, read)))
                    }
                    (None, None) => {
                        self.cache.forget(&current);
                        let was = digests.iter().any(|digest| former.contains(digest.as_ref()));
                        Ok(if was { Owner::Former } else { Owner::Nobody })
                    }
                };
                for waiting in self.queue().running.remove(&current).into_iter().flatten() {
                    // Whoever has left meanwhile needs no answer.
                    let _ = waiting.send(loaded.clone());
                }
                if let Some((digest, session)) = stored
                    && digest != current
                {
                    // Stored under a previous master key. Failing to move it costs nothing but a try at the next use.
                    if let Err(error) = self.store.replace_token_digest(session, digest.as_ref(), current).await {
                        tracing::warn!(session.id = %session, error = %ErrorChain(&error), "session not moved to the master key");
                    }
                }
            }
        }
    }

    /// The sessions that have these tokens now, by digest; and the digests of the others that a session had before.
    async fn read(
        &self,
        digests: &[SessionTokenDigest],
    ) -> Result<(HashMap<Vec<u8>, Session>, HashSet<Vec<u8>>), StorageError> {
        let rows = self.store.find_by_token_digests(digests).await?;
        let found: HashMap<_, _> = rows.into_iter().map(|row| (row.stored_digest, row.session)).collect();
        let others: Vec<_> = digests.iter().filter(|digest| !found.contains_key(digest.as_ref())).copied().collect();
        let former = if others.is_empty() { Vec::new() } else { self.store.former_among(&others).await? };
        Ok((found, former.into_iter().collect()))
    }

    /// Takes what is wanted and not being read already; ends the lane where there is nothing.
    fn next_round(&self) -> Option<Round> {
        let mut queue = self.queue();
        let Queue { wanted, running, .. } = &mut *queue;
        let next: Vec<_> =
            wanted.keys().filter(|digest| !running.contains_key(digest)).take(MAX_BATCH).copied().collect();
        let mut round = Vec::with_capacity(next.len());
        for current in next {
            if let Some(taken) = wanted.remove(&current) {
                running.insert(current, taken.waiting);
                round.push((current, taken.digests));
            }
        }
        if round.is_empty() {
            // A lane that is reading what is left looks again when it is done.
            queue.lanes -= 1;
            return None;
        }
        Some(round)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
