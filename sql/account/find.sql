-- account/find: what a sign-in attempt is checked against.
-- $1 username text (canonical; or a text that no account has, so that an impossible name costs the same as any other)
-- Rows: at most 1, with password_hash text (PHC string) and disabled boolean (of its subject).
SELECT a.username, a.subject, a.password_hash, a.password_changed_at, x.disabled_at IS NOT NULL AS disabled
  FROM account AS a
  LEFT JOIN subject_state AS x ON x.subject = a.subject
 WHERE a.username = $1
