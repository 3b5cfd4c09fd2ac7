//! A cause is taken once, and with all that belongs to it.

use std::sync::Arc;

use paywright_domain::{Beat, Cause, OrderEvent, ports::Committed};

use super::{Backend, stage::Stage};
use crate::builders::{ChangesExt, Steps, new_id};

/// The same changes commit `Now`, then `Before`, and are written once.
///
/// Covers: I14, I17, I22, fault 67.
pub async fn a_cause_is_taken_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let birth = stage.draft().await.placed();
    let order = birth.after().clone();
    let changes = stage.request().step(birth);
    let cause = changes.cause;
    assert!(!stage.knows(cause).await.unwrap());
    stage.now(changes.clone()).await;
    assert!(stage.knows(cause).await.unwrap());
    let written = stage.told(&order).await;
    assert_eq!(stage.commit(changes).await.unwrap(), Committed::Before);
    assert_eq!(stage.told(&order).await, written);
    assert_eq!(stage.order(order.id).await.unwrap(), Some(order));
}

/// One request may commit several times; each beat counts on its own.
///
/// Covers: I17, I30.
pub async fn each_beat_of_a_request_is_a_cause(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let operation = new_id(stage.now);
    for beat in [Beat::Main, Beat::Clear, Beat::Learned] {
        let cause = Cause::Request(operation, beat);
        assert!(!stage.knows(cause).await.unwrap(), "{beat}");
        stage.now(stage.because(cause)).await;
        assert_eq!(stage.commit(stage.because(cause)).await.unwrap(), Committed::Before, "{beat}");
        assert!(stage.knows(cause).await.unwrap(), "{beat}");
    }
}

/// Other changes under a taken cause are not written, even where they would conflict.
///
/// Covers: I17, I30.
pub async fn a_taken_cause_writes_nothing_else(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let first = stage.request().step(order.step(OrderEvent::PaymentStarted));
    let cause = first.cause;
    stage.now(first).await;
    let other = stage.draft().await.placed();
    let other_id = other.after().id;
    let stale = stage.because(cause).step(other).step(order.step(OrderEvent::PaymentStarted));
    assert_eq!(stage.commit(stale).await.unwrap(), Committed::Before);
    assert_eq!(stage.order(other_id).await.unwrap(), None);
}

/// A conflict takes no cause: the same request decides again and commits.
///
/// Covers: I16, I30.
pub async fn a_cause_that_failed_is_not_taken(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let newer = stage.go(&order, OrderEvent::PaymentStarted).await;
    let stale = stage.request().step(order.step(OrderEvent::PaymentStarted));
    let cause = stale.cause;
    stage.conflicts(stale).await;
    assert!(!stage.knows(cause).await.unwrap());
    stage.now(stage.because(cause).step(newer.step(OrderEvent::PaymentStarted))).await;
}
