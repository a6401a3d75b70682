-- revocation/sweep: delete rows of transactions that had ended at an earlier horizon.
-- $1 horizon text, $2 limit bigint
-- Rows: one for each that was deleted, at most $2.
DELETE FROM revocation_log
 WHERE ctid IN (SELECT swept.ctid
                  FROM revocation_log AS swept
                 WHERE swept.xid < $1::text::xid8
                 LIMIT $2
                   FOR UPDATE SKIP LOCKED)
RETURNING xid::text AS xid
