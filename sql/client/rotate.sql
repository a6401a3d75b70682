-- client/rotate: replace a client's secret; the old one is dead at once.
-- $1 name_or_id text, $2 secret_digest bytea (32 bytes), $3 rotated_at timestamptz
-- Rows: 1, or 0 if unknown.
UPDATE client
   SET secret_digest = $2, rotated_at = $3
 WHERE client_id = $1 OR name = $1
RETURNING client_id, name, scopes, created_at, rotated_at
