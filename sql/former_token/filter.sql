-- former_token/filter: which of several presented tokens a session had before its current one.
-- $1 token_digests bytea[]
-- Rows: token_digest bytea, at most one for each digest.
SELECT token_digest
  FROM former_token
 WHERE token_digest = ANY ($1)
