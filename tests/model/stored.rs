//! A session as the database would have it.

use std::time::Duration;

use ephemint::domain::{
    session::{Claims, Session, SessionId},
    subject::Subject,
};
use time::OffsetDateTime;

/// A live session that started at the beginning of time; `auth_time` may tell its states apart.
pub(crate) fn stored(id: SessionId, subject: &str, auth_time: OffsetDateTime) -> Session {
    let start = OffsetDateTime::UNIX_EPOCH;
    Session {
        id,
        subject: Subject::parse(subject).unwrap(),
        created_at: start,
        auth_time,
        last_seen_at: start,
        expires_at: start + Duration::from_hours(1),
        revoked_at: None,
        superseded: false,
        subject_disabled: false,
        amr: Vec::new(),
        acr: None,
        claims: Claims::new(),
        device: None,
        ip: None,
        user_agent: None,
        network: None,
        reauthenticate_since: None,
    }
}
