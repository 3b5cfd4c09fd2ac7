//! How an invoice is paid, tried again, or never paid.

use serde_json::{Map, Value, json};

use super::{InvoiceStatus, change, finalize_now, get};
use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::params::Params;
use crate::model::payment_intent::{self, Owner, Status as IntentStatus};
use crate::model::subscription;
use crate::model::time::DAY;
use crate::model::timers::Due;

/// Waits between the tries to collect; then the subscription is cancelled.
/// Source: <https://docs.stripe.com/billing/revenue-recovery/smart-retries>.
const RETRY_DAYS: [i64; 3] = [3, 5, 7];

/// The invoice of an intent follows it: paid, failed, or waiting for the customer.
pub fn follow(context: &mut Context<'_>, intent: &str) {
    let Some(intent) = context.world.payment_intents.get(intent) else { return };
    let Some(Owner::Invoice(id)) = intent.owner.clone() else { return };
    match intent.status {
        IntentStatus::Succeeded => settle(context, &id),
        IntentStatus::RequiresAction => {
            let body = context.world.invoice(&id);
            context.emit("invoice.payment_action_required", &body);
        }
        IntentStatus::RequiresPaymentMethod if intent.last_payment_error.is_some() => fail(context, &id),
        _ => {}
    }
}

pub(super) fn settle(context: &mut Context<'_>, id: &str) {
    let now = context.now.seconds();
    let Some(invoice) = context.world.invoices.get_mut(id).filter(|invoice| invoice.can_be_paid()) else {
        return;
    };
    invoice.status = InvoiceStatus::Paid;
    invoice.amount_paid = invoice.total();
    invoice.paid_at = Some(now);
    invoice.attempts += 1;
    invoice.next_attempt = None;
    let payment = invoice.payment.clone();
    if let Some(payment) = payment {
        context.world.invoice_payments.get_mut(&payment).expect("payments are never removed").paid_at =
            Some(now);
        let body = context.world.invoice_payment(&payment);
        context.emit("invoice_payment.paid", &body);
    }
    let body = context.world.invoice(id);
    context.emit("invoice.paid", &body);
    context.emit("invoice.payment_succeeded", &body);
    subscription::invoice_was_paid(context, id);
}

fn fail(context: &mut Context<'_>, id: &str) {
    let now = context.now;
    let invoice = change(context, id);
    let place = usize::try_from(invoice.attempts).unwrap_or(usize::MAX);
    invoice.attempts += 1;
    let renews = invoice.billing_reason == "subscription_cycle";
    let retry = RETRY_DAYS.get(place).filter(|_| renews).map(|days| now.plus_seconds(days * DAY));
    invoice.next_attempt = retry.map(crate::model::time::Time::seconds);
    if let Some(at) = retry {
        context.world.timers.set(at, Due::InvoiceRetries(id.to_owned()));
    }
    let body = context.world.invoice(id);
    context.emit("invoice.payment_failed", &body);
    subscription::invoice_has_failed(context, id, retry.is_none());
}

/// Charges the saved card, off session.
///
/// # Errors
/// 402 for a decline.
pub fn collect(context: &mut Context<'_>, id: &str, method: Option<&str>) -> ApiResult<()> {
    let invoice = get(context, id)?;
    let Some(intent) = invoice.payment_intent.clone() else { return Ok(()) };
    let method = method.map(str::to_owned).or_else(|| subscription::saved_method(context, invoice));
    let Some(method) = method else {
        let message = "There is no `default_payment_method` set on this Customer or Invoice. Please set a default payment method.";
        return Err(ApiError::refused(message).code("resource_missing").into());
    };
    let mut parameters = Map::new();
    parameters.insert("payment_method".into(), json!(method));
    parameters.insert("off_session".into(), json!(true));
    payment_intent::confirm(context, &[&intent], Params::new(&parameters)).map(drop)
}

/// `POST /v1/invoices/{id}/pay`.
pub fn pay(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    match get(context, id)?.status {
        InvoiceStatus::Draft => finalize_now(context, id),
        InvoiceStatus::Open => {}
        InvoiceStatus::Paid => return Err(ApiError::refused("Invoice is already paid").into()),
        InvoiceStatus::Void | InvoiceStatus::Uncollectible => {
            return Err(ApiError::refused("This invoice can no longer be paid.").into());
        }
    }
    if params.boolean("paid_out_of_band") {
        if let Some(intent) = get(context, id)?.payment_intent.clone() {
            payment_intent::cancel_now(context, &intent, None);
        }
        settle(context, id);
        return Ok(context.world.invoice(id));
    }
    if !get(context, id)?.is_settled() {
        collect(context, id, params.text("payment_method"))?;
    }
    Ok(context.world.invoice(id))
}

/// An open invoice that will never be paid: its intent ends with it.
/// Source: <https://docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason>.
pub fn void(context: &mut Context<'_>, id: &str) {
    let now = context.now.seconds();
    let Some(invoice) = context.world.invoices.get_mut(id).filter(|one| one.status == InvoiceStatus::Open)
    else {
        return;
    };
    invoice.status = InvoiceStatus::Void;
    invoice.voided_at = Some(now);
    invoice.next_attempt = None;
    let (intent, payment) = (invoice.payment_intent.clone(), invoice.payment.clone());
    if let Some(payment) = payment.and_then(|payment| context.world.invoice_payments.get_mut(&payment)) {
        payment.canceled_at = Some(now);
    }
    if let Some(intent) = intent {
        payment_intent::cancel_now(context, &intent, Some("void_invoice"));
    }
    let body = context.world.invoice(id);
    context.emit("invoice.voided", &body);
}

/// Tries an open invoice again.
pub fn retry(context: &mut Context<'_>, id: &str) {
    if get(context, id).is_ok_and(|invoice| invoice.status == InvoiceStatus::Open) {
        // A decline has its own events; without a card nothing was tried yet.
        if collect(context, id, None).is_err_and(|error| error.status != 402) {
            fail(context, id);
        }
    }
}
