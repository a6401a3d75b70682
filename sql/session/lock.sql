-- session/lock: keep one session that is not revoked from changing until the transaction ends.
-- $1 session_id uuid
-- Rows: at most 1, with token_digest bytea; none if the session is unknown or revoked.
SELECT token_digest
  FROM session
 WHERE session_id = $1
   AND revoked_at IS NULL
   FOR UPDATE
