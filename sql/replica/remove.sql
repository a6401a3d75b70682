-- replica/remove: take a replica that has gone out of the registry.
-- $1 replica_id uuid, $2 beat bigint or null (not null: only where its heart still stands at that)
-- Rows affected: 0 or 1.
DELETE FROM replica
 WHERE replica_id = $1
   AND ($2::bigint IS NULL OR beat = $2)
