-- session/insert: start one session under the revocation epochs that hold now.
-- $1 session_id uuid, $2 token_digest bytea (32 bytes), $3 subject text, $4 created_at timestamptz, $5 auth_time timestamptz,
-- $6 expires_at timestamptz, $7 start_method text, $8 amr text[], $9 acr text or null, $10 claims jsonb, $11 device text or null,
-- $12 ip text or null, $13 user_agent text or null, $14 network text or null, $15 authenticated_under bigint or null (the
-- subject's revocation epoch when it authenticated; null where nobody asked)
-- Rows affected: 1, or 0 if the subject is disabled, or its sessions were all ended after it had authenticated.
INSERT INTO session (session_id, token_digest, subject, created_at, auth_time, last_seen_at, expires_at, subject_epoch,
                     global_epoch, start_method, amr, acr, claims, device, ip, user_agent, network)
SELECT $1, $2, $3, $4, $5, $4, $6, coalesce(x.revocation_epoch, 0), g.revocation_epoch, $7, $8, $9, $10, $11, $12::text::inet,
       $13, $14::text::cidr
  FROM global_state AS g
  LEFT JOIN subject_state AS x ON x.subject = $3
 WHERE x.disabled_at IS NULL
   AND ($15::bigint IS NULL OR coalesce(x.revocation_epoch, 0) = $15)
