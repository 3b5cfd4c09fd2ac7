-- Payments, the calls to the gateway, refused attempts, and differences that no rule explains.

CREATE TABLE payments (
    id uuid CONSTRAINT payments_pkey PRIMARY KEY,
    order_id uuid NOT NULL,
    mode text NOT NULL CONSTRAINT payments_mode CHECK (mode IN ('test', 'live')),
    -- Promise (I16): as in orders.
    version bigint NOT NULL CONSTRAINT payments_version CHECK (version BETWEEN 1 AND 4294967295),
    channel text NOT NULL CONSTRAINT payments_channel CHECK (channel IN ('payment_intent', 'checkout')),
    success_url text,
    cancel_url text,
    amount bigint NOT NULL CONSTRAINT payments_amount CHECK (amount >= 0),
    currency text NOT NULL CONSTRAINT payments_currency CHECK (currency ~ '^[a-z]{3}$'),
    state text NOT NULL CONSTRAINT payments_state CHECK (state IN (
        'created', 'failed', 'pending', 'requires_action', 'processing', 'authorized', 'cancelled', 'captured')),
    seen_at timestamptz,
    intent text,
    session text,
    capturable bigint NOT NULL,
    captured bigint NOT NULL,
    refunded bigint NOT NULL,
    end_requested boolean NOT NULL,
    end_generation bigint NOT NULL CONSTRAINT payments_end_generation CHECK (end_generation BETWEEN 0 AND 4294967295),
    created_at timestamptz NOT NULL,

    -- Promise (I4): a payment is in its order's mode and currency.
    CONSTRAINT payments_order FOREIGN KEY (order_id, mode, currency) REFERENCES orders (id, mode, currency),
    -- Promises (I3, I8): never more given back than taken, never more taken than asked, never less than nothing,
    -- whoever writes.
    CONSTRAINT payments_captured CHECK (captured BETWEEN 0 AND amount),
    CONSTRAINT payments_refunded CHECK (refunded BETWEEN 0 AND captured),
    CONSTRAINT payments_capturable CHECK (capturable BETWEEN 0 AND amount),
    CONSTRAINT payments_captured_state CHECK (captured = 0 OR state = 'captured'),
    CONSTRAINT payments_capturable_state CHECK (capturable = 0 OR state = 'authorized'),
    CONSTRAINT payments_end_requested CHECK (
        NOT end_requested OR state IN ('created', 'pending', 'requires_action', 'processing', 'authorized')),
    CONSTRAINT payments_return_urls CHECK (
        (channel = 'checkout') = (success_url IS NOT NULL) AND (channel = 'checkout') = (cancel_url IS NOT NULL))
);
-- Promise (I2, fault 101): an order has at most one payment from which money may still follow. The states are
-- those of PaymentState::is_live. Serves: the live payment of an order.
CREATE UNIQUE INDEX payments_one_live_per_order ON payments (order_id)
    WHERE state IN ('created', 'pending', 'requires_action', 'processing', 'authorized');
-- Promise: an object of the gateway is one payment here. Serve: payment by intent, payment by session.
CREATE UNIQUE INDEX payments_intent ON payments (intent) WHERE intent IS NOT NULL;
CREATE UNIQUE INDEX payments_session ON payments (session) WHERE session IS NOT NULL;
-- Serves: an order with all its parts.
CREATE INDEX payments_by_order ON payments (order_id, id);

CREATE TABLE payment_declines (
    payment_id uuid NOT NULL CONSTRAINT payment_declines_payment REFERENCES payments (id),
    key text NOT NULL,
    order_id uuid NOT NULL,
    mode text NOT NULL CONSTRAINT payment_declines_mode CHECK (mode IN ('test', 'live')),
    code text NOT NULL,
    decline_code text,
    message text NOT NULL,
    at timestamptz NOT NULL,
    -- Promise (I22): a refused attempt is one row, however often it is told. Serves: declines of a payment.
    CONSTRAINT payment_declines_pkey PRIMARY KEY (payment_id, key)
);

-- Every write to the gateway, written down before it is made. The id is that of the job which performs it.
CREATE TABLE gateway_calls (
    id uuid CONSTRAINT gateway_calls_pkey PRIMARY KEY,
    order_id uuid NOT NULL CONSTRAINT gateway_calls_order REFERENCES orders (id),
    payment_id uuid NOT NULL CONSTRAINT gateway_calls_payment REFERENCES payments (id),
    mode text NOT NULL CONSTRAINT gateway_calls_mode CHECK (mode IN ('test', 'live')),
    operation text NOT NULL CONSTRAINT gateway_calls_operation CHECK (operation IN (
        'create_intent', 'create_session', 'cancel_intent', 'expire_session')),
    generation bigint NOT NULL CONSTRAINT gateway_calls_generation CHECK (generation BETWEEN 0 AND 4294967295),
    parameters jsonb NOT NULL CONSTRAINT gateway_calls_parameters CHECK (jsonb_typeof(parameters) = 'object'),
    idempotency_key text NOT NULL,
    state text NOT NULL CONSTRAINT gateway_calls_state CHECK (state IN ('recorded', 'done', 'rejected')),
    recorded_at timestamptz NOT NULL,
    -- Promise (I18): two workers never both give birth to the next generation of a key.
    CONSTRAINT gateway_calls_one_per_generation UNIQUE (payment_id, operation, generation),
    -- Promise (I18): an idempotency key stands for one set of parameters.
    CONSTRAINT gateway_calls_idempotency_key UNIQUE (idempotency_key)
);

CREATE TABLE breaks (
    id uuid CONSTRAINT breaks_pkey PRIMARY KEY,
    kind text NOT NULL CONSTRAINT breaks_kind CHECK (kind IN (
        'late_money', 'surplus_payment', 'amount_mismatch', 'mode_mismatch', 'identity_mismatch')),
    order_id uuid NOT NULL CONSTRAINT breaks_order REFERENCES orders (id),
    payment_id uuid NOT NULL CONSTRAINT breaks_payment REFERENCES payments (id),
    mode text NOT NULL CONSTRAINT breaks_mode CHECK (mode IN ('test', 'live')),
    detail text NOT NULL,
    found_at timestamptz NOT NULL,
    -- Promise: a difference is raised once for each kind and payment.
    CONSTRAINT breaks_one_per_kind UNIQUE (payment_id, kind)
);
