-- What finding sessions among millions and sweeping ended ones needs. Neither index holds a column that use changes, so last-seen times
-- stay on their page and touch no index (HOT).
-- Sessions by their absolute end: those that may be alive are one end of it, those to be swept the other.
CREATE INDEX session_expires_at_idx ON session (expires_at, session_id);
-- Revoked sessions are swept sooner than their absolute end; nothing is added to this index when a session starts.
CREATE INDEX session_revoked_at_idx ON session (revoked_at) WHERE revoked_at IS NOT NULL;

-- A session that was never revoked and is deleted is news to whoever keeps it in memory, unless it ended long ago by itself. The sweep
-- says which those are, for its own transaction; whoever else deletes a row is logged as before.
CREATE OR REPLACE TRIGGER session_deleted
    AFTER DELETE ON session FOR EACH ROW
    WHEN (OLD.revoked_at IS NULL
          AND extract(epoch FROM OLD.expires_at)
              >= coalesce(nullif(current_setting('ephemint.swept_before', true), '')::numeric, '-Infinity'::numeric))
    EXECUTE FUNCTION log_session_change();

-- Tables where rows come and go are vacuumed when a fiftieth of them is dead, not a fifth: their size follows what lives in them.
ALTER TABLE session SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE former_token SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE revocation_log SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE login_throttle SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE hook_delivery SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

COMMENT ON COLUMN session.revoke_reason IS 'Why it was revoked: logout (its owner signed out), owner (ended from the list of devices), admin, limit (its subject had too many), replaced (another subject signed in on the same browser), token_reuse (a former token came after its grace), unusual_activity or canary.';
COMMENT ON COLUMN session.start_method IS 'How the session was started: admin_api, password, or canary (a session of nobody''s, which is revoked on a schedule to time how long that takes).';
