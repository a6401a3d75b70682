-- signing_key/drop: stop using and publishing a key at once, because its private half may be known to others.
-- $1 kid text, $2 at timestamptz
-- Rows affected: 1, or 0 if it is destroyed already.
UPDATE signing_key
   SET activates_at = LEAST(activates_at, GREATEST($2, published_at)),
       retires_at = GREATEST(LEAST(retires_at, $2), LEAST(activates_at, GREATEST($2, published_at))),
       destroys_at = GREATEST(LEAST(retires_at, $2), LEAST(activates_at, GREATEST($2, published_at)))
 WHERE kid = $1
   AND activates_at IS NOT NULL
   AND (destroys_at IS NULL OR destroys_at > $2)
