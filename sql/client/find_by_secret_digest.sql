-- client/find_by_secret_digest: the client that a presented secret belongs to.
-- $1 secret_digests bytea[] (one per master key that is still accepted)
-- Rows: at most 1.
SELECT client_id, name, scopes, created_at, rotated_at
  FROM client
 WHERE secret_digest = ANY ($1)
