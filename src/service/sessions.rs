//! The sessions: what one is started with, what ends it, and how it is looked at.
//!
//! - `authentication`: which live session a presented token stands for; former tokens.
//! - `start`, `sign_in`: new sessions, step-up, and the most that a subject may have.
//! - `renewal`: another token for the same session.
//! - `own`: a subject's own devices.
//! - `search`, `revocation`: how operators find sessions, and how sessions are ended.
//! - `unusual_activity`: sessions that are used from elsewhere.
//! - `restraint`: how often one session is told of.
//! - `turns`: starts of one subject, one at a time.
//! - `reason`: every reason that has a name.

mod authentication;
mod own;
mod reason;
mod renewal;
mod restraint;
mod revocation;
mod search;
mod sign_in;
mod start;
mod turns;
mod unusual_activity;

use std::{sync::Arc, time::Duration};

use tracing::Instrument as _;

pub(super) use self::authentication::parse;
pub use self::{
    reason::{AuthenticateError, RefusalReason, RevokeReason, StartError},
    renewal::Renewed,
    revocation::Revoked,
    search::{ListedSession, SessionPage},
    sign_in::{SignIn, SignedIn},
    start::{StartSession, StartedSession},
};
use self::{
    restraint::Restraint,
    turns::{Turn, Turns},
};
use super::{activity::Activity, barrier::Barrier, events::Events, revocation_follower::RevocationFollower};
use crate::{
    clock::Clock,
    crypto::master_key::Vault,
    domain::{
        device::AddressPrecision,
        event::Consequence,
        session::{IdleRule, Session, SessionId, SessionStatus},
        subject::Subject,
        unusual_activity::UnusualActivityRules,
    },
    storage::{error::StorageError, queries, session_changes::SessionChange, sessions::SessionStore},
    telemetry::metrics::Metrics,
};

/// How long sessions live, and what is done about suspicious ones.
#[derive(Debug, Clone, Copy)]
pub struct SessionRules {
    /// The idle rule.
    pub idle: IdleRule,
    /// From start to absolute end.
    pub absolute_timeout: Duration,
    /// How long any replica may go on minting after a revocation: until it notices, and until decisions that began before it
    /// are over.
    pub revocation_bound: Duration,
    /// Most live sessions of one subject; at least 1.
    pub max_per_subject: u32,
    /// How long a token works after a renewal has replaced it.
    pub renewal_grace: Duration,
    /// What follows when a token is presented after its grace.
    pub on_token_reuse: Consequence,
    /// What follows when a session is used from elsewhere.
    pub unusual_activity: UnusualActivityRules,
    /// How precisely addresses are kept.
    pub address_precision: AddressPrecision,
    /// How long a start waits for other starts of the same subject.
    pub turn_timeout: Duration,
}

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    store: SessionStore,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    rules: SessionRules,
    activity: Arc<Activity>,
    follower: Arc<RevocationFollower>,
    barrier: Barrier,
    events: Arc<Events>,
    turns: Turns,
    restraint: Arc<Restraint>,
    metrics: Metrics,
}

impl Sessions {
    /// Wires the service.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "the one place where everything that sessions need is named")]
    pub fn new(
        store: SessionStore,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        rules: SessionRules,
        activity: Arc<Activity>,
        events: Arc<Events>,
        follower: Arc<RevocationFollower>,
        barrier: Barrier,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            vault,
            clock,
            rules,
            activity,
            events,
            follower,
            barrier,
            turns: Turns::default(),
            restraint: Arc::default(),
            metrics,
        }
    }

    /// How long sessions live.
    #[must_use]
    pub fn rules(&self) -> SessionRules {
        self.rules
    }

    /// The status of a session that was read, now.
    #[must_use]
    pub fn status(&self, session: &Session) -> SessionStatus {
        session.status(self.clock.now(), self.rules.idle)
    }

    /// The synchroniser token that forms of this session must carry.
    #[must_use]
    pub fn csrf_token(&self, session: SessionId) -> String {
        self.vault.csrf_token(session)
    }

    /// Whether a form carries the synchroniser token of this session.
    #[must_use]
    pub fn is_csrf_token(&self, session: SessionId, presented: &str) -> bool {
        self.vault.is_csrf_token(session, presented)
    }

    /// Puts this replica where barriers wait for it, if it is not there.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub(super) async fn be_counted_in(&self) -> Result<(), StorageError> {
        self.barrier.registry().be_counted_in().await
    }

    /// Begins a change of a subject's sessions that no other start of theirs overlaps, here or on another replica.
    async fn begin_for(&self, subject: &Subject) -> Result<(Turn<'_>, SessionChange<'_>), StorageError> {
        let turn = self.turns.take(subject, self.rules.turn_timeout).await;
        let turn = turn.ok_or(StorageError::TimedOut { query: queries::SESSION_LOCK_SUBJECT.name })?;
        let change = self.store.begin().await?;
        change.lock_subject(subject).await?;
        Ok((turn, change))
    }
}

/// Counts and records that one session was revoked.
fn tell_revoked(metrics: &Metrics, id: SessionId, reason: RevokeReason) {
    metrics.sessions_ended_total.with_label_values(&[reason.as_str()]).inc();
    tracing::info!(
        target: "audit",
        event = "session_revoked",
        session.id = %id,
        reason = reason.as_str(),
        "session revoked"
    );
}

/// Runs `work` to its end even when the request that it belongs to is given up, so that no change goes unrecorded. Nothing
/// comes back where it panicked.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    tokio::spawn(work.in_current_span()).await.ok()
}
