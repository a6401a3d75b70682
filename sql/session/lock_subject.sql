-- session/lock_subject: let one transaction at a time start sessions of a subject, until it ends.
-- $1 subject text
-- Rows: 1, empty. Fails when the lock is not free within lock_timeout.
SELECT pg_advisory_xact_lock(hashtextextended($1, 7301993201834102))
