-- The revocation log: which sessions were ended or changed, for replicas that keep sessions in memory.
CREATE TABLE revocation_log (
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    session_id uuid,
    subject    text,
    logged_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT revocation_log_names_at_most_one CHECK (session_id IS NULL OR subject IS NULL)
);
-- Replicas read from a transaction id on, never by a sequence: numbers of a sequence become visible out of order.
CREATE INDEX revocation_log_xid_idx ON revocation_log (xid);

COMMENT ON TABLE revocation_log IS 'Append-only. A row with neither a session nor a subject concerns everyone. Rows are written by triggers, in the transaction that makes the change, and swept some minutes after every replica can have read them.';
COMMENT ON COLUMN revocation_log.xid IS 'The transaction that made the change; readers compare it with the oldest transaction that was still running when they last read.';
COMMENT ON COLUMN revocation_log.session_id IS 'The session that was ended or changed; null where the row concerns more than one.';
COMMENT ON COLUMN revocation_log.subject IS 'The subject whose sessions were ended or whose state was changed; null where the row concerns one session or everyone.';
COMMENT ON COLUMN revocation_log.logged_at IS 'When the row was written, by the database''s clock; for the measured time of propagation alone, nothing is decided by it.';

-- Triggers and not the statements themselves write the log: so a change is noticed whoever makes it, an older version of the
-- program or a person with psql included. Last-seen times fire none of them. The notification only wakes readers up early.
-- They find the log where it was made, whatever search_path the change is made under.
CREATE FUNCTION log_session_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO revocation_log (session_id) VALUES (OLD.session_id);
    PERFORM pg_notify('ephemint_revocation', '');
    RETURN NULL;
END $$;

CREATE FUNCTION log_subject_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO revocation_log (subject) VALUES (coalesce(NEW.subject, OLD.subject));
    PERFORM pg_notify('ephemint_revocation', '');
    RETURN NULL;
END $$;

CREATE FUNCTION log_change_for_everyone() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO revocation_log (session_id, subject) VALUES (NULL, NULL);
    PERFORM pg_notify('ephemint_revocation', '');
    RETURN NULL;
END $$;

CREATE TRIGGER session_changed
    AFTER UPDATE OF session_id, token_digest, subject, auth_time, expires_at, revoked_at, reauthenticate_since, subject_epoch,
                    global_epoch, amr, acr, claims
    ON session FOR EACH ROW
    WHEN ((OLD.session_id, OLD.token_digest, OLD.subject, OLD.auth_time, OLD.expires_at, OLD.revoked_at, OLD.reauthenticate_since,
           OLD.subject_epoch, OLD.global_epoch, OLD.amr, OLD.acr, OLD.claims)
          IS DISTINCT FROM
          (NEW.session_id, NEW.token_digest, NEW.subject, NEW.auth_time, NEW.expires_at, NEW.revoked_at, NEW.reauthenticate_since,
           NEW.subject_epoch, NEW.global_epoch, NEW.amr, NEW.acr, NEW.claims))
    EXECUTE FUNCTION log_session_change();
CREATE TRIGGER session_deleted
    AFTER DELETE ON session FOR EACH ROW WHEN (OLD.revoked_at IS NULL) EXECUTE FUNCTION log_session_change();
CREATE TRIGGER sessions_truncated
    AFTER TRUNCATE ON session FOR EACH STATEMENT EXECUTE FUNCTION log_change_for_everyone();
CREATE TRIGGER subject_state_changed
    AFTER INSERT OR UPDATE OR DELETE ON subject_state FOR EACH ROW EXECUTE FUNCTION log_subject_change();
CREATE TRIGGER subject_states_truncated
    AFTER TRUNCATE ON subject_state FOR EACH STATEMENT EXECUTE FUNCTION log_change_for_everyone();
CREATE TRIGGER global_state_changed
    AFTER INSERT OR UPDATE OR DELETE ON global_state FOR EACH ROW EXECUTE FUNCTION log_change_for_everyone();
CREATE TRIGGER global_state_truncated
    AFTER TRUNCATE ON global_state FOR EACH STATEMENT EXECUTE FUNCTION log_change_for_everyone();
