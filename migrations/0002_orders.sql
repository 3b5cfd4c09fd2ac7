-- Orders and their lines. Prices are frozen here when the order is placed.

CREATE TABLE orders (
    id uuid CONSTRAINT orders_pkey PRIMARY KEY,
    mode text NOT NULL CONSTRAINT orders_mode CHECK (mode IN ('test', 'live')),
    -- Promise (I16): a stale write changes nothing; every update says `WHERE version = <the one decided on>`.
    version bigint NOT NULL CONSTRAINT orders_version CHECK (version BETWEEN 1 AND 4294967295),
    state text NOT NULL CONSTRAINT orders_state CHECK (state IN (
        'pending', 'payment_processing', 'authorized', 'paid', 'fulfillment_started', 'shipped', 'completed',
        'cancelled', 'refunded')),
    customer_id uuid CONSTRAINT orders_customer REFERENCES customers (id),
    customer_email text,
    total bigint NOT NULL CONSTRAINT orders_total CHECK (total >= 0),
    currency text NOT NULL CONSTRAINT orders_currency CHECK (currency ~ '^[a-z]{3}$'),
    metadata jsonb NOT NULL CONSTRAINT orders_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    token text NOT NULL,
    cancellation text CONSTRAINT orders_cancellation CHECK (cancellation IN (
        'requested_by_customer', 'duplicate', 'fraudulent', 'expired')),
    -- No reference: within one commit orders are written before payments (the order of locks), and only a deferred
    -- constraint would wait, which not every relative of PostgreSQL has.
    paid_by uuid,
    carrier text,
    tracking text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,

    -- Promise (I6): no order is authorized or paid without the payment that did it.
    CONSTRAINT orders_paid_by_someone CHECK (
        paid_by IS NOT NULL OR state IN ('pending', 'payment_processing', 'cancelled', 'refunded')),
    CONSTRAINT orders_cancelled_for_a_reason CHECK (state <> 'cancelled' OR cancellation IS NOT NULL),
    CONSTRAINT orders_tracked_by_a_carrier CHECK (tracking IS NULL OR carrier IS NOT NULL),
    -- Promise: an order page's address leads to one order. Serves: order by token.
    CONSTRAINT orders_token UNIQUE (token),
    -- What payments point at, so that mode and currency can never be mixed between an order and its payments.
    CONSTRAINT orders_identity UNIQUE (id, mode, currency)
);
-- Serve: lists by state, customer, time; newest first. The unfiltered list runs backwards over orders_pkey.
CREATE INDEX orders_by_state ON orders (mode, state, id);
CREATE INDEX orders_by_customer ON orders (customer_id, id) WHERE customer_id IS NOT NULL;
CREATE INDEX orders_by_created ON orders (mode, created_at);

CREATE TABLE order_items (
    order_id uuid NOT NULL CONSTRAINT order_items_order REFERENCES orders (id),
    position bigint NOT NULL CONSTRAINT order_items_position CHECK (position >= 1),
    -- No reference: the line keeps what it needs of its product, which may go away.
    product_id uuid NOT NULL,
    name text NOT NULL,
    unit_amount bigint NOT NULL CONSTRAINT order_items_unit_amount CHECK (unit_amount >= 0),
    currency text NOT NULL CONSTRAINT order_items_currency CHECK (currency ~ '^[a-z]{3}$'),
    quantity bigint NOT NULL CONSTRAINT order_items_quantity CHECK (quantity BETWEEN 1 AND 4294967295),
    -- Serves: an order's lines, in their order.
    CONSTRAINT order_items_pkey PRIMARY KEY (order_id, position),
    -- Promise (I8): a line's total fits where money fits.
    CONSTRAINT order_items_total CHECK (unit_amount <= 9223372036854775807 / quantity)
);
