-- former_token/trim: forget former tokens of a locked session, but the newest and, for some time, the first ones of each minute.
-- $1 session_id uuid, $2 kept bigint (how many of the newest), $3 firsts_since timestamptz (firsts of a minute are kept from here on)
-- Rows affected: any number.
-- Whoever has stolen a token could bury it under many renewals otherwise, and its owner would never be told. The first two of a
-- minute: the token that the owner was given, and the one that it replaced.
DELETE FROM former_token
 WHERE token_digest IN (SELECT ranked.token_digest
                          FROM (SELECT f.token_digest, f.replaced_at,
                                       row_number() OVER (ORDER BY f.replaced_at DESC, f.token_digest) AS place,
                                       row_number() OVER (PARTITION BY date_trunc('minute', f.replaced_at)
                                                              ORDER BY f.replaced_at, f.token_digest) AS place_in_minute
                                  FROM former_token AS f
                                 WHERE f.session_id = $1) AS ranked
                         WHERE ranked.place > $2
                           AND (ranked.place_in_minute > 2 OR ranked.replaced_at < $3))
