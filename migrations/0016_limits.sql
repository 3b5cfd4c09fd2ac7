-- How often somebody may try to pay, counted for all processes together.

-- How much of a quota is used, by whom. Unlogged: nothing here is worth a flush, and after a crash of the database
-- everybody begins anew. A row whose moment is past says nothing and is deleted.
CREATE UNLOGGED TABLE limit_meters (
    -- Rule, mode and who: an address, a customer, an API key.
    subject text CONSTRAINT limit_meters_pkey PRIMARY KEY,
    -- When all of the quota is free again.
    free_at timestamptz NOT NULL,
    -- What the newest request took of it, and how many there are; in microseconds, how long until one is free again.
    taken bigint NOT NULL,
    quota bigint NOT NULL,
    pace bigint NOT NULL
);
-- Serves: forgetting those that say nothing any more.
CREATE INDEX limit_meters_by_time ON limit_meters (free_at);

-- From where an order was tried to be paid, for a day: declines count there too. It is personal, so it is kept nowhere else.
CREATE UNLOGGED TABLE payment_origins (
    order_id uuid NOT NULL,
    network text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_origins_pkey PRIMARY KEY (network, order_id)
);
-- Serves: forgetting those that are older than any quota.
CREATE INDEX payment_origins_by_time ON payment_origins (at);

-- The customer whose attempt was declined. Rows from before do not say; they were declined too long ago to count.
ALTER TABLE payment_declines ADD COLUMN customer_id uuid;
-- Serve: the newest declines of an order, of a customer, of all.
CREATE INDEX payment_declines_by_order ON payment_declines (order_id, at);
CREATE INDEX payment_declines_by_customer ON payment_declines (customer_id, at) WHERE customer_id IS NOT NULL;
CREATE INDEX payment_declines_by_time ON payment_declines (at);
