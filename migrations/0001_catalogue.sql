-- What can be bought, and by whom.
--
-- House rules for every migration:
-- - PostgreSQL 14 to 18, and nothing on the hot path that its distributed relatives lack: text + CHECK instead of
--   enums, ids made by the caller (UUIDv7), no logic in triggers.
-- - Money is bigint minor units beside its currency. Counters are bigint and checked, so that they hold any u32.
-- - A mode ('test' or 'live') stands on every business row.
-- - Each constraint and index has a name, and a comment says which promise it keeps or which query it serves.
-- - Expand first, contract in a later release: old and new binaries run side by side.

CREATE TABLE products (
    id uuid CONSTRAINT products_pkey PRIMARY KEY,
    mode text NOT NULL CONSTRAINT products_mode CHECK (mode IN ('test', 'live')),
    version bigint NOT NULL CONSTRAINT products_version CHECK (version BETWEEN 1 AND 4294967295),
    name text NOT NULL,
    unit_amount bigint NOT NULL CONSTRAINT products_unit_amount CHECK (unit_amount >= 0),
    currency text NOT NULL CONSTRAINT products_currency CHECK (currency ~ '^[a-z]{3}$'),
    active boolean NOT NULL,
    metadata jsonb NOT NULL CONSTRAINT products_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL
);
-- Serves: the list of a mode's products, newest first (UUIDv7 sorts by time).
CREATE INDEX products_by_mode ON products (mode, id);

CREATE TABLE customers (
    id uuid CONSTRAINT customers_pkey PRIMARY KEY,
    mode text NOT NULL CONSTRAINT customers_mode CHECK (mode IN ('test', 'live')),
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    -- Promise: one customer an address and mode, also when two first orders race. Serves: customer by e-mail.
    CONSTRAINT customers_one_per_email UNIQUE (mode, email)
);
