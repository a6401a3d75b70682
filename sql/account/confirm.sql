-- account/confirm: is the password that was just found right still the account's, and may its subject sign in?
-- $1 username text (canonical), $2 subject text, $3 password_changed_at timestamptz
-- Rows: 1 with the subject's revocation_epoch bigint, under which a session of this sign-in must start; or 0 if not.
SELECT coalesce(x.revocation_epoch, 0) AS revocation_epoch
  FROM account AS a
  LEFT JOIN subject_state AS x ON x.subject = a.subject
 WHERE a.username = $1
   AND a.subject = $2
   AND a.password_changed_at = $3
   AND x.disabled_at IS NULL
