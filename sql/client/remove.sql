-- client/remove: remove a client; its secret is dead at once.
-- $1 name_or_id text
-- Rows affected: 1, or 0 if unknown.
DELETE FROM client
 WHERE client_id = $1 OR name = $1
