//! A step is written only over the version it was decided on.

use std::sync::Arc;

use paywright_domain::{
    BreakKind, CallState, Decline, Effect, Guard, OrderEvent, PaymentEvent, Standing, Version,
    ports::{Committed, Page, QueueName, StoreError},
};

use super::{
    Backend,
    stage::{Stage, at_once},
};
use crate::builders::{self, ChangesExt, Steps, seen};

/// One stale step among many others, and nothing of the unit is kept.
///
/// Covers: I14, I16, fault 66, fault 75.
pub async fn a_stale_step_changes_nothing(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let answered = builders::call(&order, &payment);
    let recorded = Effect::Call { call: answered.clone(), held_for: Some(super::stage::LONG) };
    stage.now(stage.request().effect(recorded)).await;
    stage.hear(&payment, PaymentEvent::EndRequested).await;
    let before = stage.told(&order).await;

    let customer = builders::customer();
    let birth = stage.draft().await.placed();
    let other = birth.after().clone();
    let mut call = builders::call(&order, &payment);
    call.generation = 2;
    let mut changes = stage
        .request()
        .step(birth)
        .step(order.step(OrderEvent::Captured(payment.id)))
        .step(payment.step(PaymentEvent::Seen(seen(Standing::Processing))))
        .effect(Effect::Call { call: call.clone(), held_for: None })
        .effect(Effect::WatchOrder { job: builders::new_id(stage.now), order: order.id, at: stage.now });
    changes.customer = Some(customer.clone());
    changes.answers.push((answered.clone(), CallState::Done));
    let refusal = builders::refusal("ch_1");
    changes.declines.push(Decline { order: order.id, payment: payment.id, refusal });
    changes.breaks.push(builders::found(BreakKind::LateMoney, &payment));
    stage.conflicts(changes).await;

    assert_eq!(stage.told(&order).await, before);
    assert_eq!(stage.order(order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(stage.order(other.id).await.unwrap(), None);
    assert_eq!(stage.call(call.id).await.unwrap(), None);
    assert_eq!(stage.call(answered.id).await.unwrap(), Some(answered));
    assert_eq!(stage.customer(customer.mode, customer.id).await.unwrap(), None);
    assert_eq!(stage.order_view(order.mode, order.id).await.unwrap().unwrap().declines, []);
    let breaks = stage.list_breaks(order.mode, None, Page { limit: 1, after: None });
    assert_eq!(breaks.await.unwrap().rows, []);
    stage.idle(QueueName::Effects).await;
}

/// What was read and left alone must not have moved, or nothing is kept.
///
/// Covers: I16, I28, D-11.
pub async fn a_guard_that_no_longer_holds_changes_nothing(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let guarded = |guard| {
        let mut changes = stage.request();
        changes.guards.push(guard);
        changes
    };
    let still = guarded(Guard::Order(order.id, order.version)).step(payment.step(PaymentEvent::EndRequested));
    stage.now(still).await;
    let moved = stage.payment(payment.id).await.unwrap().unwrap();
    let stale = guarded(Guard::Payment(payment.id, payment.version));
    stage.conflicts(stale.step(order.step(OrderEvent::Captured(payment.id)))).await;
    let early = guarded(Guard::Order(order.id, Version::from_number(99)));
    stage.conflicts(early.step(moved.step(PaymentEvent::Refused))).await;
    let nobody = guarded(Guard::Order(builders::new_id(stage.now), order.version));
    stage.conflicts(nobody.step(moved.step(PaymentEvent::Refused))).await;
    assert_eq!(stage.order(order.id).await.unwrap(), Some(order));
    assert_eq!(stage.payment(payment.id).await.unwrap(), Some(moved));
}

/// Two who each write what the other one only read cannot both be right: one is kept.
///
/// Covers: I16, I28, D-11, fault 64.
pub async fn of_two_who_guard_what_the_other_writes_one_wins(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    for _ in 0..5 {
        let (order, payment) = stage.started().await;
        let mut of_order = stage.request().step(order.step(OrderEvent::Captured(payment.id)));
        of_order.guards.push(Guard::Payment(payment.id, payment.version));
        let mut of_payment = stage.request().step(payment.step(PaymentEvent::EndRequested));
        of_payment.guards.push(Guard::Order(order.id, order.version));
        let outcomes = at_once([of_order, of_payment].into_iter().map(|changes| {
            let stage = stage.clone();
            async move { stage.commit(changes).await }
        }));
        let outcomes = outcomes.await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Now))).count();
        let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Conflict))).count();
        assert_eq!((won, lost), (1, 1), "{outcomes:?}");
    }
}

/// An order or payment is born once.
///
/// Covers: I16, fault 78.
pub async fn a_birth_over_a_living_one_conflicts(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let draft = stage.draft().await;
    let order = stage.place(draft.clone()).await;
    stage.conflicts(stage.request().step(draft.placed())).await;
    let birth = builders::payment(&order).started();
    stage.now(stage.request().step(birth.clone())).await;
    stage.conflicts(stage.request().step(birth)).await;
    assert_eq!(stage.told(&order).await.len(), 2);
}

/// What was never born takes no step.
///
/// Covers: I16.
pub async fn a_step_of_what_is_not_stored_conflicts(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let never_placed = stage.draft().await.build();
    stage.conflicts(stage.request().step(never_placed.step(OrderEvent::PaymentStarted))).await;
    assert_eq!(stage.order(never_placed.id).await.unwrap(), None);
    let order = stage.placed().await;
    let never_started = builders::payment(&order).build();
    stage.conflicts(stage.request().step(never_started.step(PaymentEvent::Refused))).await;
    assert_eq!(stage.payment(never_started.id).await.unwrap(), None);
}

/// Several steps of one order and one payment, births included, follow each other within a unit.
///
/// Covers: I14.
pub async fn two_steps_of_one_aggregate_are_one_unit(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let placed = stage.draft().await.placed();
    let started = placed.after().step(OrderEvent::PaymentStarted);
    let born = builders::payment(placed.after()).started();
    let asked = born.after().step(PaymentEvent::EndRequested);
    let refused = asked.after().step(PaymentEvent::Refused);
    let (order, payment) = (started.after().clone(), refused.after().clone());
    stage.now(stage.request().step(placed).step(started).step(born).step(asked).step(refused)).await;
    assert_eq!(order.version, Version::from_number(2));
    assert_eq!(payment.version, Version::from_number(3));
    assert_eq!(stage.order(order.id).await.unwrap().as_ref(), Some(&order));
    assert_eq!(stage.payment(payment.id).await.unwrap(), Some(payment));
    assert_eq!(stage.told(&order).await.len(), 5);
}

/// Whoever decided on the same version at the same time: one is kept, the others conflict.
///
/// Covers: I16, I28, D-11, D-12.
pub async fn of_two_deciders_one_wins(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let step = order.step(OrderEvent::PaymentStarted);
    let outcomes = at_once((0..8).map(|_| {
        let (stage, changes) = (stage.clone(), stage.request().step(step.clone()));
        async move { stage.commit(changes).await }
    }));
    let outcomes = outcomes.await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Now))).count();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Conflict))).count();
    assert_eq!((won, lost), (1, 7), "{outcomes:?}");
    assert_eq!(stage.order(order.id).await.unwrap().as_ref(), Some(step.after()));
    assert_eq!(stage.told(&order).await.len(), 2);
}
