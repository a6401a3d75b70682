-- barrier/lowest_passed: how far the replica has come that has passed the fewest barriers.
-- $1 replica_id uuid (the one that asks, which is left out)
-- Rows: 1, passed bigint (null where there is no other replica)
SELECT min(passed) AS passed
  FROM replica
 WHERE replica_id <> $1
