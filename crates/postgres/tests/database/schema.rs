//! The last line of defence: what nobody can write, not even by hand.

use paywright_domain::ports::{Reader, Store, StoreError};
use paywright_testkit::builders::{self, ChangesExt, Steps};

use crate::stage::Stage;

/// The name of the constraint, or the SQL state, that refuses a statement.
pub(crate) async fn refusal(stage: &Stage, sql: &'static str) -> String {
    let error = stage.run(sql).await.expect_err(sql);
    let error = error.as_database_error().unwrap();
    error.constraint().map_or_else(|| error.code().unwrap().into_owned(), str::to_owned)
}

/// Covers: I3, I4, I6, I8, fault 81.
#[tokio::test]
async fn impossible_money_and_states_are_refused() {
    let stage = Stage::new().await;
    let (_, payment) = stage.started().await;
    stage.now(builders::changes().step(payment.step(builders::captured(&payment)))).await;
    for (sql, constraint) in [
        ("UPDATE payments SET refunded = captured + 1", "payments_refunded"),
        ("UPDATE payments SET refunded = -1", "payments_refunded"),
        ("UPDATE payments SET returned = refunded + 1", "payments_returned"),
        ("UPDATE payments SET returned = -1", "payments_returned"),
        ("UPDATE payments SET disputed = -1", "payments_disputed"),
        ("UPDATE payments SET disputes_blocking = -1", "payments_disputes_blocking"),
        ("UPDATE payments SET capture_asked = 0", "payments_capture_asked"),
        ("UPDATE payments SET capture_asked = amount + 1", "payments_capture_asked"),
        ("UPDATE payments SET capture_requested = true, capture_asked = 1", "payments_capture_requested"),
        ("UPDATE payments SET unwanted = true, state = 'cancelled', captured = 0", "payments_unwanted"),
        ("UPDATE payments SET fee = 1", "payments_fee_whole"),
        ("UPDATE payments SET fee = -1, fee_currency = 'usd', fee_transaction = 'txn'", "payments_fee"),
        ("UPDATE payments SET capture = 'never'", "payments_capture"),
        ("UPDATE payments SET captured = amount + 1", "payments_captured"),
        ("UPDATE payments SET captured = -1, refunded = -1", "payments_captured"),
        ("UPDATE payments SET amount = -1, captured = 0", "payments_amount"),
        ("UPDATE payments SET capturable = 1", "payments_capturable_state"),
        (
            "UPDATE payments SET capturable = amount + 1, state = 'authorized', captured = 0",
            "payments_capturable",
        ),
        ("UPDATE payments SET state = 'pending'", "payments_captured_state"),
        ("UPDATE payments SET state = 'paid', captured = 0", "payments_state"),
        ("UPDATE payments SET end_requested = true", "payments_end_requested"),
        ("UPDATE payments SET currency = 'eur'", "payments_order"),
        ("UPDATE payments SET mode = 'live'", "payments_order"),
        ("UPDATE payments SET channel = 'checkout'", "payments_return_urls"),
        ("UPDATE payments SET version = 0", "payments_version"),
        ("UPDATE orders SET total = -1", "orders_total"),
        ("UPDATE orders SET state = 'paid', paid_by = NULL", "orders_paid_by_someone"),
        ("UPDATE orders SET state = 'cancelled', cancellation = NULL", "orders_cancelled_for_a_reason"),
        ("UPDATE orders SET state = 'captured', paid_by = id", "orders_state"),
        ("UPDATE orders SET currency = 'USD'", "orders_currency"),
        ("UPDATE orders SET mode = 'both'", "orders_mode"),
        ("DELETE FROM orders", "order_items_order"),
        ("UPDATE order_items SET quantity = 0", "order_items_quantity"),
        ("UPDATE order_items SET unit_amount = -1", "order_items_unit_amount"),
        ("UPDATE order_items SET unit_amount = 9223372036854775807, quantity = 2", "order_items_total"),
        ("INSERT INTO commits SELECT * FROM commits LIMIT 1", "commits_pkey"),
    ] {
        assert_eq!(refusal(&stage, sql).await, constraint, "{sql}");
    }
}

/// Covers: I2, fault 101.
#[tokio::test]
async fn a_second_live_payment_is_refused_to_everybody() {
    let stage = Stage::new().await;
    stage.started().await;
    let second = "INSERT INTO payments (id, order_id, mode, version, channel, capture, amount, currency, state, capturable,
                                        captured, capture_requested, capture_generation, hold_told, refunded, returned,
                                        disputed, disputes_blocking, unwanted, end_requested, end_generation, created_at)
                  SELECT gen_random_uuid(), order_id, mode, 1, channel, capture, amount, currency, 'processing', 0, 0,
                         false, 0, false, 0, 0, 0, 0, false, false, 0, now() FROM payments";
    assert_eq!(refusal(&stage, second).await, "payments_one_live_per_order");
}

/// Covers: I14, fault 81.
#[tokio::test]
async fn the_audit_trail_cannot_be_changed() {
    let stage = Stage::new().await;
    let (order, _) = stage.started().await;
    let before = stage.store.timeline(order.id).await.unwrap();
    for sql in [
        "UPDATE order_transitions SET actor = 'nobody'",
        "DELETE FROM order_transitions",
        "TRUNCATE order_transitions",
    ] {
        assert_eq!(refusal(&stage, sql).await, "23001", "{sql}");
    }
    assert_eq!(stage.store.timeline(order.id).await.unwrap(), before);
    assert_eq!(before.len(), 3);
}

/// Covers: fault 81.
#[tokio::test]
async fn an_impossible_row_is_named_and_not_guessed_at() {
    let stage = Stage::new().await;
    let (order, payment) = stage.started().await;
    let call = builders::call(&order, &payment);
    let effect = paywright_domain::Effect::Call { call: call.clone(), held_for: None };
    stage.now(builders::changes().effect(effect)).await;
    stage
        .run(
            r#"UPDATE payments SET intent = 'not an id!';
                UPDATE orders SET metadata = '{"number": 1}';
                UPDATE gateway_calls SET parameters = '{"operation": "burn_money"}'"#,
        )
        .await
        .unwrap();
    let found = [
        stage.store.payment(payment.id).await.map(drop),
        stage.store.order(order.id).await.map(drop),
        stage.store.call(call.id).await.map(drop),
    ];
    let named = found.map(|outcome| match outcome {
        Err(StoreError::Inconsistent { table, column, .. }) => (table, column),
        other => panic!("{other:?}"),
    });
    let expected = [("payments", "intent"), ("orders", "metadata"), ("gateway_calls", "parameters")];
    assert_eq!(named, expected);
}

/// Covers: fault 80, fault 98.
#[tokio::test]
async fn migrations_run_once_whoever_starts_first() {
    let stage = Stage::new().await;
    assert_eq!(stage.store.pending_migrations().await.unwrap(), 0);
    stage.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    assert_eq!(stage.store.pending_migrations().await.unwrap(), paywright_postgres::MIGRATOR.iter().count());
    let all = futures::future::join_all((0..4).map(|_| stage.store.migrate())).await;
    all.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(stage.store.pending_migrations().await.unwrap(), 0);
    // A newer release was here: this build goes on beside it.
    stage
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
              VALUES (9999, 'from the future', true, '', 0)",
        )
        .await
        .unwrap();
    stage.store.migrate().await.unwrap();
    assert_eq!(stage.store.pending_migrations().await.unwrap(), 0);
}
