-- session/replace_token_digest: keep a session under a new digest of its token, after a change of master key.
-- $1 session_id uuid, $2 old_digest bytea (32 bytes), $3 new_digest bytea (32 bytes)
-- Rows affected: 1, or 0 if another replica was first or the session was revoked.
UPDATE session
   SET token_digest = $3
 WHERE session_id = $1
   AND token_digest = $2
   AND revoked_at IS NULL
