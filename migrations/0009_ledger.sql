-- The ledger: each line takes from one account what it gives to another, so that the sum over all accounts is zero in
-- every currency, whatever is written (I9).

CREATE TABLE ledger_entries (
    -- The order of booking; its gaps mean nothing.
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT ledger_entries_pkey PRIMARY KEY,
    -- What makes it one movement, and which line of it this is.
    key text NOT NULL,
    line bigint NOT NULL CONSTRAINT ledger_entries_line CHECK (line >= 1),
    movement text NOT NULL CONSTRAINT ledger_entries_movement CHECK (movement IN (
        'capture', 'refund', 'refund_failed', 'dispute', 'settlement')),
    -- No foreign keys: the insert takes `mode` from the payment, so that a line about one which is not there, or not
    -- the order's, fails on NOT NULL.
    order_id uuid NOT NULL,
    payment_id uuid NOT NULL,
    mode text NOT NULL CONSTRAINT ledger_entries_mode CHECK (mode IN ('test', 'live')),
    transaction_id text,
    debit text NOT NULL CONSTRAINT ledger_entries_debit CHECK (debit IN (
        'sales', 'refunds', 'disputes', 'fees', 'clearing', 'gateway_balance', 'exchange')),
    credit text NOT NULL CONSTRAINT ledger_entries_credit CHECK (credit IN (
        'sales', 'refunds', 'disputes', 'fees', 'clearing', 'gateway_balance', 'exchange')),
    amount bigint NOT NULL CONSTRAINT ledger_entries_amount CHECK (amount > 0),
    currency text NOT NULL CONSTRAINT ledger_entries_currency CHECK (currency ~ '^[a-z]{3}$'),
    at timestamptz NOT NULL,

    CONSTRAINT ledger_entries_moves CHECK (debit <> credit),
    -- Promise (I9): a movement is booked once, however often it is told.
    CONSTRAINT ledger_entries_once UNIQUE (key, line)
);
-- Serve: what was booked of an order; what was booked over a time, and its balances.
CREATE INDEX ledger_entries_by_order ON ledger_entries (order_id, id);
CREATE INDEX ledger_entries_by_time ON ledger_entries (mode, at);

-- Promise (I9): what was booked is never changed or removed, not even by hand. A mistake is booked back.
CREATE FUNCTION refuse_to_change_the_ledger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER ledger_entries_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_ledger();
