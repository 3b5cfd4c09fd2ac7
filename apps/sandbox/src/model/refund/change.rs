//! What becomes of a refund: paid, waiting for money, failed after all.

use super::RefundStatus;
use crate::model::balance_transaction::{self, Entry, Fee};
use crate::model::cards::Aftermath;
use crate::model::context::Context;
use crate::model::timers::Due;

/// How long the test cards take to change a refund. Stripe says "after some time".
const CHANGE_SECONDS: i64 = 5;

/// Pays a new refund, or lets it wait for money.
pub(super) fn begin(context: &mut Context<'_>, id: &str) {
    let refund = context.world.refunds.get(id).expect("it was just inserted");
    let waits = context.world.terms.refunds_wait_for_balance
        && !balance_transaction::covers(context.world, refund.amount, &refund.currency);
    if waits {
        context.world.refunds.get_mut(id).expect("it was just read").waits_for_balance = true;
        context.world.waiting_refunds.push_back(id.to_owned());
        return;
    }
    if pay(context, id) {
        context.world.refunds.get_mut(id).expect("it was just read").status = RefundStatus::Succeeded;
    }
}

/// Takes a refund from the balance; whether it is done with that. The test card decides what comes later.
fn pay(context: &mut Context<'_>, id: &str) -> bool {
    let refund = context.world.refunds.get(id).expect("the caller holds it");
    let amount = refund.amount;
    let method = context.world.charges.get(&refund.charge).map(|charge| charge.payment_method.as_str());
    let card = method.and_then(|id| context.world.payment_methods.get(id)).map(|method| method.card());
    let aftermath = card.map(|card| card.aftermath);
    let booked = book(context, id, "refund", -amount);
    let refund = context.world.refunds.get_mut(id).expect("it was just read");
    refund.balance_transaction = Some(booked);
    refund.waits_for_balance = false;
    let at = context.now.plus_seconds(CHANGE_SECONDS);
    match aftermath {
        Some(Aftermath::FailingRefund) => context.world.timers.set(at, Due::RefundFails(id.to_owned())),
        Some(Aftermath::PendingRefund) => context.world.timers.set(at, Due::RefundSettles(id.to_owned())),
        _ => {}
    }
    aftermath != Some(Aftermath::PendingRefund)
}

/// Pays the refunds that wait for money, the oldest first, as far as it goes.
/// Source: <https://docs.stripe.com/refunds#pending-refunds>.
pub fn pay_waiting(context: &mut Context<'_>) {
    let waiting = std::mem::take(&mut context.world.waiting_refunds);
    for id in waiting {
        let Some(refund) = context.world.refunds.get(&id).filter(|refund| refund.waits_for_balance) else {
            continue;
        };
        let covered = !context.world.terms.refunds_wait_for_balance
            || balance_transaction::covers(context.world, refund.amount, &refund.currency);
        if !covered {
            context.world.waiting_refunds.push_back(id);
            continue;
        }
        let before = refund.render();
        if pay(context, &id) {
            context.world.refunds.get_mut(&id).expect("it was just read").status = RefundStatus::Succeeded;
        }
        updated(context, &id, &before);
    }
}

fn book(context: &mut Context<'_>, refund: &str, kind: &'static str, amount: i64) -> String {
    let refund = context.world.refunds.get(refund).expect("the caller holds it");
    let entry = Entry {
        amount,
        currency: refund.currency.clone(),
        fee: Fee::None,
        kind,
        reporting_category: kind,
        source: refund.id.clone(),
        description: Some("REFUND FOR CHARGE".to_owned()),
        available_at_once: true,
    };
    balance_transaction::book(context, entry)
}

/// A pending refund succeeds: `refund.updated`, and the older `charge.refund.updated`.
pub fn settle(context: &mut Context<'_>, id: &str) {
    let Some(refund) = context.world.refunds.get(id).filter(|refund| refund.status == RefundStatus::Pending)
    else {
        return;
    };
    let before = refund.render();
    if refund.waits_for_balance {
        pay(context, id);
    }
    context.world.refunds.get_mut(id).expect("it was just read").status = RefundStatus::Succeeded;
    updated(context, id, &before);
}

/// A refund fails, also one that had succeeded: the money comes back and can be refunded again.
pub fn fail(context: &mut Context<'_>, id: &str, reason: &str) {
    let Some(refund) = context.world.refunds.get(id) else { return };
    if matches!(refund.status, RefundStatus::Failed | RefundStatus::Canceled) {
        return;
    }
    let (before, amount, charge) = (refund.render(), refund.amount, refund.charge.clone());
    let taken = refund.balance_transaction.is_some();
    let back = taken.then(|| book(context, id, "refund_failure", amount));
    let refund = context.world.refunds.get_mut(id).expect("it was just read");
    refund.status = RefundStatus::Failed;
    refund.failure_reason = Some(reason.to_owned());
    refund.failure_balance_transaction = back;
    refund.waits_for_balance = false;
    let charge = context.world.charges.get_mut(&charge).expect("charges are never removed");
    charge.amount_refunded -= amount;
    updated(context, id, &before);
    let after = context.world.refund(id);
    context.emit("refund.failed", &after);
}

fn updated(context: &mut Context<'_>, id: &str, before: &serde_json::Value) {
    let after = context.world.refund(id);
    context.emit_updated("refund.updated", before, &after);
    context.emit_updated("charge.refund.updated", before, &after);
}
