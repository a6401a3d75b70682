-- session/remember_device: remember what a session is used from, and what follows; one of several parallel requests does it.
-- $1 session_id uuid, $2 old_user_agent text or null, $3 old_network text or null, $4 user_agent text or null,
-- $5 network text or null, $6 reauthenticate_since timestamptz (null: demand nothing), $7 revoked_at timestamptz (null: do
-- not revoke), $8 revoke_reason text (null together with $7)
-- Rows affected: 1, or 0 if another request was first or the session was revoked.
UPDATE session
   SET user_agent = $4, network = $5::text::cidr, reauthenticate_since = coalesce($6, reauthenticate_since),
       revoked_at = $7, revoke_reason = $8
 WHERE session_id = $1
   AND user_agent IS NOT DISTINCT FROM $2
   AND network IS NOT DISTINCT FROM $3::text::cidr
   AND revoked_at IS NULL
