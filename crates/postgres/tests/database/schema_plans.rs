//! Hot queries run on the index that was made for them. The queries come from the committed cache, so that the
//! plans read here are those of the statements that run.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::stage::Stage;

/// Many orders with their payments, and many jobs, most of them done: the usual sight.
pub(crate) const ROWS: &str = "INSERT INTO jobs (id, queue, kind, payload, due_at, state, finished_at)
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
    FROM payments";

/// The statement in the cache that ends with `part`, or else the one that holds it.
pub(crate) fn statement(part: &str) -> String {
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

pub(crate) async fn plan(connection: &mut PgConnection, part: &str, arguments: &str) -> String {
    let sql = format!("PREPARE hot AS {}", statement(part));
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE hot ({arguments})"));
    let lines = sqlx::query_scalar::<_, String>(explain).fetch_all(&mut *connection).await;
    let lines = lines.unwrap_or_else(|error| panic!("{part:?}: {error}"));
    connection.execute("DEALLOCATE hot").await.unwrap();
    lines.join("\n")
}

/// Covers: fault 96.
#[tokio::test]
async fn hot_queries_use_the_index_made_for_them() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    connection.execute(ROWS).await.unwrap();
    connection.execute("ANALYZE jobs, orders, payments, refunds, disputes").await.unwrap();
    // The other tables are empty; what counts is that the index can serve the statement at all, in its order.
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";
    connection.execute(settings).await.unwrap();
    let id = "'00000000-0000-7000-8000-000000000000'";
    for (part, arguments, index) in [
        ("picked AS MATERIALIZED", "'webhooks', 10, 1, 8", "jobs_due_by_priority"),
        ("picked AS MATERIALIZED", "'webhooks', 10, 1, 8", "jobs_one_leased_per_about"),
        ("state = 'done' AND finished_at", "1, 10", "jobs_done"),
        ("(processed_at IS NOT NULL OR ignored IS NOT NULL)", "1, 10", "inbox_events_by_receipt"),
        ("ORDER BY at LIMIT $2", "1, 10", "commits_by_age"),
        ("DELETE FROM commits", "'{a}', '{}'", "jobs_pkey"),
        ("SET lease_token = known.lease_token + 1, leased_until", "'sweep', 1", "schedules_pkey"),
        ("UPDATE jobs SET state = 'dead'", &format!("{id}, 1, ''"), "jobs_pkey"),
        ("WHERE o.token = $1", "'token'", "orders_token"),
        ("FROM payments WHERE session = $1", "'cs'", "payments_session"),
        ("FROM payments WHERE order_id = $1 ORDER BY", id, "payments_by_order"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "payments_by_order"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "refunds_by_payment"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "disputes_by_payment"),
        ("FROM refunds WHERE id", id, "refunds_pkey"),
        ("FROM refunds WHERE gateway = $1", "'re'", "refunds_gateway"),
        ("FROM refunds WHERE payment_id", id, "refunds_by_payment"),
        ("FROM refunds WHERE mode", "'test', NULL, NULL, 10", "refunds_by_mode"),
        ("FROM refunds WHERE mode", &format!("'test', {id}, NULL, 10"), "refunds_by_payment"),
        ("FROM disputes WHERE id", id, "disputes_pkey"),
        ("FROM disputes WHERE gateway = $1", "'du'", "disputes_gateway"),
        ("FROM disputes WHERE payment_id", id, "disputes_by_payment"),
        ("FROM disputes WHERE mode", "'test', NULL, NULL, 10", "disputes_by_mode"),
        ("FROM disputes WHERE mode", &format!("'test', {id}, NULL, 10"), "disputes_by_payment"),
        ("(resolved_at IS NULL) = $2", "'test', NULL, NULL, 10", "breaks_by_mode"),
        ("(resolved_at IS NULL) = $2", "'test', true, NULL, 10", "breaks_open "),
        ("FROM ledger_entries WHERE order_id", id, "ledger_entries_by_order"),
        ("FROM order_transitions WHERE order_id", id, "order_transitions_pkey"),
        ("ORDER BY id DESC LIMIT $7", "'test', NULL, NULL, NULL, NULL, NULL, 10", "orders_pkey"),
        ("ORDER BY id DESC LIMIT $7", "'test', 'paid', NULL, NULL, NULL, NULL, 10", "orders_by_state"),
        (
            "ORDER BY id DESC LIMIT $7",
            &format!("'test', NULL, {id}, NULL, NULL, NULL, 10"),
            "orders_by_customer",
        ),
        ("FROM products WHERE mode", "'test', NULL, 10", "products_pkey"),
        ("FROM customers WHERE mode", "'test', 'a@b'", "customers_one_per_email"),
    ] {
        let plan = plan(&mut connection, part, arguments).await;
        assert!(plan.contains(index), "{index} is not in the plan of {part:?}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{part:?}:\n{plan}");
    }
}

/// What a claim of 64 jobs reads, in pages, and how long it takes at its fastest; its plan.
async fn claim(connection: &mut PgConnection) -> (i64, f64, String) {
    let sql = format!("PREPARE claim AS {}", statement("picked AS MATERIALIZED"));
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    let (mut pages, mut fastest, mut text) = (0, f64::MAX, String::new());
    for _ in 0..8 {
        connection.execute("BEGIN").await.unwrap();
        let explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE claim ('webhooks', 64, 60000000, 8)";
        let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut *connection).await.unwrap();
        connection.execute("ROLLBACK").await.unwrap();
        let top = &plan[0]["Plan"];
        assert_eq!(top["Actual Rows"].as_f64(), Some(64.0), "{plan:#}");
        pages = top["Shared Hit Blocks"].as_i64().unwrap() + top["Shared Read Blocks"].as_i64().unwrap();
        fastest = fastest.min(plan[0]["Execution Time"].as_f64().unwrap());
        text = format!("{plan:#}");
    }
    connection.execute("DEALLOCATE claim").await.unwrap();
    (pages, fastest, text)
}

/// However much is done and however much waits, with good statistics, with those of an empty table, and with a plan for
/// any arguments: a claim reads about what it takes.
///
/// Covers: fault 96.
#[tokio::test]
async fn a_claim_reads_no_more_for_a_deep_queue() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off); ANALYZE jobs").await.unwrap();
    let rows = "INSERT INTO jobs (id, queue, kind, payload, about, priority, due_at, leased_until, state, finished_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, 'pi_' || n,
                       CASE WHEN n % 2 = 0 THEN 'fresh' ELSE 'backlog' END,
                       now() + n * interval '1 millisecond' - interval '2 hours', NULL,
                       CASE WHEN n % 4 > 1 THEN 'ready' ELSE 'done' END, CASE WHEN n % 4 <= 1 THEN now() END
                FROM generate_series(1, 40000) AS n;
                INSERT INTO jobs (id, queue, kind, payload, about, due_at, leased_until)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, 'pi_busy_' || n,
                       now() + interval '1 minute', now() + interval '1 minute'
                FROM generate_series(1, 200) AS n;
                INSERT INTO jobs (id, queue, kind, payload, about, due_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, 'pi_busy_' || n,
                       now() - interval '1 day'
                FROM generate_series(1, 200) AS n";
    connection.execute(rows).await.unwrap();
    for (statistics, settings) in [
        ("of an empty table", "SET plan_cache_mode = auto"),
        ("of an empty table, any arguments", "SET plan_cache_mode = force_generic_plan"),
        ("good", "ANALYZE jobs; SET plan_cache_mode = auto"),
        ("good, any arguments", "SET plan_cache_mode = force_generic_plan"),
    ] {
        connection.execute(settings).await.unwrap();
        let (pages, fastest, plan) = claim(&mut connection).await;
        println!("statistics {statistics}: {pages} pages, {fastest} ms");
        assert!(!plan.contains("Seq Scan"), "{statistics}:\n{plan}");
        // 264 rows are looked at and 64 written, each in a handful of pages.
        assert!(pages < 5_000, "{statistics}: {pages} pages:\n{plan}");
        assert!(fastest < 20.0, "{statistics}: {fastest} ms:\n{plan}");
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
