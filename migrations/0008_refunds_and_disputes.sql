-- Money on its way back, and money that issuers pull.

CREATE TABLE refunds (
    id uuid CONSTRAINT refunds_pkey PRIMARY KEY,
    order_id uuid NOT NULL,
    payment_id uuid NOT NULL,
    mode text NOT NULL CONSTRAINT refunds_mode CHECK (mode IN ('test', 'live')),
    -- Promise (I16): as in orders.
    version bigint NOT NULL CONSTRAINT refunds_version CHECK (version BETWEEN 1 AND 4294967295),
    -- Promise (I8): nobody gives back nothing, or less. That all together are no more than was taken, the payment's row
    -- holds: it is written with each of them.
    amount bigint NOT NULL CONSTRAINT refunds_amount CHECK (amount > 0),
    currency text NOT NULL CONSTRAINT refunds_currency CHECK (currency ~ '^[a-z]{3}$'),
    reason text NOT NULL CONSTRAINT refunds_reason CHECK (reason IN (
        'requested_by_customer', 'duplicate', 'fraudulent', 'out_of_stock', 'fulfillment_failed', 'late_payment',
        'surplus_payment', 'goodwill', 'dispute_prevention', 'other')),
    note text,
    state text NOT NULL CONSTRAINT refunds_state CHECK (state IN (
        'requested', 'pending', 'succeeded', 'cancelled', 'failed')),
    gateway text,
    failure text,
    settlement text,
    reversal text,
    created_at timestamptz NOT NULL,

    -- Promise (I4): a refund is in its payment's order, mode and currency.
    CONSTRAINT refunds_payment FOREIGN KEY (payment_id, order_id, mode, currency)
        REFERENCES payments (id, order_id, mode, currency),
    -- Promise: nothing counts as accepted that has no name at the gateway.
    CONSTRAINT refunds_accepted CHECK (gateway IS NOT NULL OR state IN ('requested', 'failed'))
);
-- Promise: a refund of the gateway is one refund here. Serves: refund by the gateway's name.
CREATE UNIQUE INDEX refunds_gateway ON refunds (gateway) WHERE gateway IS NOT NULL;
-- Serve: the refunds of a payment; the list of a mode's refunds, newest first.
CREATE INDEX refunds_by_payment ON refunds (payment_id, id);
CREATE INDEX refunds_by_mode ON refunds (mode, id);

CREATE TABLE disputes (
    id uuid CONSTRAINT disputes_pkey PRIMARY KEY,
    order_id uuid NOT NULL,
    payment_id uuid NOT NULL,
    mode text NOT NULL CONSTRAINT disputes_mode CHECK (mode IN ('test', 'live')),
    -- Promise (I16): as in orders.
    version bigint NOT NULL CONSTRAINT disputes_version CHECK (version BETWEEN 1 AND 4294967295),
    gateway text NOT NULL,
    -- The newest that the gateway said. Its list of statuses is open, so that a new one is no error.
    status text NOT NULL,
    amount bigint NOT NULL CONSTRAINT disputes_amount CHECK (amount >= 0),
    currency text NOT NULL CONSTRAINT disputes_currency CHECK (currency ~ '^[a-z]{3}$'),
    reason text NOT NULL,
    due_by timestamptz,
    refundable boolean NOT NULL,
    submitted boolean NOT NULL,
    seen_at timestamptz NOT NULL,
    -- What we have to say, to the letter: jsonb refuses \u0000.
    evidence json NOT NULL CONSTRAINT disputes_evidence CHECK (json_typeof(evidence) = 'object'),
    answering text CONSTRAINT disputes_answering CHECK (answering IN ('stage', 'submit', 'accept')),
    generation bigint NOT NULL CONSTRAINT disputes_generation CHECK (generation BETWEEN 0 AND 4294967295),
    deadline_told boolean NOT NULL,
    created_at timestamptz NOT NULL,

    -- Promise (I4): a dispute is in its payment's order, mode and currency.
    CONSTRAINT disputes_payment FOREIGN KEY (payment_id, order_id, mode, currency)
        REFERENCES payments (id, order_id, mode, currency),
    CONSTRAINT disputes_answered CHECK (answering IS NULL OR generation > 0),
    -- Promise: a dispute of the gateway is one dispute here. Serves: dispute by the gateway's name.
    CONSTRAINT disputes_gateway UNIQUE (gateway)
);
-- Serve: the disputes about a payment; the list of a mode's disputes, newest first.
CREATE INDEX disputes_by_payment ON disputes (payment_id, id);
CREATE INDEX disputes_by_mode ON disputes (mode, id);

ALTER TABLE order_transitions
    DROP CONSTRAINT order_transitions_subject,
    ADD CONSTRAINT order_transitions_subject CHECK (subject IN (
        'order', 'payment', 'refund', 'dispute', 'call', 'decline', 'break')),
    DROP CONSTRAINT order_transitions_step,
    ADD CONSTRAINT order_transitions_step CHECK (
        (subject IN ('order', 'payment', 'refund', 'dispute')) = (to_state IS NOT NULL));
