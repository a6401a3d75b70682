-- subject/enable: let a disabled subject have sessions again; those it had stay ended.
-- $1 subject text
-- Rows affected: 1, or 0 if it was not disabled.
UPDATE subject_state
   SET disabled_at = NULL
 WHERE subject = $1
   AND disabled_at IS NOT NULL
