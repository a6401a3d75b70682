-- subject/disable: let a subject have no sessions, and end those it has, with one row.
-- $1 subject text, $2 disabled_at timestamptz
-- Rows affected: 1.
INSERT INTO subject_state AS x (subject, revocation_epoch, revoked_at, disabled_at)
VALUES ($1, 1, $2, $2)
    ON CONFLICT (subject) DO UPDATE
   SET revocation_epoch = x.revocation_epoch + 1,
       revoked_at = EXCLUDED.revoked_at,
       disabled_at = coalesce(x.disabled_at, EXCLUDED.disabled_at)
