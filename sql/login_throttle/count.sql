-- login_throttle/count: count one sign-in attempt under all its keys, unless one of them is refused.
-- $1 key_digests bytea[] (32 bytes each), and in the same order: $2 kinds text[], $3 free double precision[] (failures without
-- consequence), $4 half_lives double precision[] (seconds), $5 longest_refusals double precision[] (seconds; 0 for none)
-- $6 counted_at timestamptz
-- Rows: one per key that is stored, with its count after this attempt; `counted` tells whether this attempt is in it. A key without a
-- row was not counted.
-- Rows are locked in the order of their keys, so that no two attempts wait for each other.
WITH attempt AS (
    SELECT a.key_digest, a.kind, a.free, a.half_life, a.longest_refusal
      FROM unnest($1::bytea[], $2::text[], $3::double precision[], $4::double precision[], $5::double precision[])
           AS a (key_digest, kind, free, half_life, longest_refusal)
), stored AS (
    SELECT x.key_digest, x.kind, x.failures, x.refused_until, x.known_until
      FROM login_throttle AS x
      JOIN attempt AS a ON a.key_digest = x.key_digest
), verdict AS (
    -- A network that the account knows is not refused for what others do there.
    SELECT coalesce(bool_or(s.refused_until > $6 AND (
               s.kind = 'account_network'
               OR NOT EXISTS (SELECT 1 FROM stored AS k WHERE k.kind = 'account_network' AND k.known_until > $6)
           )), false) AS refused
      FROM stored AS s
), counted AS (
    INSERT INTO login_throttle AS x (key_digest, kind, failures, counted_at, refused_until, forgotten_at)
    SELECT a.key_digest, a.kind, 1, $6,
           CASE WHEN a.longest_refusal > 0 AND a.free < 1.5 THEN $6 + make_interval(secs => least(a.longest_refusal, 1)) END,
           $6 + make_interval(secs => 10 * a.half_life)
      FROM attempt AS a
     CROSS JOIN verdict AS v
     WHERE NOT v.refused
     ORDER BY a.key_digest
        ON CONFLICT (key_digest) DO UPDATE
       SET (failures, counted_at, refused_until, forgotten_at) = (
               SELECT n.failures,
                      greatest(x.counted_at, $6),
                      CASE WHEN n.longest_refusal > 0 AND n.failures > n.free - 0.5
                           THEN $6 + make_interval(
                                    secs => least(n.longest_refusal, power(2, least(greatest(n.failures - n.free, 0), 40)))
                                )
                      END,
                      greatest(x.forgotten_at, $6 + make_interval(secs => 10 * n.half_life))
                 FROM (SELECT a.free, a.half_life, a.longest_refusal,
                              1 + x.failures * power(
                                  0.5, least(greatest(extract(epoch FROM $6 - x.counted_at)::double precision, 0) / a.half_life, 1000)
                              ) AS failures
                         FROM attempt AS a
                        WHERE a.key_digest = x.key_digest) AS n
           )
     WHERE x.refused_until IS NULL OR x.refused_until <= $6
    RETURNING x.key_digest, x.kind, x.failures, x.refused_until, x.known_until
)
SELECT c.key_digest, c.kind, c.failures, c.refused_until, c.known_until, true AS counted
  FROM counted AS c
 UNION ALL
SELECT s.key_digest, s.kind, s.failures, s.refused_until, s.known_until, false AS counted
  FROM stored AS s
 WHERE NOT EXISTS (SELECT 1 FROM counted AS c WHERE c.key_digest = s.key_digest)
