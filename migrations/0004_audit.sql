-- The audit trail: what happened to each order, who did it and why. Written in the transaction of the change (I14).

CREATE TABLE order_transitions (
    order_id uuid NOT NULL,
    -- Keeps the order of insertion within an order; its gaps mean nothing.
    id bigint GENERATED ALWAYS AS IDENTITY,
    mode text NOT NULL CONSTRAINT order_transitions_mode CHECK (mode IN ('test', 'live')),
    payment_id uuid,
    subject text NOT NULL CONSTRAINT order_transitions_subject CHECK (subject IN (
        'order', 'payment', 'call', 'decline', 'break')),
    event text NOT NULL,
    from_state text,
    to_state text,
    actor text NOT NULL,
    cause text NOT NULL,
    gateway_event text,
    gateway_request text,
    detail jsonb NOT NULL,
    at timestamptz NOT NULL,
    -- Serves: the timeline of an order, oldest first. No foreign key: the insert takes `mode` from the order, so
    -- that a line about an order which is not there fails on NOT NULL.
    CONSTRAINT order_transitions_pkey PRIMARY KEY (order_id, id),
    CONSTRAINT order_transitions_step CHECK ((subject IN ('order', 'payment')) = (to_state IS NOT NULL))
);

-- Promise (I14): audit rows are never changed or removed, not even by hand.
CREATE FUNCTION refuse_to_change_the_audit_trail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER order_transitions_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON order_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_trail();
