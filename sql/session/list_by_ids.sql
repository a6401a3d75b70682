-- session/list_by_ids: sessions by their public handles, newest first, alive or not.
-- $1 session_ids uuid[]
-- Rows: at most one for each id, with what the status rule needs, and how the session was started and why it was revoked.
SELECT s.session_id, s.subject, s.created_at, s.auth_time, s.last_seen_at, s.expires_at, s.amr, s.acr, s.claims, s.device,
       host(s.ip) AS ip, s.user_agent, text(s.network) AS network, s.reauthenticate_since,
       coalesce(s.revoked_at, CASE WHEN s.subject_epoch < x.revocation_epoch THEN x.revoked_at END,
                CASE WHEN s.global_epoch < g.revocation_epoch THEN g.revoked_at END) AS revoked_at,
       (s.subject_epoch < coalesce(x.revocation_epoch, 0) OR s.global_epoch < g.revocation_epoch) AS superseded,
       (x.disabled_at IS NOT NULL) AS subject_disabled,
       s.start_method, s.revoke_reason
  FROM session AS s
  LEFT JOIN subject_state AS x ON x.subject = s.subject
 CROSS JOIN global_state AS g
 WHERE s.session_id = ANY ($1)
 ORDER BY s.session_id DESC
