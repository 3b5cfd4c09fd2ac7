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
    // Many orders, and many jobs, most of them done: the usual sight.
    let rows = "INSERT INTO jobs (id, queue, kind, payload, due_at, state, finished_at)
                SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, now(),
                       CASE WHEN n % 10 = 0 THEN 'ready' ELSE 'done' END, CASE WHEN n % 10 > 0 THEN now() END
                FROM generate_series(1, 5000) AS n;
                INSERT INTO orders (id, mode, version, state, total, currency, metadata, token, created_at, expires_at)
                SELECT gen_random_uuid(), 'test', 1, 'pending', n, 'usd', '{}', n::text, now(), now()
                FROM generate_series(1, 5000) AS n;
                ANALYZE jobs, orders";
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
        ("FROM payments WHERE order_id", id, "payments_one_live_per_order"),
        ("o.id = $1 AND o.mode = $2", &format!("{id}, 'test'"), "payments_by_order"),
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
