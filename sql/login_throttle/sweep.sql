-- login_throttle/sweep: remove counts that make no difference any more.
-- $1 swept_at timestamptz, $2 most bigint (rows at once)
-- Rows affected: 0 to $2. Rows that an attempt is counting under are left alone.
DELETE FROM login_throttle
 WHERE key_digest IN (
           SELECT key_digest
             FROM login_throttle
            WHERE forgotten_at < $1
            ORDER BY forgotten_at
            LIMIT $2
              FOR UPDATE SKIP LOCKED
       )
