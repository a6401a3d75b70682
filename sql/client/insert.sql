-- client/insert: add a service credential.
-- $1 client_id text, $2 name text, $3 secret_digest bytea (32 bytes), $4 scopes text[], $5 created_at timestamptz
-- Rows affected: 1. Fails if the name is taken.
INSERT INTO client (client_id, name, secret_digest, scopes, created_at, rotated_at)
VALUES ($1, $2, $3, $4, $5, $5)
