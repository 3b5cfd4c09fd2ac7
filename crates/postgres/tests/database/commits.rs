//! The one transaction under bad luck.

use std::time::Duration;

use futures::poll;
use paywright_domain::{
    Cause, Changes, OrderEvent, PaymentEvent, Product, Standing, Version,
    ports::{Catalogue, Committed, Reader, Store, StoreError},
};
use paywright_postgres::{
    PoolOptions, Postgres,
    relay::{Commit, Fault, Relay, Then},
};
use paywright_testkit::builders::{self, ChangesExt, Steps};
use sqlx::Executor;

use crate::stage::Stage;

/// Changes that place an order, and a store that reaches the database through a relay.
async fn behind_a_relay() -> (Stage, Postgres, Relay, Changes) {
    let stage = Stage::new().await;
    let (relay, url) = Relay::before(stage.db.url()).await.unwrap();
    let options = PoolOptions { acquire_timeout: Duration::from_millis(500), ..PoolOptions::default() };
    let store = Postgres::connect(&url, options).await.unwrap();
    (stage, store, relay, builders::changes().step(builders::order().placed()))
}

async fn rows(stage: &Stage, count: &'static str) -> i64 {
    sqlx::query_scalar(count).fetch_one(&stage.aside).await.unwrap()
}

/// Covers: fault 67, I25.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_commit_is_resolved_by_the_cause() {
    let (stage, store, relay, changes) = behind_a_relay().await;
    relay.set(Fault::AfterCommit(Commit::Decisions, Then::Reset));
    assert_eq!(store.commit(changes.clone()).await.unwrap(), Committed::Now);
    assert_eq!(relay.struck(), 1);
    assert_eq!(store.commit(changes).await.unwrap(), Committed::Before);
    assert_eq!(rows(&stage, "SELECT count(*) FROM orders").await, 1);
}

/// Covers: fault 66.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_can_be_repeated() {
    let (stage, store, relay, changes) = behind_a_relay().await;
    relay.set(Fault::BeforeCommit(Commit::Decisions));
    let outcome = store.commit(changes.clone()).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert_eq!(rows(&stage, "SELECT count(*) FROM orders").await, 0);
    assert_eq!(store.commit(changes).await.unwrap(), Committed::Now);
    assert_eq!(rows(&stage, "SELECT count(*) FROM orders").await, 1);
}

/// Covers: fault 67, I30.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_unavailable_and_repeating_it_is_safe() {
    let (stage, store, relay, changes) = behind_a_relay().await;
    relay.set(Fault::AfterCommit(Commit::Decisions, Then::ResetAll));
    let outcome = store.commit(changes.clone()).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    relay.set(Fault::Healthy);
    assert_eq!(store.commit(changes).await.unwrap(), Committed::Before);
    assert_eq!(rows(&stage, "SELECT count(*) FROM orders").await, 1);
}

/// The commit holds the order and waits for the payment; we hold the payment and wait for the order.
///
/// Covers: fault 64.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_once_more() {
    let stage = Stage::new().await;
    // Who waits longest looks for deadlocks first, and is the one to give way: the commit, unless the machine is
    // so busy that we come too late.
    for _ in 0..5 {
        let (order, payment) = stage.started().await;
        let changes = builders::changes()
            .step(order.step(OrderEvent::CancellationRequested(Default::default())))
            .step(payment.step(builders::captured(&payment)));
        let mut rival = stage.aside.begin().await.unwrap();
        rival.execute("UPDATE payments SET seen_at = now()").await.unwrap();
        let store = stage.store.clone();
        let commit = tokio::spawn(async move { store.commit(changes).await });
        stage.until_somebody_waits().await;
        let survived = rival.execute("UPDATE orders SET tracking = tracking").await.is_ok();
        rival.rollback().await.unwrap();
        assert_eq!(commit.await.unwrap().unwrap(), Committed::Now);
        assert_eq!(stage.store.timeline(order.id).await.unwrap().len(), 5);
        if survived {
            return stage
                .until("SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()")
                .await;
        }
    }
    panic!("the commit never gave way");
}

/// Covers: fault 88, fault 125.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_caller_gave_up_is_whole() {
    let (stage, mut given_up) = (Stage::new().await, 0);
    for _ in 0..20 {
        let placed = builders::order().placed();
        let (id, changes) = (placed.after().id, builders::changes().step(placed));
        let cause: Cause = changes.cause;
        {
            let mut commit = std::pin::pin!(stage.store.commit(changes));
            // Where this thread is kept waiting, another one may be through already.
            given_up += usize::from(poll!(commit.as_mut()).is_pending());
        }
        while !stage.store.knows(cause).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(stage.store.order(id).await.unwrap().is_some());
        assert_eq!(stage.store.timeline(id).await.unwrap().len(), 1);
    }
    assert!(given_up > 0, "nobody gave up");
}

/// Covers: I8, fault 81.
#[tokio::test]
async fn money_that_cannot_be_is_refused_whole() {
    let stage = Stage::new().await;
    let (order, payment) = stage.started().await;
    let too_much = Standing::Captured { captured: payment.amount.minor() + 1, refunded: 0 };
    let step = payment.step(PaymentEvent::Seen(builders::seen(too_much)));
    let changes = builders::changes()
        .step(order.step(OrderEvent::CancellationRequested(Default::default())))
        .step(step);
    let cause = changes.cause;
    let outcome = stage.store.commit(changes).await;
    assert!(matches!(outcome, Err(StoreError::Bug(_))), "{outcome:?}");
    assert_eq!(stage.store.order(order.id).await.unwrap(), Some(order));
    assert!(!stage.store.knows(cause).await.unwrap());
}

/// The server quotes the whole row; we do not pass that on.
///
/// Covers: I31, fault 134, fault 135.
#[tokio::test]
async fn an_error_does_not_quote_the_row() {
    let stage = Stage::new().await;
    let canary = "canary@example.com".to_owned();
    let product = Product { version: Version::from_number(0), name: canary, ..builders::product() };
    let error = stage.store.add(product).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("23514: ") && source.contains("products_version"), "{source}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}
