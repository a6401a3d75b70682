-- signing_key/reseal: keep a private key under the current master key.
-- $1 kid text, $2 old_sealed bytea, $3 new_sealed bytea
-- Rows affected: 1, or 0 if another replica was first.
UPDATE signing_key
   SET sealed_private_key = $3
 WHERE kid = $1
   AND sealed_private_key = $2
