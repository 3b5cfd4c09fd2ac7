-- What was captured before there were refunds and a ledger. `refunded` was Stripe's own total then, without the refunds
-- behind it: it starts from nothing, and each captured payment's order gets a timer that rings at once. Whoever looks
-- finds the refunds, the fee and the disputes at Stripe, and books them.

-- An id as its text: 130 bits of which the first two are zero, five to a letter.
CREATE FUNCTION pg_temp.typeid(prefix text, id uuid) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT prefix || '_' || string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + substring(bits FROM 5 * letter + 1 FOR 5)::bit(5)::int, 1), ''
        ORDER BY letter)
    FROM generate_series(0, 25) AS letter,
         (SELECT B'00' || ('x' || replace(id::text, '-', ''))::bit(128) AS bits) AS padded
$$;

UPDATE payments SET refunded = 0 WHERE refunded > 0;

INSERT INTO ledger_entries (key, line, movement, order_id, payment_id, mode, debit, credit, amount, currency, at)
SELECT 'capture:' || pg_temp.typeid('pay', id) || ':' || captured, 1, 'capture', order_id, id, mode, 'clearing', 'sales',
       captured, currency, coalesce(seen_at, created_at)
FROM payments WHERE captured > 0;

-- The id of a timer only has to be its own: an order has one.
INSERT INTO jobs (id, queue, kind, payload, unique_key, due_at)
SELECT gen_random_uuid(), 'effects', 'watch_order', pg_temp.typeid('ord', order_id),
       'watch:' || pg_temp.typeid('ord', order_id), now()
FROM (SELECT DISTINCT order_id FROM payments WHERE captured > 0) AS paid
ON CONFLICT (unique_key) WHERE state = 'ready' AND unique_key IS NOT NULL
DO UPDATE SET due_at = least(jobs.due_at, excluded.due_at);
