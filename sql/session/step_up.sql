-- session/step_up: note on a locked session that its subject has authenticated again, and give it another token.
-- $1 session_id uuid, $2 token_digest bytea (32 bytes), $3 auth_time timestamptz, $4 amr text[], $5 device text or null,
-- $6 ip text or null, $7 user_agent text or null, $8 network text or null
-- Rows affected: 1.
UPDATE session
   SET token_digest = $2, auth_time = $3, last_seen_at = GREATEST(last_seen_at, $3), amr = $4, device = coalesce($5, device),
       ip = coalesce($6::text::inet, ip), user_agent = coalesce($7, user_agent), network = coalesce($8::text::cidr, network),
       reauthenticate_since = NULL
 WHERE session_id = $1
   AND revoked_at IS NULL
