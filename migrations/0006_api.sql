-- Who may call the API, and what was answered to them.

CREATE TABLE api_keys (
    id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
    mode text NOT NULL CONSTRAINT api_keys_mode CHECK (mode IN ('test', 'live')),
    name text NOT NULL,
    -- SHA-256 of a secret of 256 random bits: nothing to guess, so no salt and no slow hash.
    -- Promise: a secret belongs to one key. Serves: key by secret.
    hash bytea NOT NULL CONSTRAINT api_keys_hash_length CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL CONSTRAINT api_keys_scopes CHECK (scopes <@ ARRAY[
        'orders:read', 'orders:write', 'products:read', 'products:write', '*']),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_hash UNIQUE (hash)
);

-- Requests by the key that the client gave them. An answer is kept as bytes, to be repeated to the letter.
CREATE TABLE idempotency_keys (
    -- Whose key: an API key's id, for example.
    scope text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL CONSTRAINT idempotency_keys_fingerprint CHECK (octet_length(fingerprint) = 32),
    -- The same for every run of the request, so that its commits are taken once (fault 107).
    operation uuid NOT NULL,
    -- Until when a run holds it; null when nobody does.
    locked_until timestamptz,
    status bigint CONSTRAINT idempotency_keys_status CHECK (status BETWEEN 100 AND 599),
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Promise (I17, fault 100): of parallel requests with one key, one runs. Serves: begin, finish, abandon.
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key),
    CONSTRAINT idempotency_keys_answer CHECK (
        (status IS NULL) = (body IS NULL) AND (status IS NULL) = (headers IS NULL)
        AND (status IS NULL OR locked_until IS NULL))
);
-- Serves: prune.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
