-- session/sweep_expired: delete sessions whose absolute end is long over, and the former tokens of theirs.
-- $1 ended_before timestamptz, $2 not_before timestamptz (absolute ends before this were swept already), $3 most bigint
-- Rows: 1, with sessions bigint (0 to $3), former_tokens bigint, and last_expires_at timestamptz (null where none was swept).
-- Rows that somebody holds are left alone. What is swept here is no news to anybody, so the trigger session_deleted is told not
-- to log it: only what had ended before $1, and only in this transaction.
WITH told AS MATERIALIZED (
    SELECT set_config('ephemint.swept_before', extract(epoch FROM $1::timestamptz)::text, true) AS told
), ended AS MATERIALIZED (
    SELECT s.session_id
      FROM session AS s
     WHERE s.expires_at < $1
       AND s.expires_at >= $2
     ORDER BY s.expires_at
     LIMIT $3
       FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM former_token AS f
     USING ended AS e
     WHERE f.session_id = e.session_id
    RETURNING f.session_id
), swept AS (
    DELETE FROM session AS s
     USING ended AS e, told AS t
     WHERE s.session_id = e.session_id
       AND t.told IS NOT NULL
    RETURNING s.expires_at
)
SELECT count(*) AS sessions, (SELECT count(*) FROM forgotten) AS former_tokens, max(w.expires_at) AS last_expires_at
  FROM swept AS w
