//! The feed of revocations: which sessions ended so recently that a token of theirs could still live, for services that refuse them.
//!
//! The follower notes whom the log names; a task looks up what became of them and signs what services are told. Nothing is looked
//! up while nobody asks. What was not seen in the log is read again from it as a whole, and until then there is no answer.
//!
//! - `noted`: what waits to be looked up.
//! - `statements`: what is signed.

mod noted;
mod statements;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use self::noted::{Noted, ToLookUp};
use self::statements::{Change, Rendered};
pub use self::statements::{MEDIA_TYPE, Snapshot, Statement};
use super::key_ring::{KeyRing, NoSigner};
use crate::{
    clock::Clock,
    crypto::error::CryptoError,
    domain::{
        audience::Algorithm,
        ended_sessions::{Ended, EndedSessions, TooMany},
        session::SessionId,
    },
    random::{self, RandomFailed},
    storage::{
        ended_sessions::{EndedSessionStore, Wanted},
        error::StorageError,
        revocation_feed::LogEntry,
    },
    telemetry::metrics::Metrics,
};

/// Nothing is looked up once nobody has asked for this long.
const UNASKED: Duration = Duration::from_mins(5);
/// Rows that were written this long before the window are read as well: their transaction may have ended late.
const LONGEST_TRANSACTION: Duration = Duration::from_mins(5);
/// How far apart the clocks of replicas may be. Sessions that started this close to an end of everyone are named one by one.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// How long to wait before the log is read again as a whole.
const PAUSE: Duration = Duration::from_secs(1);
/// The same, where more have ended than the feed may name.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// Changes that are kept for listeners who lag behind, by the sessions that they name; at least as many as changes.
const HISTORY: usize = 20_000;

/// The rules of the feed.
#[derive(Debug, Clone)]
pub struct FeedRules {
    /// The issuer of its statements.
    pub issuer: String,
    /// What they are signed with.
    pub algorithm: Algorithm,
    /// How long a token of a session that has ended may be taken after the end, by whoever is slowest.
    pub window: Duration,
    /// How long what was read counts as complete.
    pub lease: Duration,
    /// How long after its absolute end a session's tokens may be taken.
    pub leeway: Duration,
    /// How old a session may become.
    pub absolute_timeout: Duration,
    /// Most sessions that it names.
    pub max_entries: usize,
    /// Most listeners.
    pub max_listeners: usize,
    /// How often listeners are told that nothing has changed.
    pub heartbeat: Duration,
}

/// An instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic time.
    pub monotonic: Duration,
    /// The wall clock.
    pub wall: OffsetDateTime,
}

/// Why the feed has no answer.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// It is not known who has ended, or too much time has passed since it was.
    #[error("the feed of revocations is not complete")]
    NotComplete,
    /// As many listen as may.
    #[error("too many listen to the feed of revocations")]
    TooManyListeners,
    /// More have ended than it may name.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The database does not say who has ended.
    #[error("the sessions that have ended could not be looked up")]
    Storage(#[from] StorageError),
    /// Nothing can be signed.
    #[error("no key signs the feed of revocations")]
    NoSigner(#[from] NoSigner),
    /// Signing failed.
    #[error("the feed of revocations could not be signed")]
    Sign(#[from] CryptoError),
    /// No name for this run of the feed.
    #[error(transparent)]
    Random(#[from] RandomFailed),
}

/// The feed.
#[derive(Debug)]
pub struct Revocations {
    store: EndedSessionStore,
    ring: Arc<KeyRing>,
    rules: FeedRules,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// Names this run, so that no other replica's place is taken for one of ours.
    run: String,
    noted: Mutex<Noted>,
    /// Held while something is looked up; inside: when the log may be read as a whole again.
    looking_up: tokio::sync::Mutex<Duration>,
    /// Tells the task that something was noted.
    work: Arc<Notify>,
    state: Mutex<State>,
    rendered: Mutex<Rendered>,
    /// Counts lookups: whoever waits for a change waits for this.
    settled: watch::Sender<u64>,
    listeners: Arc<Semaphore>,
    /// Counts changes of any kind.
    revision: AtomicU64,
    /// Counts losses of track: what was being looked up at one may lack what was missed.
    losses: AtomicU64,
}

#[derive(Debug)]
struct State {
    ended: EndedSessions,
    /// As of when everything is in it; nothing where that is not known.
    complete: Option<Moment>,
    /// How many changes there were that added something.
    version: u64,
    /// The last of them, the oldest first.
    history: VecDeque<Change>,
}

impl Revocations {
    /// A feed that knows nothing yet.
    ///
    /// # Errors
    /// [`RandomFailed`] when it cannot be named.
    pub fn new(
        store: EndedSessionStore,
        ring: Arc<KeyRing>,
        rules: FeedRules,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, RandomFailed> {
        let run = random::name::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let ended = EndedSessions::new(rules.max_entries);
        let state = State { ended, complete: None, version: 0, history: VecDeque::new() };
        Ok(Self {
            store,
            ring,
            clock,
            metrics,
            run,
            noted: Mutex::default(),
            looking_up: tokio::sync::Mutex::default(),
            work: Arc::default(),
            state: Mutex::new(state),
            rendered: Mutex::default(),
            settled: watch::Sender::new(0),
            listeners: Arc::new(Semaphore::new(rules.max_listeners)),
            revision: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            rules,
        })
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &FeedRules {
        &self.rules
    }

    /// Is told when there is something to [look up](Self::settle).
    #[must_use]
    pub fn work(&self) -> Arc<Notify> {
        Arc::clone(&self.work)
    }

    /// Notes whom a poll that began at `began` found in the log; nothing where it may have missed something.
    pub fn note(&self, found: Option<&[LogEntry]>, began: Moment) {
        if self.noted().note(found, began, UNASKED) {
            self.work.notify_one();
        }
    }

    /// Notes that something may have been missed.
    pub fn lose_track(&self) {
        self.noted().lose_track();
        let mut state = self.state();
        self.losses.fetch_add(1, Ordering::AcqRel);
        state.complete = None;
    }

    /// [Looks up](Self::settle) what was noted, and loses track where that takes too long. So whatever was noted before the call is in
    /// the feed after it, or the feed has no answer.
    pub async fn catch_up(&self) {
        if tokio::time::timeout(self.rules.lease, self.settle()).await.is_err() {
            self.lose_track();
        }
    }

    /// Looks up what was noted, so that the feed is complete as of the last poll. Does nothing while nobody asks.
    ///
    /// # Errors
    /// [`FeedError`]; the feed has no answer then until a later call succeeds.
    pub async fn settle(&self) -> Result<(), FeedError> {
        let mut not_before = self.looking_up.lock().await;
        let now = self.clock.monotonic();
        let Some(to_look_up) = self.noted().take(now >= *not_before) else { return Ok(()) };
        // A caller that goes away in the middle has noted nothing: all of it is read again.
        let mut guard = LosesTrack { feed: self, armed: true };
        let whole = to_look_up.whole;
        let result = self.look_up(to_look_up).await;
        guard.armed = result.is_err();
        drop(guard);
        match &result {
            Ok(()) if whole => {
                tracing::info!(entries = self.state().ended.len(), "the feed of revocations was read from the log");
            }
            Ok(()) => {}
            Err(FeedError::TooMany(_)) => *not_before = self.clock.monotonic() + LONG_PAUSE,
            Err(_) => *not_before = self.clock.monotonic() + PAUSE,
        }
        self.settled.send_modify(|count| *count += 1);
        result
    }

    async fn look_up(&self, to_look_up: ToLookUp) -> Result<(), FeedError> {
        let now = self.clock.now();
        let losses = self.losses.load(Ordering::Acquire);
        let ended = if to_look_up.whole {
            self.read_whole_log(now).await?
        } else if to_look_up.is_empty() {
            Ended::default()
        } else {
            let wanted = self.wanted(now);
            let sessions = self.store.among(&to_look_up.sessions, &to_look_up.subjects, wanted).await?;
            Ended { sessions, up_to: None }
        };
        self.add(ended, to_look_up.as_of, self.clock.monotonic(), losses)
    }

    /// Everyone whom the log still names and who has ended.
    async fn read_whole_log(&self, now: OffsetDateTime) -> Result<Ended, FeedError> {
        // The log is dated by the database's clock.
        let since = self.store.now().await? - self.rules.window - LONGEST_TRANSACTION;
        let wanted = self.wanted(now);
        let mut ended = Ended { sessions: self.store.since(since, wanted).await?, up_to: None };
        if let Some(end) = self.store.everyone_since(since).await? {
            // No session that starts later has an id this old, whatever the clocks.
            let up_to = SessionId::first_at(end.logged_at.min(end.revoked_at) - CLOCKS_APART);
            let below = SessionId::first_at(end.logged_at.max(end.revoked_at) + CLOCKS_APART);
            ended.sessions.extend(self.store.with_everyone(up_to, below, wanted.limit).await?);
            ended.up_to = Some(up_to);
        }
        Ok(ended)
    }

    fn wanted(&self, now: OffsetDateTime) -> Wanted {
        let unexpired_at = now - self.rules.leeway - CLOCKS_APART;
        let youngest_expired = SessionId::first_at(unexpired_at - self.rules.absolute_timeout);
        Wanted { unexpired_at, youngest_expired, limit: self.rules.max_entries + 1 }
    }

    /// Adds what was looked up, and tells listeners.
    fn add(&self, ended: Ended, as_of: Moment, now: Duration, losses: u64) -> Result<(), FeedError> {
        let mut state = self.state();
        let aged = state.ended.age(now);
        let new = state.ended.add(ended, now + self.rules.window).inspect_err(|_| state.history.clear())?;
        if !new.is_empty() {
            let before = state.version;
            state.version += 1;
            // Too long to be worth keeping, or not signed: whoever missed it is told everything.
            let text = if new.sessions.len() < HISTORY { self.sign_change(&new, before, as_of).ok() } else { None };
            match text {
                Some(text) => {
                    let change = Change { version: before + 1, sessions: new.sessions.len(), text };
                    state.history.push_back(change);
                }
                None => state.history.clear(),
            }
            let mut named: usize = state.history.iter().map(|change| change.sessions + 1).sum();
            while named > HISTORY
                && let Some(oldest) = state.history.pop_front()
            {
                named -= oldest.sessions + 1;
            }
        }
        if aged || !new.is_empty() {
            self.revision.fetch_add(1, Ordering::AcqRel);
        }
        if self.losses.load(Ordering::Acquire) == losses {
            state.complete = Some(as_of);
        }
        Ok(())
    }

    /// Notes that somebody asks, and waits until the feed is complete, for as long as that takes at most when all is well.
    ///
    /// # Errors
    /// [`FeedError::NotComplete`].
    pub async fn ask(&self) -> Result<(), FeedError> {
        let mut settled = self.settled.subscribe();
        if self.noted().ask(self.clock.monotonic(), UNASKED) {
            self.work.notify_one();
        }
        let complete = async {
            while !self.is_complete() {
                if settled.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(self.rules.lease, complete).await.map_err(|_| FeedError::NotComplete)
    }

    /// Notes that somebody still asks.
    pub fn still_asked(&self) {
        self.noted().ask(self.clock.monotonic(), UNASKED);
    }

    /// Whether everything is known that is old enough to matter.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.completed().is_some()
    }

    fn completed(&self) -> Option<Moment> {
        let complete = self.state().complete;
        complete.filter(|as_of| self.clock.monotonic() < as_of.monotonic + self.rules.lease)
    }

    /// Changes whenever the feed may have changed, or may have become complete.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// A place among those who wait for changes, for as long as it is held.
    ///
    /// # Errors
    /// [`FeedError::TooManyListeners`].
    pub fn listen(&self) -> Result<OwnedSemaphorePermit, FeedError> {
        Arc::clone(&self.listeners).try_acquire_owned().map_err(|_| FeedError::TooManyListeners)
    }

    /// Brings the figures about the feed up to date, for a scrape.
    pub fn measure(&self) {
        let entries = self.state().ended.len();
        self.metrics.revocations_feed_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        let listeners = self.rules.max_listeners - self.listeners.available_permits();
        self.metrics.revocations_feed_listeners.set(i64::try_from(listeners).unwrap_or(i64::MAX));
        self.metrics.revocations_feed_complete.set(i64::from(self.is_complete()));
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loses track when dropped, unless it was disarmed.
struct LosesTrack<'a> {
    feed: &'a Revocations,
    armed: bool,
}

impl Drop for LosesTrack<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.feed.lose_track();
        }
    }
}
