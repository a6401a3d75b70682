//! Reads sessions for exchanges: many tokens in one statement, one reading for many requests.
//!
//! Each thread that serves requests has a *lane*, with a connection of its own whose traffic stays on that thread: to wake
//! another thread for every answer costs more than the answer. Requests that a reading under way is good enough for join it,
//! whichever lane it is in.

mod joint;
mod lane;

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    runtime::{self, Handle, RuntimeFlavor},
    sync::oneshot,
};

use self::{
    joint::{Joint, Part},
    lane::{Common, Lane, Wanted},
};
use super::{
    activity::Activity,
    freshness::Freshness,
    session_cache::{CachedSession, SessionCache},
};
use crate::{
    clock::Clock,
    domain::session_token::SessionTokenDigest,
    storage::{error::StorageError, sessions::SessionStore},
    telemetry::error_chain::ErrorChain,
};

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

/// What a reading found, and whether it may have begun before it was asked for.
#[derive(Debug)]
pub struct Found {
    /// Whose the token is.
    pub owner: Owner,
    /// Whether somebody else's reading was joined.
    pub joined: bool,
}

/// Tells loaders apart where threads keep their lanes.
static NEXT_LOADER: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The lanes of this thread. They end with it, and their connections with them.
    static LANES: RefCell<Vec<LaneHere>> = const { RefCell::new(Vec::new()) };
}

struct LaneHere {
    loader: u64,
    runtime: runtime::Id,
    lane: Arc<Lane>,
}

/// Reads sessions and keeps them in a cache.
pub struct SessionLoader {
    number: u64,
    store: SessionStore,
    common: Arc<Common>,
    joint: Arc<Joint>,
    /// For whoever asks from a runtime that many threads share.
    home: Arc<Lane>,
}

impl fmt::Debug for SessionLoader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessionLoader").field("cache", &self.common.cache).finish_non_exhaustive()
    }
}

impl SessionLoader {
    /// A loader. Who asks from a single-threaded runtime gets a lane of its own there, everybody else one on the runtime `home`.
    #[must_use]
    pub fn new(
        store: SessionStore,
        cache: SessionCache,
        freshness: Arc<Freshness>,
        activity: Arc<Activity>,
        clock: Arc<dyn Clock>,
        home: Handle,
    ) -> Self {
        let common = Arc::new(Common::new(cache, freshness, activity, clock));
        Self {
            number: NEXT_LOADER.fetch_add(1, Ordering::Relaxed),
            home: Arc::new(Lane::new(home, store.clone(), false, Arc::clone(&common))),
            store,
            common,
            joint: Arc::default(),
        }
    }

    /// What earlier readings have left.
    #[must_use]
    pub fn cache(&self) -> &SessionCache {
        &self.common.cache
    }

    /// Finds out whose a token is.
    ///
    /// `previous` are the digests, beside the current one, under which it may still be stored.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(
        &self,
        current: SessionTokenDigest,
        previous: Vec<SessionTokenDigest>,
        joining: Joining,
    ) -> Result<Found, LoadError> {
        let lead = match joining {
            Joining::Forbidden => None,
            Joining::Allowed => match Joint::enter(&self.joint, current) {
                Part::Lead(lead) => Some(lead),
                Part::Joined(answered) => {
                    if let Ok(Ok(owner)) = answered.await {
                        return Ok(Found { owner, joined: true });
                    }
                    // The thread that was reading has ended, is overloaded, or has lost its connection. This one may still find out.
                    None
                }
            },
        };
        let (answer, answered) = oneshot::channel();
        self.lane().read(Wanted { current, previous, answer, lead })?;
        let owner = answered.await.unwrap_or(Err(LoadError::Interrupted))?;
        Ok(Found { owner, joined: false })
    }

    /// The lane of the thread that asks.
    fn lane(&self) -> Arc<Lane> {
        let here =
            Handle::try_current().ok().filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread);
        here.and_then(|runtime| self.lane_on(runtime)).unwrap_or_else(|| Arc::clone(&self.home))
    }

    fn lane_on(&self, runtime: Handle) -> Option<Arc<Lane>> {
        let id = runtime.id();
        let find = |lanes: &RefCell<Vec<LaneHere>>| {
            let mut lanes = lanes.borrow_mut();
            if let Some(here) = lanes.iter().find(|here| here.loader == self.number && here.runtime == id) {
                return Some(Arc::clone(&here.lane));
            }
            let store = self.store.branch();
            let store = store.inspect_err(|error| {
                tracing::warn!(error = %ErrorChain(error), "no connection for this thread alone; it uses those of all");
            });
            let lane = Arc::new(Lane::new(runtime, store.ok()?, true, Arc::clone(&self.common)));
            lanes.retain(|here| here.loader != self.number);
            lanes.push(LaneHere { loader: self.number, runtime: id, lane: Arc::clone(&lane) });
            Some(lane)
        };
        LANES.try_with(find).ok().flatten()
    }
}
