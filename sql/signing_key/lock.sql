-- signing_key/lock: let one replica at a time change signing keys, until the transaction ends.
-- No parameters.
-- Rows: 1, empty. Fails when the lock is not free within lock_timeout.
SELECT pg_advisory_xact_lock(7301993201834101)
