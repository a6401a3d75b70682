-- login_throttle/sweep: remove counts that make no difference any more.
-- $1 swept_at timestamptz, $2 most bigint (rows at once)
-- Rows: 1, swept bigint (0 to $2). Rows that an attempt is counting under are left alone.
-- A program that does not say that it is registered is taken for one that barriers cannot wait for (V8__replica.sql). That is said
-- for this statement only.
WITH swept AS (
    DELETE FROM login_throttle
     WHERE key_digest IN (
               SELECT key_digest
                 FROM login_throttle
                WHERE forgotten_at < $1
                ORDER BY forgotten_at
                LIMIT $2
                  FOR UPDATE SKIP LOCKED
           )
    RETURNING key_digest
)
SELECT count(*) AS swept, set_config('ephemint.registered', 'yes', true) AS registered
  FROM swept
