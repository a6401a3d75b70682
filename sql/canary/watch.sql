-- canary/watch: the canary sessions that are stored, and which of them are revoked.
-- Rows: a few, with session_id uuid and revoked bool.
SELECT session_id, revoked_at IS NOT NULL AS revoked
  FROM session
 WHERE subject = 'ephemint:canary'
   AND start_method = 'canary'
