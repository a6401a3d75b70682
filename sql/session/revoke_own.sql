-- session/revoke_own: mark one session of a subject revoked; the first revocation wins.
-- $1 session_id uuid, $2 subject text, $3 revoked_at timestamptz, $4 revoke_reason text
-- Rows affected: 1, or 0 if unknown, another subject's or already revoked.
UPDATE session
   SET revoked_at = $3, revoke_reason = $4
 WHERE session_id = $1
   AND subject = $2
   AND revoked_at IS NULL
