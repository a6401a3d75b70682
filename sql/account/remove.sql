-- account/remove: remove an account.
-- $1 username text (canonical)
-- Rows: 1 with the account's subject, or 0 if unknown.
DELETE FROM account
 WHERE username = $1
RETURNING subject
