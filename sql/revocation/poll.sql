-- revocation/poll: what was logged by transactions that had not ended when the cursor was read, and the next cursor.
-- $1 cursor text or null (an earlier horizon; null reads no rows)
-- Rows: 1 or more. Every row repeats horizon text (the oldest transaction still running, the next cursor), in_recovery bool and
-- server text (differs after a failover or restart); where xid is null there is nothing new. age_seconds double precision is how
-- long ago the row was written: both instants are by the database's clock, so that no other clock blurs the measurement.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM pg_postmaster_start_time())::text AS server, logged.xid::text AS xid, logged.session_id, logged.subject,
       extract(epoch FROM clock_timestamp() - logged.logged_at)::double precision AS age_seconds
  FROM (VALUES (1)) AS one (row)
  LEFT JOIN revocation_log AS logged ON logged.xid >= $1::text::xid8
