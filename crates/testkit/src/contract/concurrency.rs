//! Many at once, at random: whatever happens, the rows and the trail agree.

use std::{collections::BTreeMap, sync::Arc};

use paywright_domain::{
    CancelReason, Changes, Order, OrderEvent, OrderId, PaymentEvent, PaymentState, Shipment, Standing,
    ports::{Committed, StoreError, TimelineEntry},
};

use super::{
    Backend,
    stage::{Stage, at_once},
};
use crate::{
    SeededEntropy,
    builders::{self, ChangesExt, seen},
};

/// Units that share no row all commit.
///
/// Covers: fault 64.
pub async fn units_of_different_orders_do_not_disturb_each_other(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let draft = stage.draft().await;
    let orders = at_once((0..24).map(|n| {
        let (stage, draft) = (stage.clone(), draft.clone());
        async move {
            let order = stage.place(draft.created_at(stage.now).token(&format!("t{n}"))).await;
            let birth = builders::payment(&order).started();
            stage.now(stage.request().step(birth)).await;
            order.id
        }
    }));
    for order in orders.await {
        assert!(stage.live_payment(order).await.unwrap().is_some());
    }
}

/// Tasks decide at random on what they just loaded, about one order and its payments, and commit. Every commit
/// that was acknowledged is in the trail once, each trail is a path from birth to the stored state without a gap,
/// and at most one payment is live.
///
/// Covers: I2, I12, I14, I16, I28, fault 64, fault 65.
pub async fn racing_deciders_leave_a_path_without_gaps(backend: Arc<dyn Backend>) {
    const TASKS: u64 = 8;
    const ROUNDS: u32 = 25;
    let stage = Stage::new(backend);
    let order = stage.placed().await.id;
    let steps =
        at_once((0..TASKS).map(|seed| decide(stage.clone(), order, SeededEntropy::new(seed), ROUNDS)));
    let steps: usize = steps.await.into_iter().sum();
    assert!(steps > ROUNDS as usize, "only {steps} steps got through");

    let order = stage.order(order).await.unwrap().unwrap();
    let view = stage.order_view(order.mode, order.id).await.unwrap().unwrap();
    assert!(view.payments.iter().filter(|payment| payment.state.is_live()).count() <= 1);
    let told = stage.told(&order).await;
    assert_eq!(told.len(), steps + 1, "each acknowledged step is told once, and the order's birth");
    let mut trails: BTreeMap<_, Vec<&TimelineEntry>> = BTreeMap::new();
    for entry in &told {
        let subject = if entry.subject == "order" { None } else { entry.payment };
        trails.entry(subject).or_default().push(entry);
    }
    assert_path(&trails[&None], order.version.number(), &order.state.to_string());
    assert_eq!(trails.len(), view.payments.len() + 1);
    for payment in &view.payments {
        assert_path(&trails[&Some(payment.id)], payment.version.number(), &payment.state.to_string());
    }
}

fn assert_path(trail: &[&TimelineEntry], version: u32, state: &str) {
    assert_eq!(trail.len(), version as usize, "one entry a version: {trail:#?}");
    assert_eq!(trail[0].from, None);
    for pair in trail.windows(2) {
        assert_eq!(pair[0].to, pair[1].from, "a gap: {trail:#?}");
    }
    assert_eq!(trail.last().unwrap().to.as_deref(), Some(state));
}

/// How many steps were acknowledged.
async fn decide(stage: Stage, order: OrderId, dice: SeededEntropy, rounds: u32) -> usize {
    let mut written = 0;
    for _ in 0..rounds {
        let changes = decision(&stage, order, &dice).await;
        let steps = changes.steps.len();
        if steps == 0 {
            continue;
        }
        match stage.commit(changes).await {
            Ok(Committed::Now) => written += steps,
            Err(StoreError::Conflict) => {}
            other => panic!("{other:?}"),
        }
    }
    written
}

async fn decision(stage: &Stage, order: OrderId, dice: &SeededEntropy) -> Changes {
    let order = stage.order(order).await.unwrap().unwrap();
    let mut changes = stage.request();
    match stage.live_payment(order.id).await.unwrap() {
        None => changes = changes.step(builders::payment(&order).started()),
        Some(payment) => {
            let applied = payment.apply(payment_event(dice, payment.amount.minor(), payment.state)).unwrap();
            changes.payment(applied);
        }
    }
    // Half of the units are about both, in this order or the other.
    if dice.below(2) == 0 {
        let payment = changes.steps.pop();
        let first = dice.below(2) == 0;
        if first {
            changes.steps.extend(payment.clone());
        }
        if let Ok(applied) = order.apply(order_event(dice, &order)) {
            changes.order(applied);
        }
        if !first {
            changes.steps.extend(payment);
        }
    }
    changes
}

fn payment_event(dice: &SeededEntropy, whole: u64, state: PaymentState) -> PaymentEvent {
    match dice.below(7) {
        0 => PaymentEvent::EndRequested,
        1 => PaymentEvent::EndRefused,
        2 if state == PaymentState::Created => PaymentEvent::Refused,
        3 => PaymentEvent::Seen(seen(Standing::Authorized(whole))),
        4 => PaymentEvent::Seen(seen(Standing::Cancelled)),
        5 => PaymentEvent::Seen(seen(Standing::Captured { captured: whole, refunded: 0 })),
        _ => PaymentEvent::Seen(seen(Standing::AwaitingMethod)),
    }
}

/// Mostly events that leave an order where many more are possible.
fn order_event(dice: &SeededEntropy, order: &Order) -> OrderEvent {
    let payment = builders::payment(order).build().id;
    match dice.below(40) {
        0 => OrderEvent::FulfillmentStarted,
        1 => OrderEvent::Shipped(Shipment::default()),
        2 => OrderEvent::Captured(payment),
        3..10 => OrderEvent::Authorized(payment),
        10..20 => OrderEvent::CancellationRequested(CancelReason::Duplicate),
        20..30 => OrderEvent::CancellationRefused,
        30..35 => OrderEvent::AuthorizationLost,
        _ => OrderEvent::PaymentStarted,
    }
}
