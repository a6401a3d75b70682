-- signing_key/activate: plan from when a key signs that waits without a plan, or bring a plan forward.
-- $1 kid text, $2 activates_at timestamptz
-- Rows affected: 1, or 0 if it is to sign earlier already.
UPDATE signing_key
   SET activates_at = GREATEST($2, published_at)
 WHERE kid = $1
   AND (activates_at IS NULL OR activates_at > $2)
