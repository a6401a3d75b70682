-- hook_delivery/claim: take events that are due, so that no other replica takes them before the lease ends.
-- $1 now timestamptz, $2 lease_ends_at timestamptz, $3 most_rows bigint
-- Rows: delivery_id uuid, event text, body text (JSON), attempts integer (this one counted); those due first.
WITH due AS MATERIALIZED (
    SELECT waiting.delivery_id
      FROM hook_delivery AS waiting
     WHERE waiting.next_attempt_at <= $1
     ORDER BY waiting.next_attempt_at
     LIMIT $3
       FOR UPDATE SKIP LOCKED
)
UPDATE hook_delivery AS taken
   SET next_attempt_at = $2,
       attempts = taken.attempts + 1
  FROM due
 WHERE taken.delivery_id = due.delivery_id
RETURNING taken.delivery_id, taken.event, taken.body::text AS body, taken.attempts
