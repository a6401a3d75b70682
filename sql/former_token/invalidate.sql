-- former_token/invalidate: end the grace of every former token of a locked session.
-- $1 session_id uuid, $2 now timestamptz
-- Rows affected: any number.
UPDATE former_token
   SET valid_until = $2
 WHERE session_id = $1
   AND valid_until > $2
