-- revocation/ended_with_everyone: the sessions between two ids that ended with everyone's.
-- $1 above uuid, $2 below uuid, $3 limit bigint
-- Rows: session_id uuid, at most $3. One that was revoked by itself is among them, unless that was long before: its own row of the log
-- may not have been read yet.
SELECT s.session_id
  FROM session AS s
 CROSS JOIN global_state AS g
 WHERE s.session_id > $1::uuid
   AND s.session_id < $2::uuid
   AND s.global_epoch < g.revocation_epoch
   AND coalesce(s.revoked_at > g.revoked_at - interval '15 minutes', true)
 LIMIT $3
