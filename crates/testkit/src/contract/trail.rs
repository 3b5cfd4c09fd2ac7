//! The audit trail: who, why, on whose word, from where to where.

use std::{collections::BTreeMap, sync::Arc};

use paywright_domain::{
    Actor, Beat, Break, BreakKind, Cause, Changes, Decline, DisputeEvent, DisputeSighting, DisputeStatus,
    Effect, Lease, OrderEvent, Origin, RefundEvent, RefundStanding, Shipment,
    ports::{QueueName, TimelineEntry},
};
use time::Duration;

use super::{
    Backend,
    stage::{LONG, Stage},
};
use crate::builders::{self, ChangesExt, Steps, captured};

/// Every field of an entry, for requests and jobs, every kind of actor.
///
/// Covers: I14.
pub async fn a_step_is_told_with_why_and_who(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let operation = builders::new_id(stage.now);
    let key = Actor::ApiKey(builders::new_id(stage.now));
    let mut changes = Changes::because(Cause::Request(operation, Beat::Learned), key.clone(), stage.now)
        .step(order.step(OrderEvent::PaymentStarted));
    changes.origin = Origin { event: None, request: Some("req_1".to_owned()) };
    stage.now(changes).await;
    let expected = TimelineEntry {
        at: stage.now,
        subject: "order".to_owned(),
        payment: None,
        event: "payment_started".to_owned(),
        from: Some("pending".to_owned()),
        to: Some("payment_processing".to_owned()),
        actor: key.to_string(),
        cause: format!("{operation}:learned"),
        gateway_event: None,
        gateway_request: Some("req_1".to_owned()),
        detail: BTreeMap::new(),
    };
    assert_eq!(stage.told(&order).await[1], expected);

    let birth = builders::payment(&order).started();
    let payment = birth.after().clone();
    stage.now(stage.request().step(birth)).await;
    let _ = stage.receive(builders::inbox_event("evt_1")).await.unwrap();
    let job = stage.take_one(QueueName::Webhooks, LONG).await;
    let mut changes = Changes::because(Cause::Job(job.lease), Actor::Gateway, stage.now)
        .step(payment.step(captured(&payment)));
    changes.origin = Origin { event: Some("evt_1".to_owned()), request: None };
    stage.now(changes).await;
    let amount = payment.amount.to_string();
    let detail = [("amount".to_owned(), amount.clone()), ("captured".to_owned(), amount)].into();
    let expected = TimelineEntry {
        at: stage.now,
        subject: "payment".to_owned(),
        payment: Some(payment.id),
        event: "captured".to_owned(),
        from: Some("created".to_owned()),
        to: Some("captured".to_owned()),
        actor: Actor::Gateway.to_string(),
        cause: job.lease.job.to_string(),
        gateway_event: Some("evt_1".to_owned()),
        gateway_request: None,
        detail,
    };
    assert_eq!(stage.told(&order).await[3], expected);
}

/// The entries of one unit come in the order in which the changes tell them.
///
/// Covers: I12, I14.
pub async fn a_unit_is_told_in_order(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let placed = stage.draft().await.placed();
    let order = placed.after().clone();
    let started = order.step(OrderEvent::PaymentStarted);
    let birth = builders::payment(&order).started();
    let payment = birth.after().clone();
    let paid = payment.step(captured(&payment));
    let follows = started.after().step(OrderEvent::Captured(payment.id));
    let prepared = follows.after().step(OrderEvent::FulfillmentStarted);
    let shipment = Shipment { carrier: "Étoile".to_owned(), tracking: Some("1Z".to_owned()) };
    let shipped = prepared.after().step(OrderEvent::Shipped(shipment));
    let call = builders::call(&order, &payment);
    let mut changes = stage
        .request()
        .step(placed)
        .step(started)
        .step(birth)
        .step(paid)
        .step(follows)
        .step(prepared)
        .step(shipped)
        .effect(Effect::Call { call: call.clone(), held_for: Some(LONG) });
    changes.actor = Actor::Shopper;
    let expected = changes.entries();
    stage.now(changes).await;
    let mut answer = stage.because(Cause::Job(Lease { job: call.id, token: Lease::FROM_BIRTH }));
    answer.answers.push((call, paywright_domain::CallState::Done));
    let expected: Vec<_> = expected.into_iter().chain(answer.entries()).collect();
    stage.now(answer).await;

    let told = stage.told(&order).await;
    assert_eq!(told.len(), expected.len());
    for (told, entry) in told.into_iter().zip(expected) {
        assert_eq!(
            (told.subject.as_str(), told.event, told.payment),
            (entry.subject, entry.event, entry.payment)
        );
        assert_eq!((told.from.as_deref(), told.to.as_deref()), (entry.from, entry.to));
        assert_eq!(told.detail, entry.detail);
    }
}

/// Refunds and disputes are told like all steps, a look that brings no news is not.
///
/// Covers: I14, R-5.
pub async fn refunds_and_disputes_are_told(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let before = stage.told(&order).await.len();
    let requested = builders::refund(&payment, builders::usd(1000));
    let pending = builders::refund_seen(&builders::gateway_refund_id(), RefundStanding::Pending);
    let pending = requested.after().step(RefundEvent::Seen(pending));
    let opened = builders::dispute(&payment, DisputeStatus::NeedsResponse);
    let seen = opened.after().seen.clone();
    let no_news = DisputeSighting { at: seen.at + Duration::SECOND, ..seen.clone() };
    let unmoved = opened.after().step(DisputeEvent::Seen(no_news));
    let lost = DisputeSighting { status: DisputeStatus::Lost, at: seen.at + Duration::MINUTE, ..seen };
    let lost = unmoved.after().step(DisputeEvent::Seen(lost));
    let changes = stage.request().step(requested).step(pending).step(opened).step(unmoved).step(lost);
    let expected = changes.entries();
    assert_eq!(expected.len(), 4);
    stage.now(changes).await;
    let told = stage.told(&order).await.split_off(before);
    for (told, entry) in told.iter().zip(expected) {
        assert_eq!((told.payment, &told.detail), (Some(payment.id), &entry.detail));
    }
    let step = |row: &TimelineEntry| {
        (row.subject.clone(), row.event.clone(), row.from.clone(), row.to.clone().unwrap_or_default())
    };
    let expected = [
        ("refund", "requested", None, "requested"),
        ("refund", "pending", Some("requested"), "pending"),
        ("dispute", "opened", None, "needs_response"),
        ("dispute", "lost", Some("needs_response"), "lost"),
    ];
    let owned = |(subject, event, from, to): (&str, &str, Option<&str>, &str)| {
        (subject.to_owned(), event.to_owned(), from.map(str::to_owned), to.to_owned())
    };
    assert_eq!(told.iter().map(step).collect::<Vec<_>>(), expected.map(owned));
}

/// A refused attempt is one row and one entry, however often and by whom it is told.
///
/// Covers: I22, O-1, fault 19.
pub async fn a_decline_is_told_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let before = stage.told(&order).await.len();
    let decline = |key: &str| {
        let mut refusal = builders::refusal(key);
        refusal.at = stage.now;
        Decline { order: order.id, payment: payment.id, refusal }
    };
    let tell = |declines: Vec<Decline>| async {
        let mut changes = stage.request();
        changes.declines = declines;
        stage.now(changes).await;
    };
    tell(vec![decline("ch_1")]).await;
    tell(vec![decline("ch_1")]).await;
    tell(vec![decline("ch_1"), decline("ch_2"), decline("ch_2")]).await;
    let told = stage.told(&order).await.split_off(before);
    assert_eq!(told.len(), 2, "{told:?}");
    let entry = decline("ch_1").entry();
    assert_eq!((told[0].subject.as_str(), &told[0].event), (entry.subject, &entry.event));
    assert_eq!((told[0].payment, &told[0].detail), (entry.payment, &entry.detail));
    let view = stage.order_view(order.mode, order.id).await.unwrap().unwrap();
    assert_eq!(view.declines, [decline("ch_1"), decline("ch_2")]);
}

/// A difference is one row and one entry for each kind and payment.
///
/// Covers: I1, I22, O-4.
pub async fn a_break_is_told_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.started().await;
    let before = stage.told(&order).await.len();
    let found = |kind, detail: &str| Break { detail: detail.to_owned(), ..builders::found(kind, &payment) };
    let first = found(BreakKind::LateMoney, "39.98 USD after the end — spät");
    let second = found(BreakKind::AmountMismatch, "ours is 39.98 USD");
    for breaks in [
        vec![first.clone()],
        vec![found(BreakKind::LateMoney, "told in other words"), second.clone(), second.clone()],
    ] {
        let mut changes = stage.request();
        changes.breaks = breaks;
        stage.now(changes).await;
    }
    let told = stage.told(&order).await.split_off(before);
    let told: Vec<_> = told.iter().map(|row| (row.subject.as_str(), &row.event, &row.detail)).collect();
    let (first, second) = (first.entry().unwrap(), second.entry().unwrap());
    assert_eq!(told, [("break", &first.event, &first.detail), ("break", &second.event, &second.detail)]);
}
