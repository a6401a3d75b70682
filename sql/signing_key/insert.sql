-- signing_key/insert: publish a new key.
-- $1 kid text, $2 algorithm text, $3 sealed_private_key bytea, $4 public_jwk jsonb, $5 published_at timestamptz,
-- $6 activates_at timestamptz or null (standby)
-- Rows affected: 1. Fails if the algorithm has such a key already.
INSERT INTO signing_key (kid, algorithm, sealed_private_key, public_jwk, published_at, activates_at)
VALUES ($1, $2, $3, $4, $5, $6)
