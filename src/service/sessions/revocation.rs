//! How sessions are ended deliberately: one, all of a subject's or of everyone's, or those that fit a filter.

use std::pin::pin;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{RevokeReason, Sessions, tell_revoked};
use crate::{
    domain::{session::SessionId, session_filter::SessionFilter, subject::Subject},
    storage::{
        error::StorageError,
        session_search::{ExpiryPosition, SearchLimits, SearchedAt},
    },
    telemetry::{error_chain::ErrorChain, metrics::seconds},
};

/// How many sessions one statement looks at, and one transaction ends, at most.
const BATCH: u32 = 500;

/// How many sessions a revocation ended, and from when no replica mints for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// How many live sessions it ended; absent where they were too many to count in time.
    pub sessions: Option<u64>,
    /// From this instant on no replica answers with a token of theirs.
    pub effective_by: OffsetDateTime,
}

impl Sessions {
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
        let sessions = self.count_live(subject).await;
        self.store.revoke_all(subject, self.clock.now()).await?;
        Ok(self.all_revoked(subject, sessions, reason).await)
    }

    /// Revokes every live session that fits, in batches that are committed one by one. A filter that names nothing but a subject, or
    /// nothing at all, is one write instead.
    ///
    /// Sessions that start while it runs are ended where it comes past them. Ended sessions cannot be revoked: a filter that asks
    /// for them ends none.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer; some may have ended then, and asking again ends the others.
    pub async fn revoke_matching(&self, filter: &SessionFilter, reason: RevokeReason) -> Result<Revoked, StorageError> {
        if filter.is_empty() || filter.only_subject().is_some() {
            return self.revoke_all(filter.subject.as_ref(), reason).await;
        }
        let mut search = LiveSearch::new(self, filter);
        let mut ended = 0;
        while let Some(ids) = search.next(self).await? {
            if ids.is_empty() {
                continue;
            }
            let change = self.store.begin().await?;
            let named: Vec<_> = ids.into_iter().map(|id| (id, reason.as_str())).collect();
            let revoked = change.revoke(&named, self.clock.now()).await?;
            change.commit().await?;
            for id in &revoked {
                tell_revoked(&self.metrics, *id, reason);
            }
            ended += revoked.len() as u64;
        }
        tracing::info!(
            target: "audit",
            event = "sessions_revoked",
            subject = filter.subject.as_ref().map(Subject::as_str),
            filter = %filter,
            sessions = ended,
            reason = reason.as_str(),
            "the sessions that fit a filter revoked"
        );
        Ok(self.revoked(Some(ended)).await)
    }

    /// How many sessions [`Self::revoke_matching`] would end now. Reads them batch by batch, however many they are.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn count_matching(&self, filter: &SessionFilter) -> Result<u64, StorageError> {
        let mut search = LiveSearch::new(self, filter);
        let mut count = 0;
        while let Some(ids) = search.next(self).await? {
            count += ids.len() as u64;
        }
        Ok(count)
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

    /// How many sessions of a subject, or of everyone, are live; nothing where that cannot be counted in time. Counting is a
    /// courtesy: it must neither fail nor delay what is about to end them by more than a statement's time.
    pub(in crate::service) async fn count_live(&self, subject: Option<&Subject>) -> Option<u64> {
        let now = self.clock.now();
        self.store.count_live(subject, now, self.rules.idle.idle_since(now)).await.ok()
    }

    /// Counts and records that every session of a subject, or of everyone, has ended, and answers for it.
    pub(in crate::service) async fn all_revoked(
        &self,
        subject: Option<&Subject>,
        sessions: Option<u64>,
        reason: RevokeReason,
    ) -> Revoked {
        self.metrics.sessions_ended_total.with_label_values(&[reason.as_str()]).inc_by(sessions.unwrap_or(0));
        tracing::info!(
            target: "audit",
            event = "sessions_revoked",
            subject = subject.map_or("*", Subject::as_str),
            sessions,
            reason = reason.as_str(),
            "all sessions of a subject, or of everyone, revoked"
        );
        self.revoked(sessions).await
    }

    /// What a revocation that is committed is answered with, once this replica itself mints for nobody who was ended.
    pub(super) async fn revoked(&self, sessions: Option<u64>) -> Revoked {
        self.follower.catch_up().await;
        // Read after the commit: a decision that began before it may still be on its way.
        Revoked { sessions, effective_by: self.clock.now() + self.rules.revocation_bound }
    }
}

/// A way through the live sessions that fit, batch by batch: a subject's from its newest, everyone's from the one that expires first.
struct LiveSearch {
    /// Nothing where no live session can fit.
    filter: Option<SessionFilter>,
    at: SearchedAt,
    newest: Option<SessionId>,
    expiring: ExpiryPosition,
    more: bool,
}

impl LiveSearch {
    fn new(sessions: &Sessions, filter: &SessionFilter) -> Self {
        let at = sessions.searched_at();
        // What expires at this very instant has ended already.
        let expiring = ExpiryPosition { expires_at: at.now, session_id: SessionId::from(Uuid::max()) };
        Self { filter: filter.among_live(), at, newest: None, expiring, more: true }
    }

    /// The next batch, which may be empty although more come; nothing at the end.
    async fn next(&mut self, sessions: &Sessions) -> Result<Option<Vec<SessionId>>, StorageError> {
        let Some(filter) = self.filter.as_ref().filter(|_| self.more) else { return Ok(None) };
        let limits = SearchLimits { examined: BATCH, matching: BATCH };
        if filter.subject.is_some() {
            let found = sessions.store.search(filter, self.at, self.newest, limits).await?;
            (self.newest, self.more) = (found.last_examined, found.more);
            Ok(Some(found.matching))
        } else {
            let found = sessions.store.search_unexpired(filter, self.at, self.expiring, limits).await?;
            self.expiring = found.last_examined.unwrap_or(self.expiring);
            self.more = found.more;
            Ok(Some(found.matching))
        }
    }
}
