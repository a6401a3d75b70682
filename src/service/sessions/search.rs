//! How operators find sessions: by their id, or page by page by a filter.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Sessions;
use crate::{
    domain::{
        instant::rfc3339,
        session::{SessionId, SessionStatus},
        session_filter::SessionFilter,
    },
    storage::{
        error::StorageError,
        session_search::{SearchLimits, SearchedAt, StoredSession},
    },
};

/// How many rows the first statement of a page looks at, where a filter leaves some of them out.
const FIRST_LOOK: u32 = 1_000;
/// How many rows each of the others looks at.
const LOOK: u32 = 5_000;
/// How many others there are: a page that has looked at so many rows is given as it is, with the place to go on from.
const LOOKS: usize = 8;

/// A session as operators see it, with its status at the time it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSession {
    /// What is stored, and what this process knows of its last use.
    pub stored: StoredSession,
    /// What has become of it.
    pub status: SessionStatus,
    /// When it ends for being unused, unless it is used again.
    pub idle_expires_at: OffsetDateTime,
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionPage {
    /// The sessions, newest first. There may be fewer than asked for, or none, although more come.
    pub sessions: Vec<ListedSession>,
    /// The next page has lower ids than this; nothing on the last page.
    pub next: Option<SessionId>,
}

impl Sessions {
    /// One session by its public handle, alive or not.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn get(&self, id: SessionId) -> Result<Option<ListedSession>, StorageError> {
        Ok(self.listed(&[id]).await?.pop())
    }

    /// A page of at most `limit` sessions that fit, with ids below `before`, newest first, alive or not.
    ///
    /// However many rows there are and however few fit, it looks at a bounded number of them.
    ///
    /// # Errors
    /// [`StorageError`] when the database does not answer.
    pub async fn list(
        &self,
        filter: &SessionFilter,
        before: Option<SessionId>,
        limit: u16,
    ) -> Result<SessionPage, StorageError> {
        let at = self.searched_at();
        // One more than asked for tells whether there is another page.
        let wanted = u32::from(limit) + 1;
        let all_fit = filter.is_empty() || filter.only_subject().is_some();
        let first = if all_fit { wanted } else { FIRST_LOOK };
        let (mut ids, mut position) = (Vec::new(), before);
        for examined in std::iter::once(first).chain([LOOK; LOOKS]) {
            let missing = wanted - u32::try_from(ids.len()).unwrap_or(wanted).min(wanted);
            let found = self.store.search(filter, at, position, SearchLimits { examined, matching: missing }).await?;
            ids.extend(found.matching);
            if ids.len() > usize::from(limit) {
                ids.truncate(usize::from(limit));
                position = ids.last().copied();
                return Ok(SessionPage { sessions: self.listed(&ids).await?, next: position });
            }
            if !found.more {
                return Ok(SessionPage { sessions: self.listed(&ids).await?, next: None });
            }
            position = found.last_examined.or(position);
        }
        Ok(SessionPage { sessions: self.listed(&ids).await?, next: position })
    }

    /// The present as a search needs it.
    pub(super) fn searched_at(&self) -> SearchedAt {
        let now = self.clock.now();
        SearchedAt { now, idle_since: self.rules.idle.idle_since(now) }
    }

    async fn listed(&self, ids: &[SessionId]) -> Result<Vec<ListedSession>, StorageError> {
        let stored = self.store.list_by_ids(ids).await?;
        let now = self.clock.now();
        let listed = |mut stored: StoredSession| {
            self.activity.refresh(&mut stored.session);
            let session = &stored.session;
            let status = session.status(now, self.rules.idle);
            let idle_expires_at = session.idle_expires_at(self.rules.idle).min(session.expires_at);
            ListedSession { stored, status, idle_expires_at }
        };
        Ok(stored.into_iter().map(listed).collect())
    }
}

impl ListedSession {
    /// What operators are shown of it, as a JSON object.
    #[must_use]
    pub fn describe(&self) -> Value {
        let session = &self.stored.session;
        json!({
            "session_id": session.id,
            "subject": session.subject,
            "status": self.status.as_str(),
            "start_method": self.stored.start_method,
            "created_at": rfc3339(session.created_at),
            "auth_time": rfc3339(session.auth_time),
            "last_seen_at": rfc3339(session.last_seen_at),
            "idle_expires_at": rfc3339(self.idle_expires_at),
            "expires_at": rfc3339(session.expires_at),
            "revoked_at": session.revoked_at.map(rfc3339),
            "revoke_reason": self.stored.revoke_reason,
            "reauthenticate_since": session.reauthenticate_since.map(rfc3339),
            "amr": session.amr,
            "acr": session.acr,
            "claims": session.claims,
            "device": session.device,
            "user_agent": session.user_agent,
            "ip": session.ip,
            "network": session.network.map(|network| network.to_string()),
        })
    }
}
