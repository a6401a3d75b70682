-- account/set_password: replace an account's password.
-- $1 username text (canonical), $2 password_hash text (PHC string), $3 password_changed_at timestamptz
-- Rows: 1 with the account's subject, or 0 if unknown.
UPDATE account
   SET password_hash = $2, password_changed_at = $3
 WHERE username = $1
RETURNING subject
