-- former_token/mark_reused: note that a former token came after its grace; only the first time counts.
-- $1 token_digest bytea (32 bytes), $2 reused_at timestamptz
-- Rows affected: 1, or 0 if that was noted already or the token is forgotten.
UPDATE former_token
   SET reused_at = $2
 WHERE token_digest = $1
   AND reused_at IS NULL
