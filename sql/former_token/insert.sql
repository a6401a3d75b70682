-- former_token/insert: keep the token that a locked session had until now.
-- $1 token_digest bytea (32 bytes), $2 session_id uuid, $3 replaced_at timestamptz, $4 valid_until timestamptz
-- Rows affected: 1.
INSERT INTO former_token (token_digest, session_id, replaced_at, valid_until)
VALUES ($1, $2, $3, $4)
