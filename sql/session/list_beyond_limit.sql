-- session/list_beyond_limit: the oldest live sessions of a subject, those that must go so that few enough are left.
-- $1 subject text, $2 now timestamptz, $3 idle_since timestamptz (last seen before this: idle), $4 spared uuid (not counted),
-- $5 kept bigint (how many others may stay)
-- Rows: session_id uuid.
SELECT s.session_id
  FROM session AS s
  LEFT JOIN subject_state AS x ON x.subject = s.subject
 CROSS JOIN global_state AS g
 WHERE s.subject = $1
   AND s.session_id <> $4
   AND s.revoked_at IS NULL
   AND s.expires_at > $2
   AND s.last_seen_at > $3
   AND s.subject_epoch >= coalesce(x.revocation_epoch, 0)
   AND s.global_epoch >= g.revocation_epoch
 ORDER BY s.session_id DESC
OFFSET $5
