-- session/sweep_revoked: delete sessions that were revoked long ago, and the former tokens of theirs.
-- $1 revoked_before timestamptz, $2 not_before timestamptz (revocations before this were swept already), $3 most bigint
-- Rows: 1, with sessions bigint (0 to $3), former_tokens bigint, and last_revoked_at timestamptz (null where none was swept).
-- Rows that somebody holds are left alone.
WITH ended AS MATERIALIZED (
    SELECT s.session_id
      FROM session AS s
     WHERE s.revoked_at IS NOT NULL
       AND s.revoked_at < $1
       AND s.revoked_at >= $2
     ORDER BY s.revoked_at
     LIMIT $3
       FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM former_token AS f
     USING ended AS e
     WHERE f.session_id = e.session_id
    RETURNING f.session_id
), swept AS (
    DELETE FROM session AS s
     USING ended AS e
     WHERE s.session_id = e.session_id
    RETURNING s.revoked_at
)
SELECT count(*) AS sessions, (SELECT count(*) FROM forgotten) AS former_tokens, max(w.revoked_at) AS last_revoked_at
  FROM swept AS w
