-- hook_delivery/settle: remove an event that has arrived or is given up, if it was not taken over meanwhile.
-- $1 delivery_id uuid, $2 attempts integer (as claimed)
-- Rows affected: 1; 0 where another replica has taken it over.
DELETE FROM hook_delivery
 WHERE delivery_id = $1
   AND attempts = $2
