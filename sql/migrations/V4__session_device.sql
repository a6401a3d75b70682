-- What renewal, step-up and the watch for unusual activity need. Nullable columns only: a version that does not know them
-- goes on writing sessions.
ALTER TABLE session
    ADD COLUMN user_agent           text,
    ADD COLUMN network              cidr,
    ADD COLUMN reauthenticate_since timestamptz;
COMMENT ON COLUMN session.user_agent IS 'Family of the user agent that uses the session, such as Firefox, without its version; null until one was seen.';
COMMENT ON COLUMN session.network IS 'Network from which the session is used: the /24 of an IPv4 or the /48 of an IPv6 address; null until one was seen, or where addresses are not kept.';
COMMENT ON COLUMN session.reauthenticate_since IS 'The session is of no use while auth_time is not later than this; null where no authentication is demanded.';
COMMENT ON COLUMN session.revoke_reason IS 'Why it was revoked: logout (its owner signed out), owner (ended from the list of devices), admin, limit (its subject had too many), replaced (another subject signed in on the same browser), token_reuse (a former token came after its grace) or unusual_activity.';
COMMENT ON COLUMN session.start_method IS 'How the session was started: admin_api or password.';
COMMENT ON COLUMN session.auth_time IS 'When the subject last proved who they are; a step-up moves it forward.';
COMMENT ON COLUMN session.device IS 'Human-readable description of the device, as of the last sign-in.';
COMMENT ON COLUMN session.ip IS 'Address from which its subject last signed in, as precise as session.address_precision allowed.';
COMMENT ON COLUMN session.token_digest IS 'HMAC-SHA-256 of the current session token under a key derived from the master key; 32 bytes. The token itself is never stored.';

-- Tokens that a session had before the one it has now.
CREATE TABLE former_token (
    token_digest bytea       NOT NULL,
    session_id   uuid        NOT NULL,
    replaced_at  timestamptz NOT NULL,
    valid_until  timestamptz NOT NULL,
    reused_at    timestamptz,
    CONSTRAINT former_token_pkey PRIMARY KEY (token_digest),
    CONSTRAINT former_token_session_id_fkey FOREIGN KEY (session_id) REFERENCES session (session_id) ON DELETE CASCADE,
    CONSTRAINT former_token_digest_length CHECK (octet_length(token_digest) = 32)
);
CREATE INDEX former_token_session_id_idx ON former_token (session_id, replaced_at);
COMMENT ON TABLE former_token IS 'The last few tokens of a session before its current one: to let parallel requests finish, and to notice a stolen one.';
COMMENT ON COLUMN former_token.token_digest IS 'Like session.token_digest.';
COMMENT ON COLUMN former_token.session_id IS 'Whose token it was.';
COMMENT ON COLUMN former_token.replaced_at IS 'When the session got another token.';
COMMENT ON COLUMN former_token.valid_until IS 'Until when it still stands for the session: some seconds after a renewal, replaced_at itself after a step-up.';
COMMENT ON COLUMN former_token.reused_at IS 'When it was first presented after the grace; null while it was not. Each former token is reported once.';
