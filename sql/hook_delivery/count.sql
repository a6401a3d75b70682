-- hook_delivery/count: how many events wait to be posted?
-- Rows: one, pending bigint.
SELECT count(*) AS pending
  FROM hook_delivery
