-- Service credentials: who may call the admin API and the OAuth routes, and for what.
CREATE TABLE client (
    client_id     text        NOT NULL,
    name          text        NOT NULL,
    secret_digest bytea       NOT NULL,
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL,
    rotated_at    timestamptz NOT NULL,
    CONSTRAINT client_pkey PRIMARY KEY (client_id),
    CONSTRAINT client_name_key UNIQUE (name),
    CONSTRAINT client_secret_digest_key UNIQUE (secret_digest),
    CONSTRAINT client_secret_digest_length CHECK (octet_length(secret_digest) = 32),
    CONSTRAINT client_has_a_scope CHECK (cardinality(scopes) > 0)
);
COMMENT ON TABLE client IS 'One row per service credential.';
COMMENT ON COLUMN client.client_id IS 'Public id, client_id in OAuth.';
COMMENT ON COLUMN client.name IS 'Name for people; unique.';
COMMENT ON COLUMN client.secret_digest IS 'HMAC-SHA-256 of the secret under a key derived from the master key; 32 bytes. The secret itself is never stored.';
COMMENT ON COLUMN client.scopes IS 'What the client may do, by scope name.';
COMMENT ON COLUMN client.created_at IS 'When the client was added.';
COMMENT ON COLUMN client.rotated_at IS 'When its secret was last replaced.';
