-- replica/pass: say that this replica has acted upon everything that was committed before a barrier was raised.
-- $1 replica_id uuid, $2 number bigint (the barrier, as the poll of the log saw it)
-- Rows affected: 0 (not in the registry, or further already) or 1.
UPDATE replica
   SET passed = $2
 WHERE replica_id = $1
   AND passed < $2
