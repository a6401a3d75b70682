-- session/revoke_batch: mark several sessions revoked, each for its reason; the first revocation wins.
-- $1 session_ids uuid[], $2 revoke_reasons text[] (one for each id), $3 revoked_at timestamptz
-- Rows: session_id uuid of each session that this statement revoked.
-- Rows are locked in the order of their ids, as session/touch_batch does, so that neither waits for the other in a circle.
UPDATE session AS s
   SET revoked_at = $3, revoke_reason = gone.revoke_reason
  FROM (SELECT locked.session_id, given.revoke_reason
          FROM unnest($1::uuid[], $2::text[]) AS given (session_id, revoke_reason)
          JOIN session AS locked ON locked.session_id = given.session_id
         WHERE locked.revoked_at IS NULL
         ORDER BY locked.session_id
           FOR NO KEY UPDATE OF locked) AS gone
 WHERE s.session_id = gone.session_id
   AND s.revoked_at IS NULL
RETURNING s.session_id
