-- canary/take_turn: revoke the canary session that is due and put out the next, unless another replica was first.
-- $1 session_id uuid, $2 token_digest bytea (32 random bytes: no token has this digest), $3 now timestamptz, $4 due_before
-- timestamptz (a canary started by then is revoked), $5 due_after timestamptz (so is one from a clock further ahead),
-- $6 forget_before timestamptz (what was revoked by then is deleted)
-- Rows affected: 1 for a turn, or 0.
-- A canary is past its end from the start, so that it is nobody's live session. Whoever waits for the row of another one's turn
-- finds it revoked, and starts nothing. Two at the very first start are both revoked in the next turn.
WITH due AS (
    UPDATE session
       SET revoked_at = $3, revoke_reason = 'canary'
     WHERE subject = 'ephemint:canary'
       AND start_method = 'canary'
       AND revoked_at IS NULL
       AND (created_at <= $4 OR created_at > $5)
 RETURNING session_id
), forgotten AS (
    DELETE FROM session
     WHERE subject = 'ephemint:canary'
       AND start_method = 'canary'
       AND revoked_at <= $6
 RETURNING session_id
)
INSERT INTO session (session_id, token_digest, subject, created_at, auth_time, last_seen_at, expires_at, subject_epoch,
                     global_epoch, start_method, amr, claims)
SELECT $1, $2, 'ephemint:canary', $3 - interval '1 microsecond', $3, $3, $3, 0, g.revocation_epoch, 'canary', '{}', '{}'
  FROM global_state AS g
 WHERE EXISTS (SELECT due.session_id FROM due)
    OR NOT EXISTS (SELECT s.session_id
                     FROM session AS s
                    WHERE s.subject = 'ephemint:canary'
                      AND s.start_method = 'canary'
                      AND s.revoked_at IS NULL)
