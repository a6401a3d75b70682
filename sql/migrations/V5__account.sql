-- Password accounts. Whether one is disabled is said of its subject, in subject_state.
CREATE TABLE account (
    username            text        NOT NULL,
    display_name        text        NOT NULL,
    subject             text        NOT NULL,
    password_hash       text        NOT NULL,
    created_at          timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL,
    CONSTRAINT account_pkey PRIMARY KEY (username),
    CONSTRAINT account_subject_key UNIQUE (subject),
    CONSTRAINT account_username_length CHECK (octet_length(username) BETWEEN 1 AND 255),
    CONSTRAINT account_subject_length CHECK (octet_length(subject) BETWEEN 1 AND 255)
);
COMMENT ON TABLE account IS 'One row per person who signs in with a password.';
COMMENT ON COLUMN account.username IS 'The name in its canonical form (RFC 8265, UsernameCaseMapped); 1 to 255 bytes.';
COMMENT ON COLUMN account.display_name IS 'The name as it was typed when the account was added; for people to read, never compared.';
COMMENT ON COLUMN account.subject IS 'Whose sessions its sign-ins start (sub); 1 to 255 bytes.';
COMMENT ON COLUMN account.password_hash IS 'Argon2id in PHC string format: parameters, salt and hash. The password itself is never stored.';
COMMENT ON COLUMN account.created_at IS 'When the account was added.';
COMMENT ON COLUMN account.password_changed_at IS 'When the password was last set. Hashing the same password anew does not change it.';

-- How many sign-in attempts have failed lately, shared by all replicas. Unlogged: it costs no write-ahead log, is in no backup, and
-- is empty after a crash of the database, which forgives everyone.
CREATE UNLOGGED TABLE login_throttle (
    key_digest    bytea            NOT NULL,
    kind          text             NOT NULL,
    failures      double precision NOT NULL,
    counted_at    timestamptz      NOT NULL,
    refused_until timestamptz,
    known_until   timestamptz,
    forgotten_at  timestamptz      NOT NULL,
    CONSTRAINT login_throttle_pkey PRIMARY KEY (key_digest),
    CONSTRAINT login_throttle_key_digest_length CHECK (octet_length(key_digest) = 32),
    CONSTRAINT login_throttle_kind_known CHECK (kind IN ('account_network', 'network', 'account', 'overall')),
    CONSTRAINT login_throttle_failures_not_negative CHECK (failures >= 0)
) WITH (fillfactor = 70);

-- For the sweep.
CREATE INDEX login_throttle_forgotten_at_idx ON login_throttle (forgotten_at);

COMMENT ON TABLE login_throttle IS 'One row per key under which sign-in attempts are counted; old rows are swept.';
COMMENT ON COLUMN login_throttle.key_digest IS 'HMAC-SHA-256 of account, network or both under a key derived from the master key; 32 bytes. Neither name nor address can be read from it.';
COMMENT ON COLUMN login_throttle.kind IS 'What is counted: account_network, network, account or overall.';
COMMENT ON COLUMN login_throttle.failures IS 'Failed attempts as of counted_at, the forgotten part taken off; attempts under way count as failed.';
COMMENT ON COLUMN login_throttle.counted_at IS 'When an attempt was last counted.';
COMMENT ON COLUMN login_throttle.refused_until IS 'Until when attempts under this key are refused; null while they are not.';
COMMENT ON COLUMN login_throttle.known_until IS 'For account_network: until when the network counts as one of the account''s own, since its owner signed in from there; null where not.';
COMMENT ON COLUMN login_throttle.forgotten_at IS 'From when the row makes no difference any more and may be swept.';
