//! What becomes of a subscription: paid, renewed, changed, past due, ended.

use serde_json::Value;

use super::create::{new_invoice, new_item, recurring_of};
use super::{Subscription, SubscriptionStatus as Status, change, get, period};
use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::invoice;
use crate::model::params::Params;
use crate::model::payment_method;
use crate::model::price;
use crate::model::time::Time;
use crate::model::timers::Due;

/// Changes a subscription and tells what changed.
fn changed(context: &mut Context<'_>, id: &str, work: impl FnOnce(&mut Subscription)) {
    let before = context.world.subscription(id);
    work(change(context, id));
    let after = context.world.subscription(id);
    if before != after {
        context.emit_updated("customer.subscription.updated", &before, &after);
    }
}

/// Its invoice was paid: the subscription is active, and keeps the card if it should.
pub fn invoice_was_paid(context: &mut Context<'_>, invoice: &str) {
    let Some(invoice) = context.world.invoices.get(invoice) else { return };
    let id = invoice.subscription.clone();
    let intent = invoice.payment_intent.as_ref().and_then(|id| context.world.payment_intents.get(id));
    let method = intent.and_then(|intent| intent.payment_method.clone());
    let ended = get(context, &id).is_ok_and(|one| one.ended_at.is_some());
    if ended {
        return;
    }
    changed(context, &id, |one| {
        if matches!(one.status, Status::Incomplete | Status::PastDue) {
            one.status = Status::Active;
        }
        if one.saves_method && method.is_some() {
            one.default_payment_method = method;
        }
    });
}

/// The card that a subscription without a first payment asked for is there: renewals are charged to it.
/// Source: <https://docs.stripe.com/api/subscriptions/object#subscription_object-pending_setup_intent>.
pub fn setup_has_succeeded(context: &mut Context<'_>, intent: &str, method: &str) {
    let asks = |one: &&Subscription| one.pending_setup_intent.as_deref() == Some(intent);
    let Some(id) = context.world.subscriptions.iter().rev().find(asks).map(|one| one.id.clone()) else {
        return;
    };
    changed(context, &id, |one| {
        one.pending_setup_intent = None;
        one.default_payment_method = Some(method.to_owned());
    });
}

/// Its invoice could not be collected; `finally` says that it will not be tried again.
pub fn invoice_has_failed(context: &mut Context<'_>, invoice: &str, finally: bool) {
    let Some(invoice) = context.world.invoices.get(invoice) else { return };
    let (id, renews) = (invoice.subscription.clone(), invoice.billing_reason == "subscription_cycle");
    if !renews {
        return;
    }
    if finally {
        end(context, &id, Status::Canceled, Some("payment_failed"));
        return;
    }
    changed(context, &id, |one| {
        if one.status == Status::Active {
            one.status = Status::PastDue;
        }
    });
}

/// The period ends: the next one begins with an invoice, or the subscription ends.
pub fn renew(context: &mut Context<'_>, id: &str) {
    let Some(known) = context.world.subscriptions.get(id) else { return };
    // A timer of a period that was changed since.
    if known.ended_at.is_some() || known.period_end != context.now.seconds() {
        return;
    }
    if known.cancel_at_period_end {
        end(context, id, Status::Canceled, Some("cancellation_requested"));
        return;
    }
    if known.status == Status::Incomplete {
        return;
    }
    let price = known.items.first().and_then(|item| context.world.prices.get(&item.price));
    let Some(recurring) = price.and_then(|price| price.recurring.clone()) else { return };
    let (start, anchor) = (known.period_end, known.anchor);
    let ends = period::end(start, anchor, &recurring);
    changed(context, id, |one| {
        one.period_start = start;
        one.period_end = ends;
        if one.status == Status::Trialing {
            one.status = Status::Active;
        }
    });
    context.world.timers.set(Time::from_seconds(ends), Due::SubscriptionRenews(id.to_owned()));
    let next = new_invoice(context, id, "subscription_cycle", &[]);
    let next = invoice::draft(context, next, true);
    change(context, id).latest_invoice = Some(next);
}

/// Three days before a trial ends.
pub fn trial_will_end(context: &mut Context<'_>, id: &str) {
    let on_trial = context.world.subscriptions.get(id).is_some_and(|one| one.status == Status::Trialing);
    if on_trial {
        let body = context.world.subscription(id);
        context.emit("customer.subscription.trial_will_end", &body);
    }
}

/// The first payment never came.
pub fn expire_incomplete(context: &mut Context<'_>, id: &str) {
    let incomplete = context.world.subscriptions.get(id).filter(|one| one.status == Status::Incomplete);
    let Some(invoice) = incomplete.map(|one| one.latest_invoice.clone()) else { return };
    let now = context.now.seconds();
    changed(context, id, |one| {
        one.status = Status::IncompleteExpired;
        one.ended_at = Some(now);
    });
    if let Some(invoice) = invoice {
        invoice::void(context, &invoice);
    }
}

fn end(context: &mut Context<'_>, id: &str, status: Status, reason: Option<&str>) {
    let now = context.now.seconds();
    let one = change(context, id);
    one.status = status;
    one.ended_at = Some(now);
    one.canceled_at = one.canceled_at.or(Some(now));
    one.cancellation = reason.map(str::to_owned);
    let body = context.world.subscription(id);
    context.emit("customer.subscription.deleted", &body);
}

/// `DELETE /v1/subscriptions/{id}`: cancels now.
pub fn cancel(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    check_alive(context, ids[0])?;
    end(context, ids[0], Status::Canceled, Some("cancellation_requested"));
    Ok(context.world.subscription(ids[0]))
}

fn check_alive(context: &Context<'_>, id: &str) -> ApiResult<()> {
    match get(context, id)?.status {
        Status::Canceled | Status::IncompleteExpired => {
            Err(ApiError::no_such("subscription", id, "id").into())
        }
        Status::Incomplete | Status::Trialing | Status::Active | Status::PastDue => Ok(()),
    }
}

/// `POST /v1/subscriptions/{id}`. Items change from the next period on; nothing is prorated.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    check_alive(context, id)?;
    let mut fresh = get(context, id)?.clone();
    params.merge_metadata(&mut fresh.metadata)?;
    params.update_text("description", &mut fresh.description);
    if let Some(method) = params.text("default_payment_method") {
        fresh.default_payment_method =
            Some(payment_method::resolve(context, method, "default_payment_method")?);
    }
    if let Some(ends) = params.value("cancel_at_period_end").and_then(Value::as_bool) {
        fresh.cancel_at_period_end = ends;
        fresh.canceled_at = ends.then_some(context.now.seconds());
        fresh.cancellation = ends.then(|| "cancellation_requested".to_owned());
    }
    for (index, given) in params.objects("items").enumerate() {
        change_item(context, &mut fresh, given, &format!("items[{index}]"))?;
    }
    let ends_trial = params.text("trial_end") == Some("now") && fresh.status == Status::Trialing;
    if ends_trial {
        fresh.trial_end = Some(context.now.seconds());
        fresh.period_end = context.now.seconds();
        fresh.anchor = context.now.seconds();
    }
    changed(context, id, |one| *one = fresh);
    if ends_trial {
        renew(context, id);
    }
    Ok(context.world.subscription(id))
}

fn change_item(
    context: &mut Context<'_>,
    fresh: &mut Subscription,
    given: Params<'_>,
    at: &str,
) -> ApiResult<()> {
    let Some(item) = given.text("id") else {
        let added = new_item(context, given, at)?;
        fresh.items.push(added);
        return recurring_of(context, &fresh.items).map(drop);
    };
    let place = fresh.items.iter().position(|known| known.id == item);
    let Some(place) = place else {
        return Err(ApiError::no_such("subscription_item", item, &format!("{at}[id]")).status(400).into());
    };
    if given.boolean("deleted") {
        if fresh.items.len() == 1 {
            let message = "A subscription must have at least one active plan. To cancel a subscription, please use the cancel API endpoint on /v1/subscriptions.";
            return Err(ApiError::refused(message).param(format!("{at}[deleted]")).into());
        }
        fresh.items.remove(place);
        return Ok(());
    }
    if given.has("price") || given.has("price_data") {
        fresh.items[place].price = price::line_price(context, given, at)?;
    }
    if let Some(quantity) = given.integer("quantity") {
        fresh.items[place].quantity = quantity.clamp(0, 999_999);
    }
    given.merge_metadata(&mut fresh.items[place].metadata)
}
