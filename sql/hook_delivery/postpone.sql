-- hook_delivery/postpone: try an event again later, if it was not taken over meanwhile.
-- $1 delivery_id uuid, $2 attempts integer (as claimed), $3 next_attempt_at timestamptz
-- Rows affected: 1; 0 where another replica has taken it over.
UPDATE hook_delivery
   SET next_attempt_at = $3
 WHERE delivery_id = $1
   AND attempts = $2
