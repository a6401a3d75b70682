-- session/renew: give a locked session another token.
-- $1 session_id uuid, $2 token_digest bytea (32 bytes)
-- Rows affected: 1.
UPDATE session
   SET token_digest = $2
 WHERE session_id = $1
   AND revoked_at IS NULL
