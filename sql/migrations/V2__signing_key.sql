-- Signing keys. A key's state follows from its dates and the present, so all replicas switch together without talking.
CREATE TABLE signing_key (
    kid                text        NOT NULL,
    algorithm          text        NOT NULL,
    sealed_private_key bytea,
    public_jwk         jsonb       NOT NULL,
    published_at       timestamptz NOT NULL,
    activates_at       timestamptz,
    retires_at         timestamptz,
    destroys_at        timestamptz,
    CONSTRAINT signing_key_pkey PRIMARY KEY (kid),
    CONSTRAINT signing_key_algorithm_known CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
    CONSTRAINT signing_key_publishes_no_private_member CHECK (NOT public_jwk ?| ARRAY['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']),
    CONSTRAINT signing_key_retires_after_it_signed CHECK (retires_at IS NULL OR activates_at IS NOT NULL),
    CONSTRAINT signing_key_ends_when_it_retires CHECK ((destroys_at IS NULL) = (retires_at IS NULL)),
    CONSTRAINT signing_key_dates_in_order CHECK (
        (activates_at IS NULL OR activates_at >= published_at)
        AND (retires_at IS NULL OR retires_at >= activates_at)
        AND (destroys_at IS NULL OR destroys_at >= retires_at)
    ),
    CONSTRAINT signing_key_erased_only_at_its_end CHECK (sealed_private_key IS NOT NULL OR destroys_at IS NOT NULL)
);

-- At most one key of an algorithm signs without a planned end, and at most one waits without a plan: no race can make two.
CREATE UNIQUE INDEX signing_key_one_active_idx ON signing_key (algorithm) WHERE activates_at IS NOT NULL AND retires_at IS NULL;
CREATE UNIQUE INDEX signing_key_one_standby_idx ON signing_key (algorithm) WHERE activates_at IS NULL;

COMMENT ON TABLE signing_key IS 'One row per signing key ever made. One issuer publishes the keys of one algorithm.';
COMMENT ON COLUMN signing_key.kid IS 'Key id: RFC 7638 thumbprint, SHA-256, base64url.';
COMMENT ON COLUMN signing_key.algorithm IS 'ES256, EdDSA or RS256.';
COMMENT ON COLUMN signing_key.sealed_private_key IS 'PKCS #8, sealed with AES-256-GCM under a key derived from the master key; null once erased.';
COMMENT ON COLUMN signing_key.public_jwk IS 'The public half as it is published (RFC 7517).';
COMMENT ON COLUMN signing_key.published_at IS 'When the key joined the key set, which is when it was made.';
COMMENT ON COLUMN signing_key.activates_at IS 'From when it signs; null while it is a standby without a plan.';
COMMENT ON COLUMN signing_key.retires_at IS 'From when its successor signs; null while none is planned.';
COMMENT ON COLUMN signing_key.destroys_at IS 'From when it is no longer published and its private half is erased; null while none is planned.';
