-- signing_key/erase_destroyed: erase the private halves of keys whose end has come.
-- $1 now timestamptz
-- Rows affected: 0 or more.
UPDATE signing_key
   SET sealed_private_key = NULL
 WHERE destroys_at <= $1
   AND sealed_private_key IS NOT NULL
