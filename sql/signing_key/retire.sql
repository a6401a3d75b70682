-- signing_key/retire: plan the end of the key that signs.
-- $1 kid text, $2 retires_at timestamptz, $3 destroys_at timestamptz
-- Rows affected: 1, or 0 if its end was planned already.
UPDATE signing_key
   SET retires_at = $2, destroys_at = $3
 WHERE kid = $1
   AND activates_at IS NOT NULL
   AND retires_at IS NULL
