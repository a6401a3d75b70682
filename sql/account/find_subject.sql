-- account/find_subject: whose account it is.
-- $1 username text (canonical)
-- Rows: at most 1, with subject text.
SELECT subject
  FROM account
 WHERE username = $1
