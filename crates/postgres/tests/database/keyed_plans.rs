//! The hot path's plans, under the settings of its connections. They are made once, for any values, and perhaps while the
//! tables are empty: they must go by keys then too, since nobody makes them again as the tables grow.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    schema_plans::{ROWS, statement},
    stage::Stage,
};

/// As in `pool.rs`.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// What is not among the usual rows: jobs that somebody holds, as many as are open, and what they are about.
const MORE_ROWS: &str = "INSERT INTO jobs (id, queue, kind, payload, about, due_at, leased_until)
    SELECT gen_random_uuid(), 'webhooks', 'read_event', n::text, 'pi_' || n, now(), now()
    FROM generate_series(1, 5000) AS n;
    INSERT INTO inbox_events (id, kind, mode, about, created_at, body)
    SELECT 'evt_' || n, 'payment_intent.succeeded', 'test', 'pi_' || n, now(), ''
    FROM generate_series(1, 5000) AS n;
    INSERT INTO commits (cause, at) SELECT 'op_' || n, now() FROM generate_series(1, 5000) AS n;
    INSERT INTO products (id, mode, version, name, unit_amount, currency, active, metadata, created_at)
    SELECT gen_random_uuid(), 'test', 1, 'A fine hat', 1999, 'usd', true, '{}', now()
    FROM generate_series(1, 5000) AS n;
    INSERT INTO breaks (id, key, kind, mode, order_id, payment_id, object, detail, found_at)
    SELECT gen_random_uuid(), id::text, 'late_money', mode, order_id, id, 'pi_' || id, '', now()
    FROM payments";

/// Indexes that begin with the identity: one as good as the other.
const ORDER: &[&str] = &["orders_pkey", "orders_identity"];
const PAYMENT: &[&str] = &["payments_pkey", "payments_identity"];

/// Statements, each with the indexes by one of which it must find its rows.
const KEYED: &[(&str, &[&str])] = &[
    ("WHERE o.id = ANY($1)", ORDER),
    ("WHERE o.id = ANY($1)", &["order_items_pkey"]),
    ("FROM payments WHERE id = ANY($1)", PAYMENT),
    ("FROM payments WHERE intent = ANY($1)", &["payments_intent"]),
    ("order_id = ANY($1)", &["payments_one_live_per_order"]),
    ("FROM products WHERE id = ANY($1)", &["products_pkey"]),
    ("body, ignored\n         FROM inbox_events WHERE id = ANY($1)", &["inbox_events_pkey"]),
    ("hash = ANY($1)", &["api_keys_hash"]),
    ("FROM commits WHERE cause = ANY($1)", &["commits_pkey"]),
    ("WITH done AS (", &["jobs_pkey"]),
    ("WITH done AS (", &["inbox_events_pkey"]),
    ("WHERE orders.id = new.id", ORDER),
    ("WHERE payments.id = new.id", PAYMENT),
    ("WHERE refunds.id = new.id", &["refunds_pkey"]),
    ("WHERE disputes.id = new.id", &["disputes_pkey"]),
    ("FOR SHARE OF orders", ORDER),
    ("FOR SHARE OF payments", PAYMENT),
    ("UPDATE gateway_calls", &["gateway_calls_pkey"]),
    ("INSERT INTO ledger_entries", PAYMENT),
    ("INSERT INTO payment_declines", ORDER),
    ("WITH asked AS MATERIALIZED (", ORDER),
    ("WITH asked AS MATERIALIZED (", &["payments_by_order"]),
    ("WITH asked AS MATERIALIZED (", &["payment_declines_by_order"]),
    ("WITH asked AS MATERIALIZED (", &["payment_declines_by_customer"]),
    ("WITH asked AS MATERIALIZED (", &["payment_origins_pkey"]),
    ("WITH asked AS MATERIALIZED (", &["limit_meters_pkey"]),
    ("gateway_event, gateway_request, at, position)", ORDER),
];

/// Those that read little whatever their plan, as long as few breaks are open.
const BREAKS: &[(&str, &[&str])] = &[
    ("WHERE payment_id = $1 AND kind = $2 AND resolved_at IS NULL", &["breaks_open_by_payment"]),
    ("WHERE object = $1 AND kind = $2 AND resolved_at IS NULL", &["breaks_open_by_object"]),
];

/// The plan for any values.
async fn plan(connection: &mut PgConnection, sql: &str) -> String {
    connection.execute(AssertSqlSafe(format!("PREPARE keyed AS {sql}"))).await.unwrap();
    let parameters = (1..).take_while(|number| sql.contains(&format!("${number}"))).map(|_| "NULL");
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE keyed ({parameters})"));
    let lines = sqlx::query_scalar::<_, String>(explain).fetch_all(&mut *connection).await;
    let lines = lines.unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.execute("DEALLOCATE keyed").await.unwrap();
    lines.join("\n")
}

/// The statement that checks each foreign key, as the server makes it, with the index of the other table's key.
async fn foreign_keys(connection: &mut PgConnection) -> Vec<(String, String)> {
    let checks = "SELECT format('SELECT 1 FROM ONLY %s x WHERE %s FOR KEY SHARE OF x', confrelid::regclass,
                                string_agg(format('%I = $%s', attname, place), ' AND ' ORDER BY place)),
                         conindid::regclass::text
                  FROM pg_constraint CROSS JOIN unnest(confkey) WITH ORDINALITY AS key (number, place)
                  JOIN pg_attribute ON attrelid = confrelid AND attnum = key.number
                  WHERE contype = 'f' GROUP BY pg_constraint.oid";
    sqlx::query_as(checks).fetch_all(connection).await.unwrap()
}

async fn assert_keyed(connection: &mut PgConnection, sight: &str) {
    for (part, indexes) in KEYED {
        assert_goes_by(connection, &statement(part), indexes, sight).await;
    }
    let checks = foreign_keys(connection).await;
    assert!(checks.iter().any(|(_, index)| index == "orders_identity"), "{checks:?}");
    for (check, index) in checks {
        let indexes = match index.as_str() {
            "orders_pkey" | "orders_identity" => ORDER,
            "payments_pkey" | "payments_identity" => PAYMENT,
            other => &[other],
        };
        assert_goes_by(connection, &check, indexes, sight).await;
    }
}

async fn assert_goes_by(connection: &mut PgConnection, sql: &str, indexes: &[&str], sight: &str) {
    let plan = plan(connection, sql).await;
    let goes_by = |index: &&str| {
        plan.contains(&format!("using {index}")) || plan.contains(&format!("Bitmap Index Scan on {index}"))
    };
    assert!(indexes.iter().any(goes_by), "{sight}: not by {indexes:?}: {sql}\n{plan}");
    assert!(!plan.contains("Seq Scan"), "{sight}: {sql}\n{plan}");
    // An index without a condition is a table that is read whole.
    let (scans, conditions) = (plan.matches("Index ").count(), plan.matches("Index Cond").count());
    assert_eq!(scans, 2 * conditions, "{sight}: {sql}\n{plan}");
}

/// Nobody has told the planner anything of the tables at first. (Told that they are empty, it would take any index; the
/// server tells it again, and makes all plans anew, soon after the first rows have come.)
///
/// Covers: fault 96 (the part about the hot path).
#[tokio::test]
async fn the_hot_path_goes_by_keys_in_empty_tables_and_in_full_ones() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(stage.db.url()).await.unwrap();
    connection.execute(SETTINGS).await.unwrap();
    assert_keyed(&mut connection, "empty").await;
    connection.execute(ROWS).await.unwrap();
    connection.execute(MORE_ROWS).await.unwrap();
    assert_keyed(&mut connection, "believed to be empty").await;
    let filled = "ANALYZE jobs, orders, payments, refunds, disputes, inbox_events, commits, products, breaks";
    connection.execute(filled).await.unwrap();
    assert_keyed(&mut connection, "filled").await;
    for (part, indexes) in BREAKS {
        assert_goes_by(&mut connection, &statement(part), indexes, "filled").await;
    }
}
