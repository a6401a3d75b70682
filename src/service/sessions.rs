//! The sessions: what one is started with, what ends it, and how it is looked at.
//!
//! - `authentication`: which live session a presented token stands for; former tokens.
//! - `start`, `sign_in`: new sessions, step-up, and the most that a subject may have.
//! - `renewal`: another token for the same session.
//! - `own`: a subject's own devices.
//! - `unusual_activity`: sessions that are used from elsewhere.
//! - `restraint`: how often one session is told of.
//! - `turns`: starts of one subject, one at a time.
//! - `reason`: every reason that has a name.

mod authentication;
mod own;
mod reason;
mod renewal;
mod restraint;
mod sign_in;
mod start;
mod turns;
mod unusual_activity;

use std::{pin::pin, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tracing::Instrument as _;

pub(super) use self::authentication::parse;
pub use self::{
    reason::{AuthenticateError, RefusalReason, RevokeReason, StartError},
    renewal::Renewed,
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
    telemetry::{
        error_chain::ErrorChain,
        metrics::{Metrics, seconds},
    },
};

/// How many sessions a revocation ended, and from when no replica mints for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// How many live sessions it ended; absent where they were too many to count in time.
    pub sessions: Option<u64>,
    /// From this instant on no replica answers with a token of theirs.
    pub effective_by: OffsetDateTime,
}

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

    /// One session by its public handle, alive or not.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn get(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        let mut session = self.store.find_by_id(id).await?;
        if let Some(session) = &mut session {
            self.activity.refresh(session);
        }
        Ok(session)
    }

    /// A page of sessions with ids below `before`, newest first, alive or not; of one subject, or of everyone.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(
        &self,
        subject: Option<&Subject>,
        before: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<Session>, StorageError> {
        let mut sessions = self.store.list(subject, before, limit).await?;
        for session in &mut sessions {
            self.activity.refresh(session);
        }
        Ok(sessions)
    }

    /// Revokes one session; revoking it again, or one that never was, ends nothing and is no error.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the caller must not believe the session revoked.
    pub async fn revoke(&self, id: SessionId, reason: RevokeReason) -> Result<Revoked, StorageError> {
        let now = self.clock.now();
        let revoked = self.store.revoke(id, now, reason.as_str()).await?;
        if revoked {
            tell_revoked(&self.metrics, id, reason);
        }
        Ok(self.revoked(Some(u64::from(revoked))).await)
    }

    /// Revokes every session of a subject, or of everyone where none is named, with one write however many they are.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; the caller must not believe anything revoked.
    pub async fn revoke_all(&self, subject: Option<&Subject>, reason: RevokeReason) -> Result<Revoked, StorageError> {
        let now = self.clock.now();
        // Counting is a courtesy: it must neither fail nor delay the revocation by more than a statement's time.
        let sessions = self.store.count_live(subject, now, self.rules.idle.idle_since(now)).await.ok();
        self.store.revoke_all(subject, now).await?;
        self.metrics.sessions_ended_total.with_label_values(&[reason.as_str()]).inc_by(sessions.unwrap_or(0));
        tracing::info!(
            target: "audit",
            event = "sessions_revoked",
            subject = subject.map_or("*", Subject::as_str),
            sessions,
            reason = reason.as_str(),
            "all sessions of a subject, or of everyone, revoked"
        );
        Ok(self.revoked(sessions).await)
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

    /// Returns once no replica mints for whom a revocation has ended: when all have passed a barrier, or else at `effective_by`.
    /// The answer's `effective_by` is never later than the return.
    pub async fn wait_until_effective(&self, revoked: Revoked) -> Revoked {
        let began = self.clock.monotonic();
        // Its whole length, whatever has happened to the wall clock meanwhile.
        let mut bound = pin!(tokio::time::sleep(self.rules.revocation_bound));
        let passed = tokio::select! {
            biased;
            passed = self.barrier.passed_by_all() => passed,
            () = &mut bound => Ok(()),
        };
        let outcome = match passed {
            Ok(()) if bound.is_elapsed() => "bound",
            Ok(()) => "passed",
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "nobody knows which replicas know of a revocation; waiting the bound out");
                bound.await;
                "bound"
            }
        };
        let took = seconds(self.clock.monotonic().saturating_sub(began));
        self.metrics.revocation_barrier_seconds.with_label_values(&[outcome]).observe(took);
        Revoked { effective_by: revoked.effective_by.min(self.clock.now()), ..revoked }
    }

    /// What a revocation that is committed is answered with, once this replica itself mints for nobody who was ended.
    async fn revoked(&self, sessions: Option<u64>) -> Revoked {
        self.follower.catch_up().await;
        // Read after the commit: a decision that began before it may still be on its way.
        Revoked { sessions, effective_by: self.clock.now() + self.rules.revocation_bound }
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
