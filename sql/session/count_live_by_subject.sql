-- session/count_live_by_subject: how many sessions of a subject have neither ended nor been revoked.
-- $1 subject text, $2 now timestamptz, $3 idle_since timestamptz (last seen before this: idle)
-- Rows: 1, with live_sessions bigint.
SELECT count(*) AS live_sessions
  FROM session AS s
  LEFT JOIN subject_state AS x ON x.subject = s.subject
 CROSS JOIN global_state AS g
 WHERE s.subject = $1
   AND s.revoked_at IS NULL
   AND s.expires_at > $2
   AND s.last_seen_at > $3
   AND s.subject_epoch >= coalesce(x.revocation_epoch, 0)
   AND s.global_epoch >= g.revocation_epoch
