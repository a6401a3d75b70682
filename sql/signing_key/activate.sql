-- signing_key/activate: plan from when a standby signs.
-- $1 kid text, $2 activates_at timestamptz
-- Rows affected: 1, or 0 if it was planned already.
UPDATE signing_key
   SET activates_at = $2
 WHERE kid = $1
   AND activates_at IS NULL
