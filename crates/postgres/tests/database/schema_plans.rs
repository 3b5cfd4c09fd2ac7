//! Hot queries run on the index that was made for them. The queries come from the committed cache, so that the
//! plans read here are those of the statements that run.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::stage::Stage;

/// The statement in the cache that ends with `part`, or else the one that holds it.
fn statement(part: &str) -> String {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut found = Vec::new();
    for file in fs::read_dir(cache).unwrap() {
        let entry: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        let sql = entry["query"].as_str().unwrap();
        if sql.contains(part) {
            found.push(sql.to_owned());
        }
    }
    if found.len() > 1 {
        found.retain(|sql| sql.ends_with(part));
    }
    assert_eq!(found.len(), 1, "one statement with {part:?}: {found:#?}");
    found.remove(0)
}

async fn plan(connection: &mut PgConnection, part: &str, arguments: &str) -> String {
    let sql = format!("PREPARE hot AS {}", statement(part));
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE hot ({arguments})"));
    let lines: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut *connection).await.unwrap();
    connection.execute("DEALLOCATE hot").await.unwrap();
    lines.join("\n")
}

/// Covers: fault 96.
#[tokio::test]
async fn hot_queries_use_the_index_made_for_them() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    // Many orders with their payments, and many jobs, most of them done: the usual sight.
    let rows = "INSERT INTO jobs (id, queue, kind, payload, due_at, state, finished_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, now(),
                       CASE WHEN n % 10 = 0 THEN 'ready' ELSE 'done' END, CASE WHEN n % 10 > 0 THEN now() END
                FROM generate_series(1, 5000) AS n;
                INSERT INTO orders (id, mode, version, state, total, currency, metadata, token, capture,
                                    fulfillment_requested, created_at, expires_at)
                SELECT gen_random_uuid(), 'test', 1, 'pending', n, 'usd', '{}', n::text, 'automatic', false, now(), now()
                FROM generate_series(1, 5000) AS n;
                INSERT INTO payments (id, order_id, mode, version, channel, capture, amount, currency, state, capturable,
                                      captured, capture_requested, capture_generation, hold_told, refunded, returned,
                                      disputed, disputes_blocking, unwanted, end_requested, end_generation, created_at)
                SELECT gen_random_uuid(), id, mode, 1, 'payment_intent', capture, total, currency, 'captured', 0, total,
                       false, 0, false, 0, 0, 0, 0, false, false, 0, now()
                FROM orders;
                INSERT INTO refunds (id, order_id, payment_id, mode, version, amount, currency, reason, state, created_at)
                SELECT gen_random_uuid(), order_id, id, mode, 1, 1, currency, 'goodwill', 'requested', now()
                FROM payments;
                INSERT INTO disputes (id, order_id, payment_id, mode, version, gateway, status, amount, currency, reason,
                                      refundable, submitted, seen_at, evidence, generation, deadline_told, created_at)
                SELECT gen_random_uuid(), order_id, id, mode, 1, id, 'won', 1, currency, 'fraudulent', false, true, now(),
                       '{}', 0, false, now()
                FROM payments;
                ANALYZE jobs, orders, payments, refunds, disputes";
    connection.execute(rows).await.unwrap();
    // The other tables are empty; what counts is that the index can serve the statement at all, in its order.
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";
    connection.execute(settings).await.unwrap();
    let id = "'00000000-0000-7000-8000-000000000000'";
    for (part, arguments, index) in [
        ("FOR UPDATE SKIP LOCKED\n               ), claimed", "'webhooks', 10, 1", "jobs_due"),
        ("UPDATE jobs SET state = 'dead'", &format!("{id}, 1, ''"), "jobs_pkey"),
        ("FROM inbox_events WHERE id", "'evt'", "inbox_events_pkey"),
        ("WHERE o.id = $1", id, "Scan using orders_"),
        ("WHERE o.token = $1", "'token'", "orders_token"),
        ("FROM payments WHERE intent", "'pi'", "payments_intent"),
        ("FROM payments WHERE session", "'cs'", "payments_session"),
        ("order_id = $1 AND state IN", id, "payments_one_live_per_order"),
        ("FROM payments WHERE order_id = $1 ORDER BY", id, "payments_by_order"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "payments_by_order"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "refunds_by_payment"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "disputes_by_payment"),
        ("FROM refunds WHERE id", id, "refunds_pkey"),
        ("FROM refunds WHERE gateway", "'re'", "refunds_gateway"),
        ("FROM refunds WHERE payment_id", id, "refunds_by_payment"),
        ("FROM refunds WHERE mode", "'test', NULL, NULL, 10", "refunds_by_mode"),
        ("FROM refunds WHERE mode", &format!("'test', {id}, NULL, 10"), "refunds_by_payment"),
        ("FROM disputes WHERE id", id, "disputes_pkey"),
        ("FROM disputes WHERE gateway", "'du'", "disputes_gateway"),
        ("FROM disputes WHERE payment_id", id, "disputes_by_payment"),
        ("FROM disputes WHERE mode", "'test', NULL, NULL, 10", "disputes_by_mode"),
        ("FROM disputes WHERE mode", &format!("'test', {id}, NULL, 10"), "disputes_by_payment"),
        ("(resolved_at IS NULL) = $2", "'test', NULL, NULL, 10", "breaks_by_mode"),
        ("(resolved_at IS NULL) = $2", "'test', true, NULL, 10", "breaks_open "),
        (
            "WHERE payment_id = $1 AND kind = $2 AND resolved_at IS NULL",
            &format!("{id}, 'late_money', now(), '', ''"),
            "breaks_open_by_payment",
        ),
        ("FROM ledger_entries WHERE order_id", id, "ledger_entries_by_order"),
        ("FROM order_transitions WHERE order_id", id, "order_transitions_pkey"),
        ("ORDER BY id DESC LIMIT $7", "'test', NULL, NULL, NULL, NULL, NULL, 10", "orders_pkey"),
        ("ORDER BY id DESC LIMIT $7", "'test', 'paid', NULL, NULL, NULL, NULL, 10", "orders_by_state"),
        (
            "ORDER BY id DESC LIMIT $7",
            &format!("'test', NULL, {id}, NULL, NULL, NULL, 10"),
            "orders_by_customer",
        ),
        ("ORDER BY id DESC LIMIT $3", "'test', NULL, 10", "products_by_mode"),
        ("FROM customers WHERE mode", "'test', 'a@b'", "customers_one_per_email"),
        ("FROM api_keys WHERE hash = $1 AND", "''", "api_keys_hash"),
        ("FROM commits WHERE cause", "'op'", "commits_pkey"),
    ] {
        let plan = plan(&mut connection, part, arguments).await;
        assert!(plan.contains(index), "{index} is not in the plan of {part:?}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{part:?}:\n{plan}");
    }
}

/// A day of a long ledger is read without the rest of it, in the order of booking.
///
/// Covers: fault 96.
#[tokio::test]
async fn a_day_of_the_ledger_is_found_by_its_time() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    let rows = "INSERT INTO ledger_entries (key, line, movement, order_id, payment_id, mode, debit, credit, amount,
                                            currency, at)
                SELECT n::text, 1, 'capture', gen_random_uuid(), gen_random_uuid(), 'test', 'clearing', 'sales', n,
                       'usd', now() - n * interval '2 hours'
                FROM generate_series(1, 5000) AS n;
                ANALYZE ledger_entries";
    connection.execute(rows).await.unwrap();
    let day = "'test', now() - interval '1 day', now()";
    for (part, arguments) in [
        ("FROM ledger_entries WHERE mode", format!("{day}, NULL, 100")),
        ("FROM ledger_entries AS e", day.to_owned()),
    ] {
        let plan = plan(&mut connection, part, &arguments).await;
        assert!(plan.contains("ledger_entries_by_time"), "{part:?}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{part:?}:\n{plan}");
    }
}
