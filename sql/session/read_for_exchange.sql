-- session/read_for_exchange: what exchanges need of the sessions that presented tokens belong to, alive or not.
-- $1 token_digests bytea[] (for each token, one per master key that is still accepted)
-- Rows: at most one for each token. They are read by place: whoever changes the columns changes `session_reads.rs`.
SELECT s.token_digest, s.last_seen_at, s.revoked_at,
       (s.subject_epoch < coalesce(x.revocation_epoch, 0) OR s.global_epoch < g.revocation_epoch) AS superseded,
       (x.disabled_at IS NOT NULL) AS subject_disabled,
       s.session_id, s.subject, s.created_at, s.auth_time, s.expires_at, s.reauthenticate_since, s.amr, s.acr, s.claims
  FROM session AS s
  LEFT JOIN subject_state AS x ON x.subject = s.subject
 CROSS JOIN global_state AS g
 WHERE s.token_digest = ANY ($1)
