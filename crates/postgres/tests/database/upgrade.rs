//! A database of the release before, with its rows, becomes one of this release.

use std::borrow::Cow;

use paywright_domain::{
    BreakKind, CallState, CaptureMethod, CustomerId, Effect, GatewayCall, Mode, Operation, Order, OrderId,
    PaymentId, PaymentState, Subject,
    ports::{Page, Queue, QueueName, Reader, Store, Task},
};
use paywright_postgres::{ApiKeys, MIGRATOR};
use paywright_testkit::{
    ManualClock,
    builders::{self, ChangesExt, new_id, usd},
};
use sqlx::{AssertSqlSafe, Executor, migrate::Migrator};
use time::Duration;

use crate::stage::Stage;

/// The last migration of the release before.
const BEFORE: i64 = 6;

/// A database as the release before left it.
async fn of_the_release_before() -> Stage {
    let stage = Stage::new().await;
    stage.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    let before: Vec<_> = MIGRATOR.iter().filter(|migration| migration.version <= BEFORE).cloned().collect();
    let migrator = Migrator { migrations: Cow::Owned(before), ..Migrator::DEFAULT };
    migrator.run(&stage.aside).await.unwrap();
    stage
}

/// An order of that release with two payments, of which one is live; a break on each.
async fn fill(stage: &Stage, order: OrderId, live: PaymentId, ended: PaymentId, call: &GatewayCall) {
    let (job, done) = (new_id::<()>(ManualClock::START).uuid(), new_id::<()>(ManualClock::START).uuid());
    let parameters = r#"{"operation": "create_intent", "amount": 1999, "currency": "usd", "receipt_email": null,
                         "metadata": {}}"#;
    let rows = format!(
        "INSERT INTO orders (id, mode, version, state, total, currency, metadata, token, created_at, expires_at)
         VALUES ('{}', 'test', 2, 'payment_processing', 1999, 'usd', '{{}}', 'token', now(), now());
         INSERT INTO payments (id, order_id, mode, version, channel, amount, currency, state, capturable, captured,
                               refunded, end_requested, end_generation, created_at)
         SELECT payment.id, '{}', 'test', 1, 'payment_intent', 1999, 'usd', payment.state, 0, 0, 0, false, 0, now()
         FROM (VALUES ('{}'::uuid, 'pending'), ('{}'::uuid, 'cancelled')) AS payment (id, state);
         INSERT INTO breaks (id, kind, order_id, payment_id, mode, detail, found_at)
         SELECT id, 'late_money', order_id, id, mode, 'before', now() FROM payments;
         INSERT INTO gateway_calls (id, order_id, payment_id, mode, operation, generation, parameters, idempotency_key,
                                    state, recorded_at)
         VALUES ('{}', '{}', '{}', 'test', 'create_intent', 1, '{parameters}', '{}', 'done', now());
         INSERT INTO jobs (id, queue, kind, payload, unique_key, due_at, state, finished_at)
         VALUES ('{job}', 'effects', 'expire_order', '{order}', 'expire:{order}', now() + interval '1 day', 'ready',
                 NULL),
                ('{done}', 'effects', 'expire_order', '{order}', 'expire:{order}', now(), 'done', now());
         INSERT INTO order_transitions (order_id, mode, subject, event, to_state, actor, cause, detail, at)
         VALUES ('{}', 'test', 'order', 'placed', 'pending', 'system', 'op', '{{}}', now());
         INSERT INTO payment_declines (payment_id, key, order_id, mode, code, message, at)
         VALUES ('{}', 'key', '{}', 'test', 'card_declined', 'no', now());",
        order.uuid(),
        order.uuid(),
        live.uuid(),
        ended.uuid(),
        call.id.uuid(),
        order.uuid(),
        live.uuid(),
        call.key(),
        order.uuid(),
        live.uuid(),
        order.uuid(),
    );
    stage.aside.execute(AssertSqlSafe(rows)).await.unwrap();
}

/// Covers: fault 80, fault 98.
#[tokio::test]
async fn rows_of_the_release_before_mean_the_same() {
    let stage = of_the_release_before().await;
    let shop = ["orders:read".to_owned(), "*".to_owned()];
    let (key, _) = ApiKeys::new(&stage.store).create("shop", Mode::Test, &shop, [1; 32]).await.unwrap();
    // Ids with every bit set and with hardly any: their texts are written by the migration.
    let ended = PaymentId::from_uuid("ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap());
    let live = PaymentId::from_uuid("00000000-0001-7000-8000-000000000001".parse().unwrap());
    let template = builders::order().total(usd(1999)).build();
    let order: OrderId = template.id;
    let payment = builders::payment(&template).build();
    let call = GatewayCall {
        payment: live,
        subject: Subject::Payment(live),
        state: CallState::Done,
        ..builders::call(&template, &payment)
    };
    fill(&stage, order, live, ended, &call).await;
    stage.store.migrate().await.unwrap();

    let stored: Order = stage.store.order(order).await.unwrap().unwrap();
    assert_eq!((stored.capture, stored.fulfillment_requested), (CaptureMethod::Automatic, false));
    assert_eq!(stored.customer, None::<CustomerId>);
    let payments = stage.store.payments(order).await.unwrap();
    assert_eq!(payments.len(), 2);
    for payment in payments {
        assert_eq!(
            (payment.capture, payment.capture_asked, payment.fee),
            (CaptureMethod::Automatic, None, None)
        );
        assert_eq!((payment.returned, payment.disputed, payment.disputes_blocking), (usd(0), usd(0), 0));
        assert_eq!(payment.state == PaymentState::Pending, payment.id == live);
    }
    let view = stage.store.order_view(Mode::Test, order).await.unwrap().unwrap();
    assert_eq!(
        (view.declines[0].refusal.advice.as_ref(), view.refunds.len(), view.disputes.len()),
        (None, 0, 0)
    );
    let kept = stage.store.call(call.id).await.unwrap().unwrap();
    assert_eq!((kept.key(), kept.subject), (call.key(), Subject::Payment(live)));
    assert!(matches!(
        kept.operation,
        Operation::CreateIntent { capture_method: CaptureMethod::Automatic, .. }
    ));
    assert_eq!(ApiKeys::new(&stage.store).list().await.unwrap()[0].id, key);

    // The timer that waits is moved, not doubled.
    let (timer, at) = (new_id(ManualClock::START), ManualClock::START - Duration::HOUR);
    stage.now(builders::changes().effect(Effect::WatchOrder { job: timer, order, at })).await;
    let jobs = stage.store.claim(QueueName::Effects, 10, Duration::MINUTE).await.unwrap();
    assert_eq!(jobs.iter().map(|job| &job.task).collect::<Vec<_>>(), [&Task::WatchOrder(order)]);
    assert_ne!(jobs[0].lease.job, timer);

    // A difference that is open is the same one when it is found again.
    for payment in stage.store.payments(order).await.unwrap() {
        stage.now(builders::changes().found(builders::found(BreakKind::LateMoney, &payment))).await;
    }
    let page = Page { after: None, limit: 10 };
    let breaks = stage.store.list_breaks(Mode::Test, Some(true), page).await.unwrap().rows;
    assert_eq!(breaks.iter().map(|found| found.detail.as_str()).collect::<Vec<_>>(), ["before", "before"]);
}

/// Refunds of that release were a total without rows, and nothing was booked.
///
/// Covers: I9, fault 80.
#[tokio::test]
async fn what_was_captured_before_is_booked_and_looked_after() {
    let stage = of_the_release_before().await;
    let order = OrderId::from_uuid("ffffffff-ffff-7fff-bfff-fffffffffff1".parse().unwrap());
    let payment = PaymentId::from_uuid("00000000-0001-7000-8000-000000000002".parse().unwrap());
    let rows = format!(
        "INSERT INTO orders (id, mode, version, state, total, currency, metadata, token, paid_by, created_at, expires_at)
         VALUES ('{}', 'test', 3, 'paid', 1999, 'usd', '{{}}', 'token', '{}', now(), now());
         INSERT INTO payments (id, order_id, mode, version, channel, amount, currency, state, intent, capturable,
                               captured, refunded, end_requested, end_generation, created_at)
         VALUES ('{}', '{}', 'test', 3, 'payment_intent', 1999, 'usd', 'captured', 'pi_1', 0, 1999, 500, false, 0,
                 now())",
        order.uuid(),
        payment.uuid(),
        payment.uuid(),
        order.uuid(),
    );
    stage.aside.execute(AssertSqlSafe(rows)).await.unwrap();
    stage.store.migrate().await.unwrap();

    let stored = stage.store.payment(payment).await.unwrap().unwrap();
    assert_eq!((stored.captured, stored.refunded, stored.returned), (usd(1999), usd(0), usd(0)));
    let booked = stage.store.ledger_of_order(order).await.unwrap();
    let lines: Vec<_> = booked.iter().map(|line| (line.key.clone(), line.entry.amount)).collect();
    assert_eq!(lines, [(format!("capture:{payment}:1999"), usd(1999))]);
    let jobs = stage.store.claim(QueueName::Effects, 10, Duration::MINUTE).await.unwrap();
    assert_eq!(jobs.iter().map(|job| &job.task).collect::<Vec<_>>(), [&Task::WatchOrder(order)]);
}
