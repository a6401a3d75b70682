-- session/revoke: mark one session revoked; the first revocation wins.
-- $1 session_id uuid, $2 revoked_at timestamptz, $3 revoke_reason text
-- Rows affected: 1, or 0 if unknown or already revoked.
UPDATE session
   SET revoked_at = $2, revoke_reason = $3
 WHERE session_id = $1
   AND revoked_at IS NULL
