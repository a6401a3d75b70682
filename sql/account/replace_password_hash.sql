-- account/replace_password_hash: keep another hash of the same password, unless it was changed meanwhile.
-- $1 username text (canonical), $2 old_hash text, $3 new_hash text
-- Rows affected: 1, or 0 if the stored hash is no longer the old one.
UPDATE account
   SET password_hash = $3
 WHERE username = $1
   AND password_hash = $2
