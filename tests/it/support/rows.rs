//! Sessions stored behind the service's back, many at once. Nobody has a token of theirs.

use std::time::Duration;

use time::OffsetDateTime;

use super::{app::rfc3339, database::TestDatabase};

/// Sessions that are started one after the other. What is not said is that of an ordinary sign-in.
///
/// Texts are SQL, in which `i` counts the rows from 1 and `t` is the start of the row's session.
pub(crate) struct Rows<'a> {
    pub(crate) count: u32,
    pub(crate) first: OffsetDateTime,
    pub(crate) apart: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) subject: &'a str,
    pub(crate) seen: &'a str,
    pub(crate) revoked: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) user_agent: &'a str,
}

impl Rows<'_> {
    /// So many sessions, one each millisecond from `first` on, of a hundred subjects.
    pub(crate) fn of(count: u32, first: OffsetDateTime) -> Self {
        Self {
            count,
            first,
            apart: Duration::from_millis(1),
            lifetime: Duration::from_hours(12),
            subject: "'subject-' || i % 100",
            seen: "t",
            revoked: "NULL::timestamptz",
            ip: "'198.51.100.' || i % 200",
            user_agent: "'Firefox'",
        }
    }

    /// Stores them.
    pub(crate) async fn store(&self, database: &TestDatabase) {
        let Self { count, subject, seen, revoked, ip, user_agent, .. } = self;
        let (first, apart, lifetime) = (rfc3339(self.first), self.apart.as_secs_f64(), self.lifetime.as_secs_f64());
        let sql = format!(
            "INSERT INTO session (session_id, token_digest, subject, created_at, auth_time, last_seen_at, expires_at, revoked_at,
                                  revoke_reason, subject_epoch, global_epoch, start_method, amr, claims, device, ip, user_agent, network)
             SELECT (lpad(to_hex(floor(extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
                    sha256((h || i)::bytea), {subject}, t, t, {seen}, t + interval '1 second' * {lifetime}, {revoked},
                    CASE WHEN {revoked} IS NOT NULL THEN 'admin' END, 0, 0, 'password', ARRAY['pwd'], '{{}}', 'Firefox on Linux',
                    ({ip})::inet, {user_agent}, set_masklen((({ip})::inet), 24)::cidr
               FROM (SELECT i, TIMESTAMPTZ '{first}' + interval '1 second' * {apart} * (i - 1) AS t, md5(random()::text || i) AS h
                       FROM generate_series(1, {count}) AS i) AS made"
        );
        database.execute(&sql).await;
    }
}
