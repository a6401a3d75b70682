-- hook_delivery/insert: put an event into the outbox, unless too many wait already.
-- $1 delivery_id uuid, $2 event text, $3 body text (JSON), $4 created_at timestamptz, $5 max_pending bigint
-- Rows affected: 1; 0 where the outbox is full. Inserts that run at the same time do not see each other.
INSERT INTO hook_delivery (delivery_id, event, body, created_at, next_attempt_at, attempts)
SELECT $1, $2, $3::text::json, $4, $4, 0
 WHERE (SELECT count(*) FROM (SELECT FROM hook_delivery LIMIT $5::bigint) AS waiting) < $5::bigint
