//! What is in the database before a measurement: orders whose payments are about to succeed, and a past.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use paywright_domain::kind;
use paywright_stripe::API_VERSION;
use sqlx::PgPool;

use super::events::{self, KIND, Template};

const ORDERS_AT_ONCE: usize = 5_000;
const PAST_AT_ONCE: usize = 20_000;

/// An order of one line each, its timer, and its payment, which the gateway knows.
const ORDERS: &str = "
    WITH seed AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::uuid[], $7::bigint[])
               AS seed (order_id, order_name, payment_id, intent, amount, timer, number)
    ), placed AS (
        INSERT INTO orders (id, mode, version, state, total, currency, metadata, token, capture, fulfillment_requested,
                            created_at, expires_at)
        SELECT order_id, 'test', 1, 'pending', amount, 'usd', '{}', 'bench-' || number, 'automatic', false, now(),
               now() + interval '1 day'
        FROM seed
    ), lines AS (
        INSERT INTO order_items (order_id, position, product_id, name, unit_amount, currency, quantity)
        SELECT order_id, 1, gen_random_uuid(), 'Hat', amount, 'usd', 1 FROM seed
    ), timers AS (
        INSERT INTO jobs (id, queue, kind, payload, unique_key, due_at)
        SELECT timer, 'effects', 'watch_order', order_name, 'watch:' || order_name, now() + interval '1 day' FROM seed
    )
    INSERT INTO payments (id, order_id, mode, version, channel, capture, amount, currency, state, seen_at, intent,
                          capturable, captured, capture_requested, capture_generation, hold_told, refunded, returned,
                          disputed, disputes_blocking, unwanted, end_requested, end_generation, created_at)
    SELECT payment_id, order_id, 'test', 2, 'payment_intent', 'automatic', amount, 'usd', 'pending',
           now() - interval '1 minute', intent, 0, 0, false, 0, false, 0, 0, 0, 0, false, false, 0,
           now() - interval '1 minute'
    FROM seed";

/// Events that were processed yesterday, with their jobs and causes.
const PAST: &str = "
    WITH old AS (
        SELECT n, event, intent, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS job,
               now() - interval '1 day' AS at
        FROM unnest($1::bigint[], $2::text[], $6::text[]) AS past (n, event, intent)
    ), events AS (
        INSERT INTO inbox_events (id, kind, mode, api_version, object, about, created_at, body, received_at, outcome,
                                  processed_at)
        SELECT event, $3, 'test', $4, intent, intent, at, $5, at, '2 steps', at FROM old
    ), jobs AS (
        INSERT INTO jobs (id, queue, kind, payload, about, due_at, attempts, lease_token, state, conclusion,
                          created_at, finished_at)
        SELECT job, 'webhooks', 'read_event', event, intent, at, 1, 1, 'done', '2 steps', at, at FROM old
    )
    INSERT INTO commits (cause, at) SELECT 'job_01h455vb4p' || lpad(to_hex(n), 16, '0'), at FROM old";

/// Orders that wait for their money, each with the payment that the event of its number is about.
pub(super) async fn orders(pool: &PgPool, numbers: Range<u32>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let all: Vec<_> = numbers.collect();
    for some in all.chunks(ORDERS_AT_ONCE) {
        let ids: Vec<_> = some.iter().map(|n| events::order(*n).uuid()).collect();
        let names: Vec<_> = some.iter().map(|n| events::order(*n).to_string()).collect();
        let payments: Vec<_> = some.iter().map(|n| events::payment(*n).uuid()).collect();
        let intents: Vec<_> = some.iter().map(|n| events::intent(*n)).collect();
        let amounts: Vec<_> = some.iter().map(|n| events::amount(*n)).collect();
        let timers: Vec<_> = some.iter().map(|n| events::id::<kind::Job>(*n).uuid()).collect();
        let numbers: Vec<_> = some.iter().map(|n| i64::from(*n)).collect();
        let insert = sqlx::query(ORDERS).bind(ids).bind(names).bind(payments).bind(intents);
        insert.bind(amounts).bind(timers).bind(numbers).execute(pool).await.context("orders")?;
    }
    eprintln!("{} orders that wait for their money, in {:.1?}", all.len(), begun.elapsed());
    Ok(())
}

/// So many finished events.
pub(super) async fn past(pool: &PgPool, count: u32) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut body = Vec::new();
    Template::new().body(0, events::now().unix_timestamp(), &mut body);
    let numbers: Vec<_> = (1..=count).collect();
    for some in numbers.chunks(PAST_AT_ONCE) {
        let (names, intents): (Vec<_>, Vec<_>) = some.iter().map(|n| events::past(*n)).unzip();
        let some: Vec<_> = some.iter().map(|n| i64::from(*n)).collect();
        let insert = sqlx::query(PAST).bind(&some).bind(names).bind(KIND).bind(API_VERSION).bind(&body);
        let written = insert.bind(intents).execute(pool).await.context("finished events")?.rows_affected();
        ensure!(written == some.len() as u64, "{written} commits were written");
        eprint!("\r{} of {count} finished events, {:.0?} ", some.last().unwrap_or(&0), begun.elapsed());
    }
    eprintln!();
    settle(pool).await
}

/// As after a while without work: statistics are fresh, dead rows are gone, and all is on the disk.
pub(super) async fn settle(pool: &PgPool) -> anyhow::Result<()> {
    // Neither runs within a transaction, which is what several statements at once are.
    for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
        sqlx::query(statement).execute(pool).await.context(statement)?;
    }
    Ok(())
}

/// Takes away the events that nobody has processed, with their jobs.
pub(super) async fn forget_waiting(pool: &PgPool) -> anyhow::Result<()> {
    let delete = "WITH gone AS (
                      DELETE FROM jobs WHERE queue = 'webhooks' AND state = 'ready' RETURNING payload
                  )
                  DELETE FROM inbox_events USING gone WHERE inbox_events.id = gone.payload";
    sqlx::query(delete).execute(pool).await?;
    settle(pool).await
}
