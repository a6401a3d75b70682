-- revocation/everyone_since: whether everyone was signed out since an instant.
-- $1 since timestamptz
-- Rows: at most 1, with two instants of the last time, by different clocks: logged_at (the database's) and revoked_at (the replica's
-- that did it).
SELECT l.logged_at, g.revoked_at
  FROM revocation_log AS l
 CROSS JOIN global_state AS g
 WHERE l.session_id IS NULL
   AND l.subject IS NULL
   AND l.logged_at >= $1::timestamptz
   AND g.revoked_at IS NOT NULL
 ORDER BY l.logged_at DESC
 LIMIT 1
