-- Breaks about any object, also one that belongs to no order; how much is at risk; how they ended.

ALTER TABLE breaks
    ALTER COLUMN order_id DROP NOT NULL,
    ALTER COLUMN payment_id DROP NOT NULL,
    ADD COLUMN key text,
    ADD COLUMN object text,
    ADD COLUMN at_risk bigint CONSTRAINT breaks_at_risk CHECK (at_risk >= 0),
    ADD COLUMN at_risk_currency text CONSTRAINT breaks_at_risk_currency CHECK (at_risk_currency ~ '^[a-z]{3}$'),
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolved_by text,
    ADD COLUMN resolution text,
    DROP CONSTRAINT breaks_kind,
    ADD CONSTRAINT breaks_kind CHECK (kind IN (
        'late_money', 'surplus_payment', 'amount_mismatch', 'mode_mismatch', 'identity_mismatch', 'foreign_object',
        'refund_failed')),
    ADD CONSTRAINT breaks_at_risk_whole CHECK ((at_risk IS NULL) = (at_risk_currency IS NULL)),
    ADD CONSTRAINT breaks_resolved_whole CHECK (
        (resolved_at IS NULL) = (resolved_by IS NULL) AND (resolved_at IS NULL) = (resolution IS NULL)),
    DROP CONSTRAINT breaks_one_per_kind;
-- The key as Break::key() writes it: kind, payment, object; the payment as its text, 130 bits of which the first two
-- are zero, five to a letter.
UPDATE breaks SET key = kind || ':pay_' || (
    SELECT string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + substring(bits FROM 5 * letter + 1 FOR 5)::bit(5)::int, 1), ''
        ORDER BY letter)
    FROM generate_series(0, 25) AS letter,
         (SELECT B'00' || ('x' || replace(payment_id::text, '-', ''))::bit(128) AS bits) AS payment
) || ':';
ALTER TABLE breaks
    ALTER COLUMN key SET NOT NULL,
    -- Promise: a difference is open once, whoever finds it; found again after its end, it is opened again.
    ADD CONSTRAINT breaks_one_per_key UNIQUE (key);
-- Serve: the list of a mode's breaks, newest first; of those that are open; the breaks that a rule explains.
CREATE INDEX breaks_by_mode ON breaks (mode, id);
CREATE INDEX breaks_open ON breaks (mode, id) WHERE resolved_at IS NULL;
CREATE INDEX breaks_open_by_payment ON breaks (payment_id, kind) WHERE resolved_at IS NULL;
