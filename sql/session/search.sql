-- session/search: the newest sessions that fit a filter, among a bounded number of rows.
-- The filter, null where a member does not narrow: $1 now timestamptz, $2 idle_since timestamptz (last seen before this: idle),
-- $3 started_after, $4 started_before, $5 seen_after and $6 seen_before timestamptz, $7 ip text (a network), $8 start_method text,
-- $9 user_agent text, $10 amr text, $11 statuses text[]
-- $12 most_examined bigint, $13 most_matching bigint, $14 before uuid and $15 not_below uuid (the ids in between)
-- Rows: 1, with examined bigint (how many rows were looked at), last_session_id uuid (the last one looked at) and matching uuid[] (in the
-- order of the search). Fewer than $12 examined: there are no more.
-- The filter is the same text in every search. What is known of a subject is looked up row by row, and only where a status is
-- asked for: with a join, a plan might read every subject there is.
WITH examined AS MATERIALIZED (
    SELECT s.session_id, s.subject, s.created_at, s.auth_time, s.last_seen_at, s.expires_at, s.revoked_at, s.subject_epoch,
           s.global_epoch, s.start_method, s.amr, s.ip, s.user_agent, s.network, s.reauthenticate_since
      FROM session AS s
     WHERE s.session_id < $14
       AND s.session_id >= $15
     ORDER BY s.session_id DESC
     LIMIT $12
), matching AS (
    SELECT s.session_id, s.expires_at
      FROM examined AS s
     -- filter
     WHERE s.start_method <> 'canary'
       AND ($3::timestamptz IS NULL OR s.created_at >= $3::timestamptz)
       AND ($4::timestamptz IS NULL OR s.created_at < $4::timestamptz)
       AND ($5::timestamptz IS NULL OR s.last_seen_at >= $5::timestamptz)
       AND ($6::timestamptz IS NULL OR s.last_seen_at < $6::timestamptz)
       AND ($7::text IS NULL OR s.ip <<= $7::text::inet OR s.network <<= $7::text::inet)
       AND ($8::text IS NULL OR s.start_method = $8::text)
       AND ($9::text IS NULL OR s.user_agent = $9::text)
       AND ($10::text IS NULL OR $10::text = ANY (s.amr))
       AND ($11::text[] IS NULL
            OR CASE WHEN s.revoked_at IS NOT NULL
                      OR s.global_epoch < (SELECT g.revocation_epoch FROM global_state AS g)
                      OR s.subject_epoch < coalesce((SELECT x.revocation_epoch FROM subject_state AS x
                                                      WHERE x.subject = s.subject), 0) THEN 'revoked'
                    WHEN (SELECT x.disabled_at FROM subject_state AS x WHERE x.subject = s.subject) IS NOT NULL
                        THEN 'subject_disabled'
                    WHEN s.expires_at <= $1::timestamptz THEN 'expired'
                    WHEN s.last_seen_at <= $2::timestamptz THEN 'idle'
                    WHEN s.auth_time <= s.reauthenticate_since THEN 'reauthentication_needed'
                    ELSE 'active' END = ANY ($11::text[]))
     -- end of filter
     ORDER BY s.session_id DESC
     LIMIT $13
)
SELECT (SELECT count(*) FROM examined) AS examined,
       (SELECT s.session_id FROM examined AS s ORDER BY s.session_id LIMIT 1) AS last_session_id,
       ARRAY(SELECT s.session_id FROM matching AS s ORDER BY s.session_id DESC) AS matching
