-- session/touch_batch: move last_seen_at forward for many sessions; never back, and never of a revoked one.
-- $1 session_ids uuid[] (sorted, so that two batches lock rows in one order), $2 last_seen_at timestamptz[]
-- Rows affected: at most the number of ids.
UPDATE session AS s
   SET last_seen_at = GREATEST(s.last_seen_at, seen.last_seen_at)
  FROM (SELECT locked.session_id, given.last_seen_at
          FROM unnest($1::uuid[], $2::timestamptz[]) AS given (session_id, last_seen_at)
          JOIN session AS locked ON locked.session_id = given.session_id
         WHERE locked.revoked_at IS NULL
         ORDER BY locked.session_id
           FOR NO KEY UPDATE OF locked) AS seen
 WHERE s.session_id = seen.session_id
   AND s.revoked_at IS NULL
