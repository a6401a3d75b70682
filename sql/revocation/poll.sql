-- revocation/poll: what was logged by transactions that the reading before could not see.
-- $1 seen text or null (the snapshot of that reading; null reads no rows), $2 limit bigint, $3 replica_id uuid (who reads)
-- Rows: 1 or more, at most $2. Every row repeats snapshot text (what this reading could see), horizon text (the oldest transaction
-- still running), in_recovery bool, server text (differs after a failover or restart) and read_at double precision (seconds since
-- 1970 by the database's clock, which goes on where a replica is paused together with all of its own), barrier bigint (the one that was
-- raised last) and passed bigint (the one that this replica has passed last; null where it is not in the registry); where xid is null
-- there is nothing new. age_seconds double precision is how long ago the row was written: both instants are by the database's clock, so that
-- no other clock blurs the measurement.
-- Ids of running transactions are those of the whole cluster, and one of them may run for hours: by the horizon alone every reading
-- would find all rows since then again.
SELECT pg_current_snapshot()::text AS snapshot, pg_snapshot_xmin(pg_current_snapshot())::text AS horizon,
       pg_is_in_recovery() AS in_recovery, extract(epoch FROM pg_postmaster_start_time())::text AS server,
       extract(epoch FROM clock_timestamp())::double precision AS read_at,
       (SELECT number FROM revocation_barrier) AS barrier, (SELECT passed FROM replica WHERE replica_id = $3) AS passed,
       logged.xid::text AS xid, logged.session_id, logged.subject,
       extract(epoch FROM clock_timestamp() - logged.logged_at)::double precision AS age_seconds
  FROM (VALUES (1)) AS one (row)
  LEFT JOIN (SELECT later.xid, later.session_id, later.subject, later.logged_at
               FROM revocation_log AS later
              WHERE later.xid >= pg_snapshot_xmax($1::text::pg_snapshot)
              UNION ALL
             SELECT running.xid, running.session_id, running.subject, running.logged_at
               FROM revocation_log AS running
              WHERE running.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))
              LIMIT $2) AS logged ON true
