-- barrier/raise: have every replica say when it has acted upon everything that is committed by now.
-- Rows: 1, number bigint (the barrier; a replica that has passed it, or a higher one, has). Whoever listens is woken.
WITH raised AS (
    UPDATE revocation_barrier
       SET number = number + 1
     WHERE only_row
    RETURNING number
)
SELECT number, pg_notify('ephemint_revocation', '') IS NULL AS woken
  FROM raised
