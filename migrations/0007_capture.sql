-- Money that is reserved first and taken later, and what a payment knows of its refunds and disputes.
--
-- Not side by side with older binaries, against the rule of the first migration: timers change their name, and rows
-- get columns that only newer binaries fill. Stop them, migrate, start the new ones. Every row is rewritten in one go,
-- which at this age of the product takes a moment.

ALTER TABLE orders
    ADD COLUMN capture text NOT NULL DEFAULT 'automatic'
        CONSTRAINT orders_capture CHECK (capture IN ('automatic', 'manual')),
    ADD COLUMN fulfillment_requested boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT orders_cancellation,
    ADD CONSTRAINT orders_cancellation CHECK (cancellation IN (
        'requested_by_customer', 'duplicate', 'fraudulent', 'expired', 'fulfillment_failed'));
-- The defaults said what the rows of before mean; whoever writes a new one says so.
ALTER TABLE orders ALTER COLUMN capture DROP DEFAULT, ALTER COLUMN fulfillment_requested DROP DEFAULT;

ALTER TABLE payments
    ADD COLUMN capture text NOT NULL DEFAULT 'automatic'
        CONSTRAINT payments_capture CHECK (capture IN ('automatic', 'manual')),
    ADD COLUMN capture_asked bigint,
    ADD COLUMN capture_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN capture_generation bigint NOT NULL DEFAULT 0
        CONSTRAINT payments_capture_generation CHECK (capture_generation BETWEEN 0 AND 4294967295),
    ADD COLUMN capture_before timestamptz,
    ADD COLUMN hold_told boolean NOT NULL DEFAULT false,
    ADD COLUMN returned bigint NOT NULL DEFAULT 0,
    ADD COLUMN disputed bigint NOT NULL DEFAULT 0,
    ADD COLUMN disputes_blocking bigint NOT NULL DEFAULT 0
        CONSTRAINT payments_disputes_blocking CHECK (disputes_blocking BETWEEN 0 AND 4294967295),
    ADD COLUMN unwanted boolean NOT NULL DEFAULT false,
    ADD COLUMN fee_transaction text,
    ADD COLUMN fee bigint CONSTRAINT payments_fee CHECK (fee >= 0),
    -- The gateway balance's, which need not be the payment's.
    ADD COLUMN fee_currency text CONSTRAINT payments_fee_currency CHECK (fee_currency ~ '^[a-z]{3}$'),

    -- Promise (I3): nobody asks to take nothing, or more than was asked of the customer; and only of what is reserved.
    ADD CONSTRAINT payments_capture_asked CHECK (capture_asked BETWEEN 1 AND amount),
    ADD CONSTRAINT payments_capture_requested CHECK (
        NOT capture_requested OR (state = 'authorized' AND capture_asked IS NOT NULL)),
    -- Promise (I3): `refunded` is the reservation: what refunds hold that are requested, under way or sent, held below
    -- `captured` by payments_refunded. What was sent is a part of it.
    ADD CONSTRAINT payments_returned CHECK (returned BETWEEN 0 AND refunded),
    -- May be more than was captured: an issuer pulls what it likes.
    ADD CONSTRAINT payments_disputed CHECK (disputed >= 0),
    ADD CONSTRAINT payments_unwanted CHECK (NOT unwanted OR state = 'captured'),
    ADD CONSTRAINT payments_fee_whole CHECK (
        (fee IS NULL) = (fee_transaction IS NULL) AND (fee IS NULL) = (fee_currency IS NULL)
        AND (fee IS NULL OR state = 'captured')),
    -- Also what was given up as never created, once it comes to light.
    DROP CONSTRAINT payments_end_requested,
    ADD CONSTRAINT payments_end_requested CHECK (
        NOT end_requested
        OR state IN ('created', 'pending', 'requires_action', 'processing', 'authorized', 'failed')),
    -- What refunds and disputes point at, so that order, mode and currency can never differ from the payment's.
    ADD CONSTRAINT payments_identity UNIQUE (id, order_id, mode, currency);
ALTER TABLE payments
    ALTER COLUMN capture DROP DEFAULT,
    ALTER COLUMN capture_requested DROP DEFAULT,
    ALTER COLUMN capture_generation DROP DEFAULT,
    ALTER COLUMN hold_told DROP DEFAULT,
    ALTER COLUMN returned DROP DEFAULT,
    ALTER COLUMN disputed DROP DEFAULT,
    ALTER COLUMN disputes_blocking DROP DEFAULT,
    ALTER COLUMN unwanted DROP DEFAULT;

ALTER TABLE payment_declines ADD COLUMN advice text;

-- Until now every call was about its payment, whose id stands in the middle of the key.
ALTER TABLE gateway_calls ADD COLUMN subject text;
UPDATE gateway_calls SET subject = split_part(idempotency_key, ':', 2);
ALTER TABLE gateway_calls
    ALTER COLUMN subject SET NOT NULL,
    -- To be repeated to the letter: jsonb refuses \u0000, which merchants' texts may hold.
    DROP CONSTRAINT gateway_calls_parameters,
    ALTER COLUMN parameters TYPE json USING parameters::json,
    ADD CONSTRAINT gateway_calls_parameters CHECK (json_typeof(parameters) = 'object'),
    ADD CONSTRAINT gateway_calls_subject CHECK (subject ~ '^(pay|ref|dis)_[0-9a-z]{26}$'),
    DROP CONSTRAINT gateway_calls_operation,
    ADD CONSTRAINT gateway_calls_operation CHECK (operation IN (
        'create_intent', 'create_session', 'cancel_intent', 'expire_session', 'capture', 'create_refund',
        'stage_evidence', 'submit_evidence', 'close_dispute')),
    DROP CONSTRAINT gateway_calls_state,
    ADD CONSTRAINT gateway_calls_state CHECK (state IN ('recorded', 'done', 'rejected', 'absent')),
    DROP CONSTRAINT gateway_calls_one_per_generation,
    -- Promise (I18): two workers never both give birth to the next generation of a key. Each refund of a payment counts
    -- its own.
    ADD CONSTRAINT gateway_calls_one_per_generation UNIQUE (subject, operation, generation);

-- The timer looks after more than expiry now. Finished rows are renamed too, so that a kind always reads the same.
ALTER TABLE jobs DROP CONSTRAINT jobs_kind;
UPDATE jobs SET kind = 'watch_order', unique_key = 'watch:' || substr(unique_key, length('expire:') + 1)
WHERE kind = 'expire_order';
ALTER TABLE jobs ADD CONSTRAINT jobs_kind CHECK (kind IN ('read_event', 'perform_call', 'watch_order'));

ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_scopes,
    ADD CONSTRAINT api_keys_scopes CHECK (scopes <@ ARRAY[
        'orders:read', 'orders:write', 'payments:write', 'refunds:read', 'refunds:write', 'disputes:read',
        'disputes:write', 'products:read', 'products:write', 'reports:read', 'breaks:read', 'breaks:write', '*']);
