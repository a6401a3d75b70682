-- former_token/find: the session that a presented token belonged to, alive or not.
-- Asked only after session/find_by_token_digest has found nothing.
-- $1 token_digests bytea[] (one per master key that is still accepted)
-- Rows: at most 1, with what the status rule needs, and with what became of the token.
SELECT s.session_id, s.subject, s.created_at, s.auth_time, s.last_seen_at, s.expires_at, s.amr, s.acr, s.claims, s.device,
       host(s.ip) AS ip, s.user_agent, text(s.network) AS network, s.reauthenticate_since,
       coalesce(s.revoked_at, CASE WHEN s.subject_epoch < x.revocation_epoch THEN x.revoked_at END,
                CASE WHEN s.global_epoch < g.revocation_epoch THEN g.revoked_at END) AS revoked_at,
       (s.subject_epoch < coalesce(x.revocation_epoch, 0) OR s.global_epoch < g.revocation_epoch) AS superseded,
       (x.disabled_at IS NOT NULL) AS subject_disabled,
       f.token_digest, f.replaced_at, f.valid_until, f.reused_at
  FROM former_token AS f
  JOIN session AS s ON s.session_id = f.session_id
  LEFT JOIN subject_state AS x ON x.subject = s.subject
 CROSS JOIN global_state AS g
 WHERE f.token_digest = ANY ($1)
