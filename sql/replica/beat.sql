-- replica/beat: keep this replica's row in the registry, or make it.
-- $1 replica_id uuid, $2 lease_seconds integer (how long the heart may stand still)
-- Rows affected: 1. A number above the present barrier, from a database that was put back, is taken down to it.
INSERT INTO replica AS known (replica_id, passed, beat, lease_seconds)
VALUES ($1, 0, 0, $2)
    ON CONFLICT (replica_id) DO UPDATE
   SET beat = known.beat + 1,
       passed = least(known.passed, (SELECT number FROM revocation_barrier)),
       lease_seconds = $2
