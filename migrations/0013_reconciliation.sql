-- Reconciliation: how far the gateway's past was read, what was looked at, what each run came to, and payouts.

-- Up to which moment a section has read the gateway's past, without a gap.
CREATE TABLE cursors (
    mode text NOT NULL CONSTRAINT cursors_mode CHECK (mode IN ('test', 'live')),
    section text NOT NULL CONSTRAINT cursors_section CHECK (section IN ('catch_up', 'local', 'gateway', 'books')),
    at timestamptz NOT NULL,
    CONSTRAINT cursors_pkey PRIMARY KEY (mode, section)
);

-- When a payment was looked at, whatever was seen. Beside the payments, so that a sweep over many of them neither
-- rewrites their rows nor waits for those who decide about them. No foreign key: a row without its payment means
-- nothing and harms nobody.
CREATE TABLE payment_looks (
    payment_id uuid CONSTRAINT payment_looks_pkey PRIMARY KEY,
    at timestamptz NOT NULL
);

-- Serve: the payments that have not come to an end, in the order of their ids. The states are those of
-- PaymentState::is_live. Hold only what is unsettled, however much was settled before.
CREATE INDEX payments_unsettled ON payments (mode, id)
    WHERE (state IN ('created', 'pending', 'requires_action', 'processing', 'authorized')
           AND (intent IS NOT NULL OR session IS NOT NULL))
       OR (state = 'captured' AND (fee IS NULL OR refunded <> returned));
CREATE INDEX disputes_open ON disputes (mode, payment_id)
    WHERE status NOT IN ('warning_closed', 'won', 'lost', 'prevented');
-- Serves: the calls of which nobody knows how they ended.
CREATE INDEX gateway_calls_open ON gateway_calls (mode, id) WHERE state = 'recorded';

CREATE TABLE reconciliation_runs (
    id uuid CONSTRAINT reconciliation_runs_pkey PRIMARY KEY,
    mode text NOT NULL CONSTRAINT reconciliation_runs_mode CHECK (mode IN ('test', 'live')),
    trigger text NOT NULL CONSTRAINT reconciliation_runs_trigger CHECK (trigger IN ('schedule', 'api', 'command')),
    since timestamptz,
    state text NOT NULL CONSTRAINT reconciliation_runs_state CHECK (state IN (
        'running', 'done', 'incomplete', 'failed')),
    -- By section.
    counts jsonb NOT NULL CONSTRAINT reconciliation_runs_counts CHECK (jsonb_typeof(counts) = 'object'),
    opened bigint NOT NULL CONSTRAINT reconciliation_runs_opened CHECK (opened >= 0),
    resolved bigint NOT NULL CONSTRAINT reconciliation_runs_resolved CHECK (resolved >= 0),
    error text,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    -- The database's time of its last sign of life.
    heard_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reconciliation_runs_finished CHECK ((state = 'running') = (finished_at IS NULL))
);
-- Serve: the list of a mode's runs, newest first; the runs of a time; those under way.
CREATE INDEX reconciliation_runs_by_mode ON reconciliation_runs (mode, id);
CREATE INDEX reconciliation_runs_by_time ON reconciliation_runs (mode, started_at);
CREATE INDEX reconciliation_runs_running ON reconciliation_runs (mode, heard_at) WHERE state = 'running';

CREATE TABLE payouts (
    mode text NOT NULL CONSTRAINT payouts_mode CHECK (mode IN ('test', 'live')),
    -- Compared by bytes, as the core does.
    id text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CONSTRAINT payouts_amount CHECK (amount >= 0),
    currency text NOT NULL CONSTRAINT payouts_currency CHECK (currency ~ '^[a-z]{3}$'),
    -- Whether it took money from the bank.
    taken boolean NOT NULL,
    -- The gateway's word. Its list is open, so that a new one is no error.
    status text NOT NULL,
    automatic boolean NOT NULL,
    parts jsonb NOT NULL CONSTRAINT payouts_parts CHECK (jsonb_typeof(parts) = 'array'),
    -- What of it is not explained; null as long as it was not looked into.
    remainder bigint,
    created_at timestamptz NOT NULL,
    arrives_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    CONSTRAINT payouts_pkey PRIMARY KEY (mode, id),
    CONSTRAINT payouts_looked_into CHECK (remainder IS NOT NULL OR parts = '[]')
);
-- Serves: the list of a mode's payouts, newest first.
CREATE INDEX payouts_by_time ON payouts (mode, created_at, id);

-- Payouts belong to no order and no payment, and nothing else does. Nothing else reaches the bank, and every payout
-- does.
ALTER TABLE ledger_entries
    ALTER COLUMN order_id DROP NOT NULL,
    ALTER COLUMN payment_id DROP NOT NULL,
    DROP CONSTRAINT ledger_entries_movement,
    ADD CONSTRAINT ledger_entries_movement CHECK (movement IN (
        'capture', 'refund', 'refund_failed', 'dispute', 'settlement', 'payout', 'payout_failed')),
    DROP CONSTRAINT ledger_entries_debit,
    ADD CONSTRAINT ledger_entries_debit CHECK (debit IN (
        'sales', 'refunds', 'disputes', 'fees', 'clearing', 'gateway_balance', 'bank', 'exchange')),
    DROP CONSTRAINT ledger_entries_credit,
    ADD CONSTRAINT ledger_entries_credit CHECK (credit IN (
        'sales', 'refunds', 'disputes', 'fees', 'clearing', 'gateway_balance', 'bank', 'exchange')),
    ADD CONSTRAINT ledger_entries_belongs CHECK (
        (order_id IS NULL) = (movement IN ('payout', 'payout_failed')) AND (payment_id IS NULL) = (order_id IS NULL)),
    ADD CONSTRAINT ledger_entries_bank CHECK (
        ('bank' IN (debit, credit)) = (movement IN ('payout', 'payout_failed'))),
    -- What a balance transaction told is booked under its name: the unique key serves "is it booked?".
    ADD CONSTRAINT ledger_entries_transaction CHECK (transaction_id = key);

ALTER TABLE breaks
    DROP CONSTRAINT breaks_kind,
    ADD CONSTRAINT breaks_kind CHECK (kind IN (
        'late_money', 'surplus_payment', 'amount_mismatch', 'mode_mismatch', 'identity_mismatch', 'foreign_object',
        'refund_failed', 'unexplained_transaction', 'unexplained_payout'));
-- Serve: the breaks about an object that a rule explains; those found within a time, and those resolved.
CREATE INDEX breaks_open_by_object ON breaks (object, kind) WHERE resolved_at IS NULL;
CREATE INDEX breaks_by_found ON breaks (mode, found_at);
CREATE INDEX breaks_by_resolved ON breaks (mode, resolved_at) WHERE resolved_at IS NOT NULL;

ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_scopes,
    ADD CONSTRAINT api_keys_scopes CHECK (scopes <@ ARRAY[
        'orders:read', 'orders:write', 'payments:write', 'refunds:read', 'refunds:write', 'disputes:read',
        'disputes:write', 'products:read', 'products:write', 'reports:read', 'breaks:read', 'breaks:write',
        'reconciliation:read', 'reconciliation:write', 'inbox:read', 'inbox:write', 'inbox:bodies', '*']);
