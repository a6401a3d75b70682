-- The outbox of the webhook: events that are to be posted. Any replica posts them; a row goes when its event has arrived.
CREATE TABLE hook_delivery (
    delivery_id     uuid        NOT NULL,
    event           text        NOT NULL,
    body            json        NOT NULL,
    created_at      timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    attempts        integer     NOT NULL,
    CONSTRAINT hook_delivery_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT hook_delivery_attempts_count CHECK (attempts >= 0),
    CONSTRAINT hook_delivery_body_is_an_object CHECK (json_typeof(body) = 'object')
);

-- What is due next.
CREATE INDEX hook_delivery_next_attempt_idx ON hook_delivery (next_attempt_at);

COMMENT ON TABLE hook_delivery IS 'One row per event that waits to be posted to hooks.url. Bounded by hooks.max_pending.';
COMMENT ON COLUMN hook_delivery.delivery_id IS 'Id of the event and of its message (webhook-id), the same at every attempt. UUID version 7.';
COMMENT ON COLUMN hook_delivery.event IS 'Name of the event, such as new_device.';
COMMENT ON COLUMN hook_delivery.body IS 'The message as it is posted; json and not jsonb, so that its text stays as it was written.';
COMMENT ON COLUMN hook_delivery.created_at IS 'When the event was recorded.';
COMMENT ON COLUMN hook_delivery.next_attempt_at IS 'From when a replica may post it. A replica that takes it moves this ahead, so that others leave it alone and take over if that replica dies.';
COMMENT ON COLUMN hook_delivery.attempts IS 'How often it was taken. Only the replica that took it last may settle it.';
