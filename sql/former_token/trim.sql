-- former_token/trim: forget all but the newest former tokens of a locked session.
-- $1 session_id uuid, $2 kept bigint
-- Rows affected: any number.
DELETE FROM former_token
 WHERE token_digest IN (SELECT token_digest
                          FROM former_token
                         WHERE session_id = $1
                         ORDER BY replaced_at DESC, token_digest
                        OFFSET $2)
