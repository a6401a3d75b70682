-- session/find_by_token_digest: the session that a presented token belongs to, alive or not.
-- $1 token_digests bytea[] (one per master key that is still accepted)
-- Rows: at most 1, with what the status rule needs.
SELECT s.session_id, s.subject, s.created_at, s.auth_time, s.last_seen_at, s.expires_at, s.amr, s.acr, s.claims, s.device,
       host(s.ip) AS ip, s.user_agent, text(s.network) AS network, s.reauthenticate_since,
       coalesce(s.revoked_at, CASE WHEN s.subject_epoch < x.revocation_epoch THEN x.revoked_at END,
                CASE WHEN s.global_epoch < g.revocation_epoch THEN g.revoked_at END) AS revoked_at,
       (s.subject_epoch < coalesce(x.revocation_epoch, 0) OR s.global_epoch < g.revocation_epoch) AS superseded,
       (x.disabled_at IS NOT NULL) AS subject_disabled,
       s.token_digest
  FROM session AS s
  LEFT JOIN subject_state AS x ON x.subject = s.subject
 CROSS JOIN global_state AS g
 WHERE s.token_digest = ANY ($1)
