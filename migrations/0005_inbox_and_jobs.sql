-- What was heard from the gateway, what waits to be done, and which causes were committed.

CREATE TABLE inbox_events (
    -- Promise (I20, fault 31): an event is stored once, however often it is delivered.
    id text CONSTRAINT inbox_events_pkey PRIMARY KEY,
    kind text NOT NULL,
    mode text NOT NULL CONSTRAINT inbox_events_mode CHECK (mode IN ('test', 'live')),
    account text,
    api_version text,
    object text,
    created_at timestamptz NOT NULL,
    -- Bytes, not jsonb: jsonb refuses \u0000 and forgets the order of keys (fault 48), and costs a third of intake.
    body bytea NOT NULL,
    ignored text,
    received_at timestamptz NOT NULL DEFAULT now(),
    outcome text,
    processed_at timestamptz
);

-- One table for received events, calls to the gateway and timers. Times are the database's own.
--
-- A claim moves `due_at` to the end of the lease, so that one index range holds exactly what may be claimed, and
-- held jobs are not stepped over again and again; `leased_until` only tells people that somebody works on it.
-- `lease_token` is the fence: it grows with every claim, and whoever completes a job must name the newest.
CREATE TABLE jobs (
    id uuid CONSTRAINT jobs_pkey PRIMARY KEY,
    queue text NOT NULL CONSTRAINT jobs_queue CHECK (queue IN ('webhooks', 'effects')),
    kind text NOT NULL CONSTRAINT jobs_kind CHECK (kind IN ('read_event', 'perform_call', 'expire_order')),
    -- The event's id, the order's id; null for a call, which shares its job's id.
    payload text,
    unique_key text,
    due_at timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0 CONSTRAINT jobs_attempts CHECK (attempts BETWEEN 0 AND 4294967295),
    lease_token bigint NOT NULL DEFAULT 0 CONSTRAINT jobs_lease_token CHECK (lease_token BETWEEN 0 AND 4294967295),
    leased_until timestamptz,
    state text NOT NULL DEFAULT 'ready' CONSTRAINT jobs_state CHECK (state IN ('ready', 'done', 'dead')),
    last_error text,
    conclusion text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT jobs_payload CHECK ((kind = 'perform_call') = (payload IS NULL)),
    CONSTRAINT jobs_lease CHECK (leased_until IS NULL OR (state = 'ready' AND leased_until = due_at)),
    CONSTRAINT jobs_finished CHECK ((state = 'ready') = (finished_at IS NULL))
);
-- Serves: claim, the oldest due first (fault 96). Holds only what is open, however much was done before.
CREATE INDEX jobs_due ON jobs (queue, due_at, id) WHERE state = 'ready';
-- Promise: an order has one pending timer.
CREATE UNIQUE INDEX jobs_one_ready_per_key ON jobs (unique_key) WHERE state = 'ready' AND unique_key IS NOT NULL;
-- Serves: dead letters.
CREATE INDEX jobs_dead ON jobs (queue, finished_at) WHERE state = 'dead';

-- Promise: a cause is committed once (I30). After a lost answer to COMMIT, this row tells how it ended (fault 67).
CREATE TABLE commits (
    cause text CONSTRAINT commits_pkey PRIMARY KEY,
    at timestamptz NOT NULL
);
