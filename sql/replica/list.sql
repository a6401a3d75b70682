-- replica/list: the registry.
-- Rows: replica_id uuid, beat bigint (stands still where the replica has gone), lease_seconds integer (for how long, before it may be
-- removed).
SELECT replica_id, beat, lease_seconds
  FROM replica
