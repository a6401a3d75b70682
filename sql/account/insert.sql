-- account/insert: add a password account.
-- $1 username text (canonical), $2 display_name text, $3 subject text, $4 password_hash text (PHC string), $5 created_at timestamptz
-- Rows affected: 1. Fails if the name or the subject is taken.
INSERT INTO account (username, display_name, subject, password_hash, created_at, password_changed_at)
VALUES ($1, $2, $3, $4, $5, $5)
