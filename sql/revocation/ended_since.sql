-- revocation/ended_since: the sessions that the log names since an instant and that are ended before their time.
-- $1 since timestamptz, $2 unexpired_at timestamptz, $3 youngest_expired uuid, $4 limit bigint
-- Rows: session_id uuid, at most $4; as in revocation/ended_among. Everyone's end is revocation/everyone_since.
SELECT named.session_id
  FROM (SELECT DISTINCT l.session_id
          FROM revocation_log AS l
         WHERE l.session_id IS NOT NULL
           AND l.logged_at >= $1::timestamptz) AS named
  LEFT JOIN session AS s ON s.session_id = named.session_id
 WHERE CASE WHEN s.session_id IS NULL THEN named.session_id > $3::uuid
            ELSE s.revoked_at IS NOT NULL AND s.start_method <> 'canary' AND s.expires_at > $2::timestamptz END
UNION
SELECT s.session_id
  FROM subject_state AS x
  JOIN session AS s ON s.subject = x.subject
 WHERE x.subject IN (SELECT l.subject
                       FROM revocation_log AS l
                      WHERE l.subject IS NOT NULL
                        AND l.logged_at >= $1::timestamptz)
   AND (s.subject_epoch < x.revocation_epoch OR x.disabled_at IS NOT NULL)
   AND coalesce(s.revoked_at > greatest(x.revoked_at, x.disabled_at) - interval '15 minutes', true)
   AND s.expires_at > $2::timestamptz
 LIMIT $4
