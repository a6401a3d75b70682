-- revocation/ended_among: which sessions among those that the log has named are ended before their time.
-- $1 session_ids uuid[], $2 subjects text[] (all of whose sessions were named), $3 unexpired_at timestamptz, $4 youngest_expired uuid,
-- $5 limit bigint
-- Rows: session_id uuid, at most $5. A session whose absolute end was before $3 is none of them: it needed no end. Where the row is
-- gone that end is not known; then an id below $4 stands for it.
-- A session that was revoked by itself is named with its subject too, unless that was long before: its own row of the log may not
-- have been read yet. Among $1 are sessions that were renewed or stepped up as well; they are alive, and no row is for them.
SELECT named.session_id
  FROM (SELECT DISTINCT unnest($1::uuid[]) AS session_id) AS named
  LEFT JOIN session AS s ON s.session_id = named.session_id
 WHERE CASE WHEN s.session_id IS NULL THEN named.session_id > $4::uuid
            ELSE s.revoked_at IS NOT NULL AND s.start_method <> 'canary' AND s.expires_at > $3::timestamptz END
UNION
SELECT s.session_id
  FROM subject_state AS x
  JOIN session AS s ON s.subject = x.subject
 WHERE x.subject = ANY ($2::text[])
   AND (s.subject_epoch < x.revocation_epoch OR x.disabled_at IS NOT NULL)
   AND coalesce(s.revoked_at > greatest(x.revoked_at, x.disabled_at) - interval '15 minutes', true)
   AND s.expires_at > $3::timestamptz
 LIMIT $5
