//! Searching sessions by a filter. Each statement looks at a bounded number of rows, so that it takes the same time however many
//! there are, and says how far it came.

use time::OffsetDateTime;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    error::StorageError,
    queries,
    sessions::{SessionStore, session},
};
use crate::domain::{
    session::{Session, SessionId, SessionStatus},
    session_filter::SessionFilter,
    subject::Subject,
};

/// How many rows one statement looks at, and how many it finds, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchLimits {
    /// Rows that are looked at.
    pub examined: u32,
    /// Rows that are found.
    pub matching: u32,
}

/// The present as the status rule needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchedAt {
    /// Now.
    pub now: OffsetDateTime,
    /// The last use of a session that is idle now.
    pub idle_since: OffsetDateTime,
}

/// What one statement found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<P> {
    /// The sessions that fit, in the order of the search.
    pub matching: Vec<SessionId>,
    /// The last row that was looked at; nothing where there was none.
    pub last_examined: Option<P>,
    /// Whether rows may be left that were not looked at.
    pub more: bool,
}

/// A place in the order of absolute ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryPosition {
    /// The absolute end.
    pub expires_at: OffsetDateTime,
    /// The session, of those that end at the same instant.
    pub session_id: SessionId,
}

/// A session as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSession {
    /// The session.
    pub session: Session,
    /// How it was started.
    pub start_method: String,
    /// Why it was revoked, where it was revoked by itself.
    pub revoke_reason: Option<String>,
}

impl SessionStore {
    /// The newest sessions with ids below `before` that fit. Ids begin with the time of the start, so a filter by that time bounds
    /// the rows that are looked at.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn search(
        &self,
        filter: &SessionFilter,
        at: SearchedAt,
        before: Option<SessionId>,
        limits: SearchLimits,
    ) -> Result<Found<SessionId>, StorageError> {
        let prepared = Prepared::of(filter, at, limits);
        // The first id of the next millisecond: the filter itself is exact.
        let started_before =
            filter.started_before.map(|at| SessionId::first_at(at + time::Duration::MILLISECOND).as_uuid());
        let before = before.map_or(Uuid::max(), SessionId::as_uuid).min(started_before.unwrap_or(Uuid::max()));
        let not_below = filter.started_after.map_or(Uuid::nil(), |at| SessionId::first_at(at).as_uuid());
        let mut parameters = prepared.parameters();
        parameters.extend_from_slice(&[/* before */ &before, /* not_below */ &not_below]);
        let subject = filter.subject.as_ref().map(Subject::as_str);
        let query = match &subject {
            Some(subject) => {
                parameters.push(/* subject */ subject);
                &queries::SESSION_SEARCH_BY_SUBJECT
            }
            None => &queries::SESSION_SEARCH,
        };
        let row = self.database.row(query, &parameters).await?;
        found(query.name, row, limits, |row| row.get::<_, Option<Uuid>>("last_session_id").map(SessionId::from))
    }

    /// The sessions behind `after` in the order of their absolute ends that fit; a subject in the filter is not looked at.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn search_unexpired(
        &self,
        filter: &SessionFilter,
        at: SearchedAt,
        after: ExpiryPosition,
        limits: SearchLimits,
    ) -> Result<Found<ExpiryPosition>, StorageError> {
        let query = &queries::SESSION_SEARCH_UNEXPIRED;
        let prepared = Prepared::of(filter, at, limits);
        let after_session_id = after.session_id.as_uuid();
        let mut parameters = prepared.parameters();
        parameters.extend_from_slice(&[
            /* after_expires_at */ &after.expires_at,
            /* after_session_id */ &after_session_id,
        ]);
        let row = self.database.row(query, &parameters).await?;
        found(query.name, row, limits, |row| {
            let expires_at = row.get::<_, Option<OffsetDateTime>>("last_expires_at")?;
            let session_id = SessionId::from(row.get::<_, Option<Uuid>>("last_session_id")?);
            Some(ExpiryPosition { expires_at, session_id })
        })
    }

    /// Sessions by their public handles, newest first, alive or not; those that are unknown are left out.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list_by_ids(&self, ids: &[SessionId]) -> Result<Vec<StoredSession>, StorageError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = &queries::SESSION_LIST_BY_IDS;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let rows = self.database.rows(query, &[/* session_ids */ &ids]).await?;
        let stored = |row: &Row| {
            Ok(StoredSession {
                session: session(query.name, row)?,
                start_method: row.get("start_method"),
                revoke_reason: row.get("revoke_reason"),
            })
        };
        rows.iter().map(stored).collect()
    }
}

/// A filter in the form of the statements' first parameters.
struct Prepared<'a> {
    filter: &'a SessionFilter,
    at: SearchedAt,
    ip: Option<String>,
    statuses: Option<Vec<&'static str>>,
    most_examined: i64,
    most_matching: i64,
}

impl<'a> Prepared<'a> {
    fn of(filter: &'a SessionFilter, at: SearchedAt, limits: SearchLimits) -> Self {
        let statuses = filter.status.map(|status| status.statuses().into_iter().map(SessionStatus::as_str).collect());
        Self {
            filter,
            at,
            ip: filter.ip.map(|ip| ip.to_string()),
            statuses,
            most_examined: i64::from(limits.examined),
            most_matching: i64::from(limits.matching),
        }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            /* now */ &self.at.now,
            /* idle_since */ &self.at.idle_since,
            /* started_after */ &self.filter.started_after,
            /* started_before */ &self.filter.started_before,
            /* seen_after */ &self.filter.seen_after,
            /* seen_before */ &self.filter.seen_before,
            /* ip */ &self.ip,
            /* start_method */ &self.filter.start_method,
            /* user_agent */ &self.filter.user_agent,
            /* amr */ &self.filter.amr,
            /* statuses */ &self.statuses,
            /* most_examined */ &self.most_examined,
            /* most_matching */ &self.most_matching,
        ]
    }
}

fn found<P>(
    query: &'static str,
    row: Option<Row>,
    limits: SearchLimits,
    position: impl FnOnce(&Row) -> Option<P>,
) -> Result<Found<P>, StorageError> {
    let row = row.ok_or(StorageError::RowCount { query, rows: 0 })?;
    let matching = row.get::<_, Vec<Uuid>>("matching").into_iter().map(SessionId::from).collect();
    let more = row.get::<_, i64>("examined") >= i64::from(limits.examined);
    Ok(Found { matching, last_examined: position(&row), more })
}
