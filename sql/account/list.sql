-- account/list: a page of accounts, by name.
-- $1 after text (the last username of the page before; empty for the first page), $2 limit bigint
-- Rows: 0 to $2; disabled_at is null where the subject may sign in.
SELECT a.username, a.display_name, a.subject, a.created_at, a.password_changed_at, x.disabled_at
  FROM account AS a
  LEFT JOIN subject_state AS x ON x.subject = a.subject
 WHERE a.username > $1
 ORDER BY a.username
 LIMIT $2
