-- client/list: every service credential, by name.
-- No parameters.
-- Rows: 0 or more.
SELECT client_id, name, scopes, created_at, rotated_at
  FROM client
 ORDER BY name
