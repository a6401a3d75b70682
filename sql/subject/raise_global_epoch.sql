-- subject/raise_global_epoch: end every session of everyone with one row.
-- $1 revoked_at timestamptz
-- Rows affected: 1.
UPDATE global_state
   SET revocation_epoch = revocation_epoch + 1, revoked_at = $1
