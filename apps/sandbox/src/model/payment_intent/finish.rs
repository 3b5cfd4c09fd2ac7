//! Capturing, cancelling and raising an authorization.

use serde_json::Value;

use super::{Owner, Status, change, get, unexpected_state};
use crate::model::context::Context;
use crate::model::currency::format_amount;
use crate::model::error::{ApiError, ApiResult};
use crate::model::params::Params;
use crate::model::{charge, dispute};

/// `POST /v1/payment_intents/{id}/capture`. What is not captured is released.
pub fn capture(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    let intent = get(context, id)?;
    if intent.status != Status::RequiresCapture {
        let message = if intent.status == Status::Succeeded && !intent.captures_automatically() {
            "The remaining amount on this PaymentIntent could not be captured because the remainder of the authorized amount has been released.".to_owned()
        } else {
            format!(
                "This PaymentIntent could not be captured because it has a status of {}. Only a PaymentIntent with one of the following statuses may be captured: requires_capture.",
                intent.status.text()
            )
        };
        return Err(unexpected_state(context, id, message));
    }
    if params.value("final_capture") == Some(&Value::Bool(false)) {
        let message =
            "This PaymentIntent cannot be captured more than once: multicapture is not available for it.";
        return Err(ApiError::refused(message).param("final_capture").into());
    }
    let amount = amount_to_capture(params, intent.amount_capturable, &intent.currency)
        .map_err(|error| error.with("payment_intent", context.world.intent(id)))?;
    let mut metadata = intent.metadata.clone();
    params.merge_metadata(&mut metadata)?;
    let intent = change(context, id);
    intent.metadata = metadata;
    intent.status = Status::Succeeded;
    intent.amount_received = amount;
    intent.amount_capturable = 0;
    let held = intent.latest_charge.clone().expect("an authorized intent has a charge");
    let captured = context.world.charges.get_mut(&held).expect("charges are never removed");
    captured.captured = true;
    captured.amount_captured = amount;
    charge::book_soon(context, &held);
    let captured = context.world.charge(&held);
    context.emit("charge.captured", &captured);
    dispute::after_capture(context, &held);
    let intent = context.world.intent(id);
    context.emit("payment_intent.succeeded", &intent);
    Ok(intent)
}

fn amount_to_capture(params: Params<'_>, capturable: i64, currency: &str) -> ApiResult<i64> {
    let Some(amount) = params.integer("amount_to_capture") else { return Ok(capturable) };
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(ApiError::refused(message).code("parameter_invalid_integer").param("amount").into());
    }
    if amount > capturable {
        let message = format!(
            "The payment could not be captured because the requested capture amount is greater than the amount you can capture for this charge. You can capture up to {}.",
            format_amount(capturable, currency)
        );
        return Err(ApiError::refused(message).code("amount_too_large").param("amount_to_capture").into());
    }
    Ok(amount)
}

/// `POST /v1/payment_intents/{id}/cancel`.
pub fn cancel(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    let intent = get(context, id)?;
    if matches!(intent.status, Status::Succeeded | Status::Canceled) {
        let message = format!(
            "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_reauthorization, requires_confirmation, requires_action, expired, processing.",
            intent.status.text()
        );
        return Err(unexpected_state(context, id, message));
    }
    if intent.status == Status::Processing {
        let message = "You cannot cancel this PaymentIntent because it is processing and the payment method no longer allows it.";
        return Err(unexpected_state(context, id, message.to_owned()));
    }
    let by_checkout = matches!(intent.owner, Some(Owner::CheckoutSession(_)));
    if by_checkout && intent.status != Status::RequiresCapture {
        let message = "You cannot cancel this PaymentIntent because it was created by a Checkout Session. Expire the Checkout Session instead.";
        return Err(unexpected_state(context, id, message.to_owned()));
    }
    cancel_now(context, id, params.text("cancellation_reason"));
    Ok(context.world.intent(id))
}

/// Cancels without asking whether it may be done by the API.
pub fn cancel_now(context: &mut Context<'_>, id: &str, reason: Option<&str>) {
    let now = context.now.seconds();
    let intent = change(context, id);
    intent.status = Status::Canceled;
    intent.canceled_at = Some(now);
    intent.cancellation_reason = reason.map(str::to_owned);
    intent.amount_capturable = 0;
    intent.next_action = None;
    let held = intent.latest_charge.clone();
    let uncaptured =
        held.and_then(|held| context.world.charges.get_mut(&held)).filter(|charge| !charge.captured);
    if let Some(charge) = uncaptured {
        charge.released = true;
    }
    let intent = context.world.intent(id);
    context.emit("payment_intent.canceled", &intent);
}

/// A hold runs out: `charge.expired`, then `payment_intent.canceled`.
pub fn expire_hold(context: &mut Context<'_>, id: &str) {
    let Some(intent) = context.world.payment_intents.get(id) else { return };
    if intent.status != Status::RequiresCapture {
        return;
    }
    if let Some(held) = intent.latest_charge.clone() {
        let charge = context.world.charge(&held);
        context.emit("charge.expired", &charge);
    }
    cancel_now(context, id, Some("automatic"));
}

/// `POST /v1/payment_intents/{id}/increment_authorization`.
/// Source: <https://docs.stripe.com/api/payment_intents/increment_authorization>.
pub fn increment_authorization(
    context: &mut Context<'_>,
    ids: &[&str],
    params: Params<'_>,
) -> ApiResult<Value> {
    let id = ids[0];
    let intent = get(context, id)?;
    if intent.status != Status::RequiresCapture {
        let message = format!(
            "This PaymentIntent's authorization could not be incremented because it has a status of {}. Only a PaymentIntent with one of the following statuses may be incremented: requires_capture.",
            intent.status.text()
        );
        return Err(unexpected_state(context, id, message));
    }
    let amount = params.positive("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    if amount <= intent.amount {
        let message = "The new amount must be greater than the currently authorized amount.";
        return Err(ApiError::refused(message).param("amount").into());
    }
    if intent.increments >= 10 {
        return Err(unexpected_state(
            context,
            id,
            "The authorization was incremented ten times already.".to_owned(),
        ));
    }
    crate::model::currency::check_amount(amount, &intent.currency)?;
    let mut metadata = intent.metadata.clone();
    params.merge_metadata(&mut metadata)?;
    let intent = change(context, id);
    intent.metadata = metadata;
    intent.amount = amount;
    intent.amount_capturable = amount;
    intent.increments += 1;
    let held = intent.latest_charge.clone().expect("an authorized intent has a charge");
    let charge = context.world.charges.get_mut(&held).expect("charges are never removed");
    charge.amount = amount;
    charge.card["amount_authorized"] = amount.into();
    let intent = context.world.intent(id);
    context.emit("payment_intent.amount_capturable_updated", &intent);
    Ok(intent)
}
