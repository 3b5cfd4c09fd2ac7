//! A merchant: fulfils, captures, voids, gives back, cancels and answers disputes, whenever they like and as often as
//! they are not answered.

use std::{collections::BTreeMap, sync::Arc};

use paywright_domain::{
    Actor, CancelReason, OperationId, OrderId, Payment, PaymentId, PaymentState, RefundReason, Shipment,
    ports::Store,
    usecase::{Advance, ErrorKind, NewRefund, Say},
};

use super::{a_moment, a_while, customer::new_operation, is_open};
use crate::{
    executor::Owner,
    fault::Fault,
    ports::peek,
    process::{App, ask},
    world::World,
};

/// What a merchant may do with an order.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Fulfil(Option<u64>),
    Ship,
    Complete,
    Fail,
    Cancel(CancelReason),
    Capture(Option<u64>),
    Void,
    Refund(Option<u64>),
    Sync,
    Answer(Say),
}

/// Sells one order, as long as people act.
pub(super) async fn sell(world: Arc<World>, order: OrderId) {
    for _ in 0..world.between(0, 7) {
        a_while(&world, 3).await;
        if !is_open(&world) {
            return;
        }
        let act = choose(&world);
        let twice = world.chance(150);
        if twice || world.strikes(Fault::AskedTwice) {
            world.spawn(Owner::Outside, insist(Arc::clone(&world), order, act.clone()));
        }
        insist(Arc::clone(&world), order, act).await;
    }
}

pub(super) fn choose(world: &World) -> Act {
    let mut dice = world.dice();
    let part = dice.chance(700).then(|| if dice.chance(500) { 500 } else { 1 + dice.below(4_000) });
    match dice.below(20) {
        0..4 => Act::Fulfil(part),
        4 | 5 => Act::Ship,
        6 => Act::Complete,
        7 => Act::Fail,
        8 | 9 => Act::Cancel(*dice.pick(&[CancelReason::RequestedByCustomer, CancelReason::Fraudulent])),
        10 => Act::Capture(part),
        11 => Act::Void,
        12..17 => Act::Refund(part),
        17 => Act::Sync,
        18 => Act::Answer(Say::Accept),
        _ => {
            let mut words = BTreeMap::new();
            words.insert("product_description".to_owned(), "A fine hat".to_owned());
            Act::Answer(if dice.chance(500) { Say::Stage(words) } else { Say::Submit(Default::default()) })
        }
    }
}

/// Asks under one operation until there is an answer.
pub(super) async fn insist(world: Arc<World>, order: OrderId, act: Act) {
    let operation = new_operation(&world);
    let Some(payment) = newest(&world, order) else { return };
    world.note("wants", || format!("{act:?} {order}"));
    for _ in 0..8 {
        let (act, payment) = (act.clone(), payment.clone());
        let handler =
            move |app: Arc<App>| async move { perform(&app, operation, order, payment.id, act).await };
        match ask(&world, handler).await {
            Some(answer) if answer != Err(ErrorKind::Unavailable) => return,
            Some(_) | None => a_moment(&world).await,
        }
        if !is_open(&world) {
            return;
        }
    }
}

fn newest(world: &World, order: OrderId) -> Option<Payment> {
    let payments = peek(Store::payments(&*world.rows, order))?.ok()?;
    let best = payments.iter().rev().find(|payment| payment.state == PaymentState::Captured);
    best.or(payments.last()).cloned()
}

async fn perform(
    app: &App,
    operation: OperationId,
    order: OrderId,
    id: PaymentId,
    act: Act,
) -> Result<(), ErrorKind> {
    let world = &app.line.world;
    let actor = Actor::System;
    match act {
        Act::Fulfil(amount) => {
            let advance = Advance::StartFulfillment { amount };
            app.advance_order.run(operation, actor, order, advance).await.map(drop).map_err(|e| e.kind())
        }
        Act::Ship => {
            let advance = Advance::Ship(Shipment { carrier: "DHL".to_owned(), tracking: None });
            app.advance_order.run(operation, actor, order, advance).await.map(drop).map_err(|e| e.kind())
        }
        Act::Complete => {
            let done = app.advance_order.run(operation, actor, order, Advance::Complete).await;
            done.map(drop).map_err(|e| e.kind())
        }
        Act::Fail => {
            let done = app.cancel_order.fulfillment_failed(operation, actor, order, "it burned").await;
            done.map(drop).map_err(|e| e.kind())
        }
        Act::Cancel(reason) => {
            let done = app.cancel_order.run(operation, actor, order, reason).await;
            done.map(drop).map_err(|e| e.kind())
        }
        Act::Capture(amount) => {
            let done = app.settle_hold.capture(operation, actor, id, amount).await;
            done.map(drop).map_err(|e| e.kind())
        }
        Act::Void => {
            let done = app.settle_hold.void(operation, actor, id).await;
            done.map(drop).map_err(|e| e.kind())
        }
        Act::Refund(amount) => {
            let new = NewRefund {
                payment: id,
                amount,
                reason: RefundReason::Goodwill,
                note: None,
                expected_refundable: None,
            };
            let done = app.request_refund.run(operation, actor, new).await;
            if let Ok(refund) = &done {
                world.watch().refunded(world, operation, refund);
            }
            done.map(drop).map_err(|e| e.kind())
        }
        Act::Sync => app.sync_payment.run(operation, id).await.map(drop).map_err(|e| e.kind()),
        Act::Answer(say) => {
            let dispute = app.ports.store.disputes(id).await.ok().and_then(|all| all.first().cloned());
            let Some(dispute) = dispute else { return Ok(()) };
            let done = app.answer_dispute.run(operation, actor, dispute.id, say).await;
            done.map(drop).map_err(|e| e.kind())
        }
    }
}
