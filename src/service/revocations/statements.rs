//! What followers of the feed are told: signed statements (RFC 7515), each a snapshot of everything or what came since another.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use serde::Serialize;

use super::{FeedError, Moment, Revocations};
use crate::{
    crypto::fingerprint::etag,
    domain::{ended_sessions::Ended, session::SessionId},
};

/// The `typ` of every statement, so that none is taken for an access token (RFC 8725 §3.11).
const TYP: &str = "revocations+jwt";
/// Its media type.
pub const MEDIA_TYPE: &str = "application/revocations+jwt";

/// A statement as it is sent.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its place: a listener who comes back with it is told what came since.
    pub id: String,
    /// Whether it names everyone, or who came since the last statement.
    pub is_snapshot: bool,
    /// The compact form.
    pub text: Arc<[u8]>,
}

/// Everything, and its validator.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The compact form.
    pub text: Arc<[u8]>,
    /// A weak validator of what it names, with its quotes (RFC 9110 §8.8.3): the same wherever the same sessions are named.
    pub etag: String,
}

/// One addition.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    /// How many sessions it names.
    pub(super) sessions: usize,
    pub(super) text: Arc<[u8]>,
}

/// For how long a snapshot is handed out again while nothing has changed; it is complete as of when it was signed, and says so.
const SIGNED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What was signed last.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// By the revision of the feed.
    entries: Option<(u64, u64, Arc<Ended>, String)>,
    snapshot: Option<(u64, Moment, Arc<[u8]>)>,
    heartbeat: Option<(u64, Moment, Arc<[u8]>)>,
}

/// The claims of a statement; the page docs/revocations-feed.md explains each.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    as_of: f64,
    window: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<SessionId>,
    sessions: &'a [SessionId],
}

impl Revocations {
    /// The validator of what the feed names now, and everything that it takes to write it down.
    fn entries(&self) -> (u64, u64, Arc<Ended>, String) {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        let revision = self.revision.load(Ordering::Acquire);
        if let Some(entries) = rendered.entries.as_ref().filter(|(known, ..)| *known == revision) {
            return entries.clone();
        }
        let (version, ended) = (state.version, state.ended.all());
        drop(state);
        let mut named: Vec<u8> = Vec::with_capacity(16 * (ended.sessions.len() + 1));
        named.extend(ended.up_to.map(|up_to| up_to.as_uuid().into_bytes()).unwrap_or_default());
        for session in &ended.sessions {
            named.extend(session.as_uuid().into_bytes());
        }
        let entries = (revision, version, Arc::new(ended), format!("W/{}", etag(&named)));
        rendered.entries = Some(entries.clone());
        entries
    }

    /// The validator of what the feed names now.
    ///
    /// # Errors
    /// [`FeedError::NotComplete`].
    pub fn etag(&self) -> Result<String, FeedError> {
        self.completed().ok_or(FeedError::NotComplete)?;
        Ok(self.entries().3)
    }

    /// Everything, signed.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn snapshot(&self) -> Result<Snapshot, FeedError> {
        self.snapshot_and_version().map(|(snapshot, _)| snapshot)
    }

    fn snapshot_and_version(&self) -> Result<(Snapshot, u64), FeedError> {
        // Read before the entries: they may be newer than this, never older.
        let as_of = self.completed().ok_or(FeedError::NotComplete)?;
        let (revision, version, ended, etag) = self.entries();
        // Held while it is made, so that many who ask at once wait for one.
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |when: &Moment| as_of.monotonic.saturating_sub(when.monotonic) < SIGNED_AGAIN_AFTER;
        let known = rendered.snapshot.as_ref().filter(|(of, when, _)| *of == revision && lately(when));
        if let Some((.., text)) = known {
            return Ok((Snapshot { text: Arc::clone(text), etag }, version));
        }
        let text = self.sign(&self.id_of(version), None, &ended, as_of)?;
        rendered.snapshot = Some((revision, as_of, Arc::clone(&text)));
        Ok((Snapshot { text, etag }, version))
    }

    /// What a listener at the place `at` has not been told, and moves that place; a snapshot where it has none, or where what came
    /// since is not known any more. Nothing where nothing came.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn since(&self, at: &mut Option<u64>) -> Result<Vec<Statement>, FeedError> {
        self.completed().ok_or(FeedError::NotComplete)?;
        let missed: Option<Vec<Statement>> = {
            let state = self.state();
            let kept = state.history.front().map_or(state.version, |oldest| oldest.version - 1);
            let statement = |change: &Change| Statement {
                id: self.id_of(change.version),
                is_snapshot: false,
                text: Arc::clone(&change.text),
            };
            at.filter(|at| (kept..=state.version).contains(at)).map(|after| {
                *at = Some(state.version);
                state.history.iter().filter(|change| change.version > after).map(statement).collect()
            })
        };
        if let Some(missed) = missed {
            return Ok(missed);
        }
        let (snapshot, version) = self.snapshot_and_version()?;
        *at = Some(version);
        Ok(vec![Statement { id: self.id_of(version), is_snapshot: true, text: snapshot.text }])
    }

    /// Says that a listener at the place `at`, who has been told everything, has missed nothing; nothing where it has.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn heartbeat(&self, at: u64) -> Result<Option<Statement>, FeedError> {
        let as_of = self.completed().ok_or(FeedError::NotComplete)?;
        // Looked at afterwards: what came since is newer than `as_of`, or is told first.
        if self.state().version != at {
            return Ok(None);
        }
        let id = self.id_of(at);
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = rendered.heartbeat.as_ref().filter(|(of, when, _)| (*of, *when) == (at, as_of));
        let text = match known {
            Some((.., text)) => Arc::clone(text),
            None => self.sign(&id, Some(&id), &Ended::default(), as_of)?,
        };
        rendered.heartbeat = Some((at, as_of, Arc::clone(&text)));
        Ok(Some(Statement { id, is_snapshot: false, text }))
    }

    /// The place that an id of ours names; nothing for one of another run.
    #[must_use]
    pub fn place_of(&self, id: &str) -> Option<u64> {
        id.strip_prefix(self.run.as_str())?.strip_prefix('.')?.parse().ok()
    }

    fn id_of(&self, version: u64) -> String {
        format!("{}.{version}", self.run)
    }

    /// Signs what was added to version `before`.
    pub(super) fn sign_change(&self, new: &Ended, before: u64, as_of: Moment) -> Result<Arc<[u8]>, FeedError> {
        self.sign(&self.id_of(before + 1), Some(&self.id_of(before)), new, as_of)
    }

    fn sign(&self, id: &str, after: Option<&str>, ended: &Ended, as_of: Moment) -> Result<Arc<[u8]>, FeedError> {
        let now = self.clock.now();
        let signer = self.ring.signer(self.rules.algorithm, now, self.clock.monotonic())?;
        let window = self.rules.window.as_secs() + u64::from(self.rules.window.subsec_nanos() > 0);
        let iat = now.unix_timestamp();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact in an f64 for 285 000 years")]
        let as_of = (as_of.wall.unix_timestamp_nanos() / 1_000_000) as f64 / 1_000.0;
        let claims = Claims {
            iss: &self.rules.issuer,
            iat,
            exp: iat.saturating_add_unsigned(window),
            id,
            after,
            as_of,
            window,
            up_to: ended.up_to,
            sessions: &ended.sessions,
        };
        let payload = serde_json::to_vec(&claims).map_err(crate::crypto::error::CryptoError::Claims)?;
        Ok(signer.sign_statement(&payload, TYP)?.into_bytes().into())
    }
}
