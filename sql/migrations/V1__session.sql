-- Sessions: the server-side record that a subject is signed in on one browser or device.
CREATE TABLE session (
    session_id    uuid        NOT NULL,
    token_digest  bytea       NOT NULL,
    subject       text        NOT NULL,
    created_at    timestamptz NOT NULL,
    auth_time     timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoke_reason text,
    subject_epoch bigint      NOT NULL,
    global_epoch  bigint      NOT NULL,
    start_method  text        NOT NULL,
    amr           text[]      NOT NULL,
    acr           text,
    claims        jsonb       NOT NULL,
    device        text,
    ip            inet,
    CONSTRAINT session_pkey PRIMARY KEY (session_id),
    CONSTRAINT session_token_digest_key UNIQUE (token_digest),
    CONSTRAINT session_token_digest_length CHECK (octet_length(token_digest) = 32),
    CONSTRAINT session_subject_length CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT session_ends_after_it_starts CHECK (expires_at > created_at),
    CONSTRAINT session_revoked_for_a_reason CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL)),
    CONSTRAINT session_claims_are_an_object CHECK (jsonb_typeof(claims) = 'object')
) WITH (fillfactor = 80);
-- Room on each page and no index on last_seen_at: its frequent updates then stay on their page and touch no index (HOT).

-- One subject's sessions, newest first: session ids begin with their creation time.
CREATE INDEX session_subject_idx ON session (subject, session_id);

COMMENT ON TABLE session IS 'One row per session. A row is never revived: no statement clears revoked_at or moves expires_at later.';
COMMENT ON COLUMN session.session_id IS 'Public handle: sid in access tokens, URLs and logs. UUID version 7. Useless as a credential.';
COMMENT ON COLUMN session.token_digest IS 'HMAC-SHA-256 of the session token under a key derived from the master key; 32 bytes. The token itself is never stored.';
COMMENT ON COLUMN session.subject IS 'The principal (sub); 1 to 255 bytes.';
COMMENT ON COLUMN session.created_at IS 'When the session was started.';
COMMENT ON COLUMN session.auth_time IS 'When the subject last proved who they are.';
COMMENT ON COLUMN session.last_seen_at IS 'When the session was last used, written behind: at most one activity granularity (60 s by default) before the truth.';
COMMENT ON COLUMN session.expires_at IS 'The absolute end. No access token of the session expires later.';
COMMENT ON COLUMN session.revoked_at IS 'When the session was revoked by itself; null while it was not. The first revocation wins.';
COMMENT ON COLUMN session.revoke_reason IS 'Why it was revoked: logout or admin.';
COMMENT ON COLUMN session.subject_epoch IS 'The subject''s revocation epoch when the session started; the session is dead once the subject''s epoch is higher.';
COMMENT ON COLUMN session.global_epoch IS 'The global revocation epoch when the session started; the session is dead once the global epoch is higher.';
COMMENT ON COLUMN session.start_method IS 'How the session was started: admin_api.';
COMMENT ON COLUMN session.amr IS 'Authentication methods (RFC 8176).';
COMMENT ON COLUMN session.acr IS 'Authentication context class reference.';
COMMENT ON COLUMN session.claims IS 'Custom claims by name; an audience''s tokens carry those that it allows.';
COMMENT ON COLUMN session.device IS 'Human-readable description of the device.';
COMMENT ON COLUMN session.ip IS 'Address from which the session was started.';

-- What is known of a subject beyond its sessions. No row means: epoch 0, not disabled.
CREATE TABLE subject_state (
    subject          text        NOT NULL,
    revocation_epoch bigint      NOT NULL DEFAULT 0,
    revoked_at       timestamptz,
    disabled_at      timestamptz,
    CONSTRAINT subject_state_pkey PRIMARY KEY (subject)
);
COMMENT ON TABLE subject_state IS 'One row per subject whose sessions were ever ended together, or who is disabled.';
COMMENT ON COLUMN subject_state.subject IS 'The principal (sub); 1 to 255 bytes.';
COMMENT ON COLUMN subject_state.revocation_epoch IS 'Counts mass revocations. Sessions started under a lower number are dead, however many they are.';
COMMENT ON COLUMN subject_state.revoked_at IS 'When the epoch was last raised.';
COMMENT ON COLUMN subject_state.disabled_at IS 'Since when the subject may have no sessions; null while they may.';

-- The one row that ends every session of everyone.
CREATE TABLE global_state (
    singleton        boolean     NOT NULL DEFAULT true,
    revocation_epoch bigint      NOT NULL DEFAULT 0,
    revoked_at       timestamptz,
    CONSTRAINT global_state_pkey PRIMARY KEY (singleton),
    CONSTRAINT global_state_is_one_row CHECK (singleton)
);
COMMENT ON TABLE global_state IS 'Exactly one row.';
COMMENT ON COLUMN global_state.singleton IS 'Always true; keeps the table at one row.';
COMMENT ON COLUMN global_state.revocation_epoch IS 'Counts global revocations. Sessions started under a lower number are dead.';
COMMENT ON COLUMN global_state.revoked_at IS 'When the epoch was last raised.';
INSERT INTO global_state (singleton) VALUES (true);
