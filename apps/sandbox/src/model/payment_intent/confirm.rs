//! Confirming: from a payment method to a charge, a challenge or a decline.

use serde_json::{Value, json};

use super::create::given_method;
use super::{Status, change, get, unexpected_state};
use crate::model::cards::{self, Authentication, Decline};
use crate::model::charge::{self, ThreeDSecure};
use crate::model::context::Context;
use crate::model::currency;
use crate::model::error::{ApiError, ApiResult, ErrorType, doc_url};
use crate::model::params::Params;
use crate::model::payment_method::{self, BillingDetails};
use crate::model::time::Time;
use crate::model::timers::Due;
use crate::model::{customer, dispute, invoice};

/// How long a delayed method takes here.
const PROCESSING_SECONDS: i64 = 5;

/// How a try is made.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub off_session: bool,
    pub error_on_requires_action: bool,
    pub return_url: Option<String>,
}

/// `POST /v1/payment_intents/{id}/confirm`.
pub fn confirm(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    check_confirmable(context, id)?;
    let intent = get(context, id)?;
    if let Some(amount) = params.integer("amount_to_confirm").filter(|amount| *amount != intent.amount) {
        let message = format!(
            "The provided amount_to_confirm ({amount}) does not match the PaymentIntent's amount ({}).",
            intent.amount
        );
        return Err(ApiError::refused(message).param("amount_to_confirm").into());
    }
    let customer = intent.customer.clone();
    let method = given_method(context, params, customer.as_deref())?;
    confirm_with(context, id, method, params)
}

/// Confirms with a payment method, or with the one that the intent has.
pub(super) fn confirm_with(
    context: &mut Context<'_>,
    id: &str,
    method: Option<String>,
    params: Params<'_>,
) -> ApiResult<Value> {
    let Some(method) = method.or(get(context, id)?.payment_method.clone()) else {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.";
        return Err(unexpected_state(context, id, message.to_owned()));
    };
    apply_choices(context, id, params);
    let off_session = params.value("off_session").is_some_and(|given| given != &Value::Bool(false));
    let attempt = Attempt {
        off_session,
        error_on_requires_action: params.boolean("error_on_requires_action"),
        return_url: params.owned("return_url"),
    };
    pay(context, id, &method, attempt)?;
    Ok(context.world.intent(id))
}

fn apply_choices(context: &mut Context<'_>, id: &str, params: Params<'_>) {
    let intent = change(context, id);
    params.update_text("receipt_email", &mut intent.receipt_email);
    params.update_text("setup_future_usage", &mut intent.setup_future_usage);
    if let Some(method) = params.text("capture_method") {
        intent.capture_method = method.to_owned();
    }
    if params.has("shipping") {
        intent.shipping = params.object("shipping").map(super::create::shipping);
    }
}

fn check_confirmable(context: &Context<'_>, id: &str) -> ApiResult<()> {
    let intent = get(context, id)?;
    let message = match intent.status {
        Status::RequiresPaymentMethod | Status::RequiresConfirmation | Status::RequiresAction => return Ok(()),
        Status::Succeeded => {
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
                .to_owned()
        }
        Status::Processing | Status::RequiresCapture | Status::Canceled => format!(
            "You cannot confirm this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action.",
            intent.status.text()
        ),
    };
    Err(unexpected_state(context, id, message))
}

/// Pays with a card that the customer typed in, as Stripe.js does in the browser.
///
/// # Errors
/// 402 with Stripe's error body for a decline; the intent then waits for another card.
pub fn pay_with(
    context: &mut Context<'_>,
    id: &str,
    number: &str,
    billing: BillingDetails,
    attempt: Attempt,
) -> ApiResult<()> {
    check_confirmable(context, id)?;
    let method = payment_method::create(context, number, billing)?;
    pay(context, id, &method, attempt)
}

/// One try with one payment method.
fn pay(context: &mut Context<'_>, id: &str, method: &str, attempt: Attempt) -> ApiResult<()> {
    let intent = change(context, id);
    intent.payment_method = Some(method.to_owned());
    intent.off_session = attempt.off_session;
    intent.last_payment_error = None;
    intent.next_action = None;
    if attempt.return_url.is_some() {
        intent.return_url.clone_from(&attempt.return_url);
    }
    currency::check_amount(intent.amount, &intent.currency.clone())?;
    if !needs_authentication(context, id, method, attempt.off_session) {
        return settle(context, id, ThreeDSecure::NotTried);
    }
    if attempt.off_session || attempt.error_on_requires_action {
        return decline(context, id, cards::AUTHENTICATION_REQUIRED, None);
    }
    challenge(context, id);
    Ok(())
}

fn needs_authentication(context: &Context<'_>, id: &str, method: &str, off_session: bool) -> bool {
    let Some(method) = context.world.payment_methods.get(method) else { return false };
    let intent = context.world.payment_intents.get(id).expect("the caller found it");
    let asked =
        intent.payment_method_options["card"]["request_three_d_secure"].as_str().unwrap_or("automatic");
    match method.card().authentication {
        Authentication::Always => true,
        Authentication::UntilSetUp => !method.set_up,
        Authentication::OnSession => !off_session,
        Authentication::LookupFails => false,
        Authentication::NotRequired => {
            asked == "challenge" && method.card().supports_three_d_secure && !off_session
        }
    }
}

fn challenge(context: &mut Context<'_>, id: &str) {
    let url = format!("{}/authenticate/{id}", context.world.public_url);
    let intent = change(context, id);
    intent.status = Status::RequiresAction;
    intent.next_action = Some(match &intent.return_url {
        Some(return_url) => {
            json!({"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"})
        }
        None => {
            json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": url, "type": "three_d_secure_redirect"}})
        }
    });
    let intent = context.world.intent(id);
    context.emit("payment_intent.requires_action", &intent);
    invoice::follow(context, id);
}

/// The customer passed or failed 3-D Secure.
///
/// # Errors
/// 400 when the intent asks for none; 402 when it was failed, or the card declines afterwards.
pub fn authenticate(context: &mut Context<'_>, id: &str, passed: bool) -> ApiResult<()> {
    let intent = get(context, id)?;
    if intent.status != Status::RequiresAction {
        let message = format!(
            "This PaymentIntent does not wait for authentication: it has a status of {}.",
            intent.status.text()
        );
        return Err(unexpected_state(context, id, message));
    }
    if passed {
        return settle(context, id, ThreeDSecure::Passed);
    }
    let message = "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again.";
    let failure = ApiError {
        kind: ErrorType::InvalidRequest,
        ..ApiError::card("payment_intent_authentication_failure", message)
    };
    Err(fail(context, id, failure, None))
}

/// Charges the card, after whatever authentication it needed.
///
/// # Errors
/// 402 when the issuer declines; the intent then waits for another payment method.
pub fn settle(context: &mut Context<'_>, id: &str, secure: ThreeDSecure) -> ApiResult<()> {
    let intent = get(context, id)?;
    let method = intent.payment_method.as_deref().and_then(|id| context.world.payment_methods.get(id));
    let method = method.expect("a payment is settled with a payment method");
    if let Some(reason) = method.card().decline {
        let charge = charge::create(context, id, secure, Some(reason));
        return decline(context, id, reason, Some(charge));
    }
    let delayed = method.card().delayed.is_some();
    let charge = charge::create(context, id, secure, None);
    if delayed {
        process(context, id, &charge);
    } else {
        succeed(context, id, &charge, secure);
    }
    Ok(())
}

/// A delayed method: the outcome comes later.
/// Source: <https://docs.stripe.com/payments/payment-methods#delayed-notification>.
fn process(context: &mut Context<'_>, id: &str, charge: &str) {
    let at = context.now.plus_seconds(PROCESSING_SECONDS);
    context.world.timers.set(at, Due::PaymentSettles(id.to_owned()));
    let intent = change(context, id);
    intent.status = Status::Processing;
    intent.latest_charge = Some(charge.to_owned());
    intent.charges.push(charge.to_owned());
    if !intent.payment_method_types.iter().any(|kind| kind == "sepa_debit") {
        intent.payment_method_types.push("sepa_debit".to_owned());
    }
    let pending = context.world.charge(charge);
    context.emit("charge.pending", &pending);
    let intent = context.world.intent(id);
    context.emit("payment_intent.processing", &intent);
}

/// The outcome of a delayed payment.
pub fn conclude(context: &mut Context<'_>, id: &str) {
    let Some(intent) = context.world.payment_intents.get(id).filter(|one| one.status == Status::Processing)
    else {
        return;
    };
    let charge = intent.latest_charge.clone().expect("a processing intent has a charge");
    let method = intent.payment_method.as_deref().and_then(|id| context.world.payment_methods.get(id));
    if method.is_some_and(|method| method.card().delayed == Some(true)) {
        charge::conclude(context, &charge, None);
        let intent = change(context, id);
        intent.status = Status::Succeeded;
        intent.amount_received = intent.amount;
        charge::book(context, &charge);
        let charged = context.world.charge(&charge);
        context.emit("charge.succeeded", &charged);
        let intent = context.world.intent(id);
        context.emit("payment_intent.succeeded", &intent);
        invoice::follow(context, id);
        return;
    }
    charge::conclude(context, &charge, Some(cards::GENERIC));
    let error = ApiError::card("card_declined", "The customer's bank refused the debit.");
    fail(context, id, error.code("payment_method_provider_decline"), Some(charge));
}

fn succeed(context: &mut Context<'_>, id: &str, charge: &str, secure: ThreeDSecure) {
    let ends = context.world.charges.get(charge).and_then(|charge| charge.capture_before);
    let intent = change(context, id);
    intent.latest_charge = Some(charge.to_owned());
    intent.charges.push(charge.to_owned());
    intent.next_action = None;
    let captured = intent.captures_automatically();
    let asynchronous = intent.capture_method == "automatic_async";
    if captured {
        intent.status = Status::Succeeded;
        intent.amount_received = intent.amount;
    } else {
        intent.status = Status::RequiresCapture;
        intent.amount_capturable = intent.amount;
    }
    if let Some(ends) = ends {
        context.world.timers.set(Time::from_seconds(ends), Due::HoldExpires(id.to_owned()));
    }
    customer::save_method(context, id, secure == ThreeDSecure::Passed);
    if captured && asynchronous {
        charge::book_soon(context, charge);
    } else if captured {
        charge::book(context, charge);
    }
    let charged = context.world.charge(charge);
    context.emit("charge.succeeded", &charged);
    if captured {
        dispute::after_capture(context, charge);
    }
    let intent = context.world.intent(id);
    let kind = if captured { "payment_intent.succeeded" } else { "payment_intent.amount_capturable_updated" };
    context.emit(kind, &intent);
    invoice::follow(context, id);
}

fn decline(context: &mut Context<'_>, id: &str, reason: Decline, charge: Option<String>) -> ApiResult<()> {
    let mut failure = ApiError::card(reason.code, reason.message);
    if let Some(code) = reason.decline_code {
        failure = failure.with("decline_code", json!(code));
    }
    if let Some(advice) = reason.advice {
        failure = failure.with("advice_code", json!(advice));
    }
    Err(fail(context, id, failure, charge))
}

/// Back to waiting for a payment method: the events, and the error that the caller gets.
fn fail(context: &mut Context<'_>, id: &str, failure: ApiError, charge: Option<String>) -> Box<ApiError> {
    let livemode = context.world.livemode;
    let intent = change(context, id);
    let method = intent.payment_method.take();
    intent.status = Status::RequiresPaymentMethod;
    intent.next_action = None;
    if let Some(charge) = charge.as_ref().filter(|charge| intent.latest_charge.as_ref() != Some(charge)) {
        intent.latest_charge = Some(charge.clone());
        intent.charges.push(charge.clone());
    }
    let method =
        method.and_then(|id| context.world.payment_methods.get(&id)).map(|method| method.render(livemode));
    let mut failure = failure;
    if let Some(charge) = &charge {
        failure = failure.with("charge", json!(charge));
    }
    if let Some(method) = method {
        let kind = method["type"].clone();
        failure = failure.with("payment_method", method).with("payment_method_type", json!(kind));
    }
    let mut last_error = failure.body()["error"].take();
    last_error["doc_url"] = json!(doc_url(failure.code.unwrap_or_default()));
    change(context, id).last_payment_error = Some(last_error);
    if let Some(charge) = &charge {
        let charge = context.world.charge(charge);
        context.emit("charge.failed", &charge);
    }
    let intent = context.world.intent(id);
    context.emit("payment_intent.payment_failed", &intent);
    invoice::follow(context, id);
    failure.with("payment_intent", intent).into()
}
