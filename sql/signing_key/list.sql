-- signing_key/list: every key that is not yet destroyed.
-- $1 now timestamptz
-- Rows: 0 or more, oldest first.
SELECT kid, algorithm, sealed_private_key, public_jwk, published_at, activates_at, retires_at, destroys_at
  FROM signing_key
 WHERE sealed_private_key IS NOT NULL
   AND (destroys_at IS NULL OR destroys_at > $1)
 ORDER BY published_at, kid
