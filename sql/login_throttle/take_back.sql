-- login_throttle/take_back: take a counted attempt off again, because it was right or was never decided.
-- $1 key_digests bytea[], and in the same order: $2 refused_until timestamptz[] (as this attempt left it; null for none)
-- $3 known_until timestamptz or null (not null: it was right. All failures of the account from this network are forgiven, and the
-- network is a known one of the account until then.)
-- Rows affected: one per key that is still stored. Rows are locked in the order of their keys.
UPDATE login_throttle AS x
   SET failures = CASE WHEN x.kind = 'account_network' AND $3::timestamptz IS NOT NULL THEN 0
                       ELSE greatest(x.failures - 1, 0) END,
       -- A refusal that somebody else's attempt has set since then stays.
       refused_until = CASE WHEN x.kind = 'account_network' AND $3::timestamptz IS NOT NULL THEN NULL
                            WHEN x.refused_until = a.refused_until THEN NULL
                            ELSE x.refused_until END,
       known_until = CASE WHEN x.kind = 'account_network' THEN coalesce($3::timestamptz, x.known_until) END,
       forgotten_at = CASE WHEN x.kind = 'account_network' THEN greatest(x.forgotten_at, $3::timestamptz)
                           ELSE x.forgotten_at END
  FROM (SELECT y.key_digest, b.refused_until
          FROM login_throttle AS y
          JOIN unnest($1::bytea[], $2::timestamptz[]) AS b (key_digest, refused_until) ON b.key_digest = y.key_digest
         ORDER BY y.key_digest
           FOR UPDATE OF y) AS a
 WHERE x.key_digest = a.key_digest
