-- subject/raise_epoch: end every session of one subject with one row.
-- $1 subject text, $2 revoked_at timestamptz
-- Rows affected: 1.
INSERT INTO subject_state AS x (subject, revocation_epoch, revoked_at)
VALUES ($1, 1, $2)
    ON CONFLICT (subject) DO UPDATE
   SET revocation_epoch = x.revocation_epoch + 1, revoked_at = EXCLUDED.revoked_at
