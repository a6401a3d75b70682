-- The registry of replicas, so that a revocation can be answered as soon as all of them have noticed it.
CREATE TABLE replica (
    replica_id    uuid    NOT NULL,
    passed        bigint  NOT NULL,
    beat          bigint  NOT NULL,
    lease_seconds integer NOT NULL,
    CONSTRAINT replica_pkey PRIMARY KEY (replica_id),
    CONSTRAINT replica_lease_positive CHECK (lease_seconds > 0)
) WITH (fillfactor = 50);
CREATE TABLE revocation_barrier (
    only_row boolean NOT NULL DEFAULT true,
    number   bigint  NOT NULL,
    CONSTRAINT revocation_barrier_pkey PRIMARY KEY (only_row),
    CONSTRAINT revocation_barrier_one_row CHECK (only_row)
) WITH (fillfactor = 50);
INSERT INTO revocation_barrier (number) VALUES (0);

COMMENT ON TABLE replica IS 'One row per running process that serves exchanges, kept up by a heartbeat every few seconds. A row whose heart has stopped is removed by another replica. No column that changes is indexed, so that a heartbeat touches no index.';
COMMENT ON COLUMN replica.replica_id IS 'Drawn by the process when it starts. The nil UUID stands for all programs that keep no row of their own, see note_unregistered_replica().';
COMMENT ON COLUMN replica.passed IS 'The highest barrier that this replica has seen and acted upon: it answers with no token of a session whose end was committed before that barrier was raised. -1 where nobody knows.';
COMMENT ON COLUMN replica.beat IS 'Goes up with each heartbeat. Others measure by their own clocks how long it has stood still; no instant is stored, so no clock of another machine decides.';
COMMENT ON COLUMN replica.lease_seconds IS 'For how many seconds beat must have stood still before the row may be removed. The replica itself answers nobody well before that.';
COMMENT ON TABLE revocation_barrier IS 'One row. Whoever wants to know that all replicas have noticed a revocation raises the number and waits until every replica has passed it.';
COMMENT ON COLUMN revocation_barrier.only_row IS 'Always true.';
COMMENT ON COLUMN revocation_barrier.number IS 'The barrier that was raised last. Who sees a number sees everything that was committed before it was raised.';

-- The version before this one keeps no row, and it may run beside this one or be started again. It removes old counts of sign-in
-- attempts at its start and every minute; later versions do so too, and say in the same statement that they keep a row. So whoever
-- does not say so is noted, and barriers wait for what is never passed: until the bound.
CREATE FUNCTION note_unregistered_replica() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF coalesce(current_setting('ephemint.registered', true), '') <> 'yes' THEN
        INSERT INTO replica AS noted (replica_id, passed, beat, lease_seconds)
        VALUES ('00000000-0000-0000-0000-000000000000', -1, 0, 200)
            ON CONFLICT (replica_id) DO UPDATE SET beat = noted.beat + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER unregistered_replica_noted
    AFTER DELETE ON login_throttle FOR EACH STATEMENT EXECUTE FUNCTION note_unregistered_replica();

-- Where there are keys, replicas of the version before may be running now.
INSERT INTO replica (replica_id, passed, beat, lease_seconds)
SELECT '00000000-0000-0000-0000-000000000000', -1, 0, 200
 WHERE EXISTS (SELECT 1 FROM signing_key);
