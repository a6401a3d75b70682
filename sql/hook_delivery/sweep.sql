-- hook_delivery/sweep: forget events that have waited for too long to be posted.
-- $1 before uuid (ids below this one; they begin with the time at which the event was recorded), $2 most bigint
-- Rows affected: 0 to $2. Rows that are being taken are left alone.
DELETE FROM hook_delivery
 WHERE delivery_id IN (
           SELECT delivery_id
             FROM hook_delivery
            WHERE delivery_id < $1
            ORDER BY delivery_id
            LIMIT $2
              FOR UPDATE SKIP LOCKED
       )
