//! The customer's part: paying a Session on the hosted page.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{PaymentStatus, Status, change, details, get};
use crate::model::cards;
use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::params::Params;
use crate::model::payment_intent::{self, Attempt, Owner, Status as IntentStatus};
use crate::model::payment_method::BillingDetails;
use crate::model::setup_intent::{self, SetupStatus};
use crate::model::subscription;
use crate::model::time::{DAY, Time};
use crate::model::timers::Due;

/// What the customer typed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayDetails {
    /// A test card's number or its `pm_card_...` token.
    pub card: String,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    /// Answers the 3-D Secure challenge in the same step, if there is one.
    #[serde(default)]
    pub authenticate: Option<Authenticate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authenticate {
    Complete,
    Fail,
}

impl PayDetails {
    pub fn billing(&self) -> BillingDetails {
        BillingDetails { email: self.email.clone(), name: self.name.clone(), ..BillingDetails::default() }
    }
}

/// Pays an open Session. The answer is the Session; while 3-D Secure is missing its status says so.
///
/// # Errors
/// 402 for a decline (the Session stays open), 400 when the Session is not open, 404 when there is none.
pub fn pay(context: &mut Context<'_>, id: &str, mut given: PayDetails) -> ApiResult<Value> {
    let session = get(context, id)?;
    if session.status != Status::Open {
        return Err(not_open(session.status));
    }
    given.email = given.email.or_else(|| session.customer_email.clone()).or_else(|| {
        let customer = session.customer.as_deref().and_then(|id| context.world.customers.get(id));
        customer.and_then(|customer| customer.email.clone())
    });
    let email = given.email.get_or_insert_with(|| "customer@example.com".to_owned()).clone();
    change(context, id).customer_details = Some(details(Some(&email), given.name.as_deref()));
    let session = get(context, id)?;
    if session.mode == "setup" {
        return set_up(context, id, &given);
    }
    if session.mode == "subscription" {
        return subscribe(context, id, &given);
    }
    if session.amount() == 0 {
        complete(context, id, PaymentStatus::NoPaymentRequired);
        return Ok(context.world.session(id));
    }
    if cards::find(&given.card).is_err() {
        // Nothing is sent to Stripe: the form itself refuses what is no card number.
        return Err(ApiError::card("incorrect_number", "Your card number is incorrect.")
            .param("number")
            .into());
    }
    let intent = match &session.payment_intent {
        Some(intent) => intent.clone(),
        None => create_intent(context, id)?,
    };
    let attempt = Attempt { return_url: get(context, id)?.success_url(), ..Attempt::default() };
    payment_intent::pay_with(context, &intent, &given.card, given.billing(), attempt)?;
    if let (Some(answer), true) = (given.authenticate, waits(context, &intent)) {
        payment_intent::authenticate(context, &intent, answer == Authenticate::Complete)?;
    }
    follow(context, &intent);
    Ok(answer_of(context, id, &intent))
}

/// A Session of mode setup saves the card.
fn set_up(context: &mut Context<'_>, id: &str, given: &PayDetails) -> ApiResult<Value> {
    let session = get(context, id)?;
    let intent = match &session.setup_intent {
        Some(intent) => intent.clone(),
        None => {
            let mut parameters = session.setup_intent_data.clone();
            if let Some(customer) = &session.customer {
                parameters.insert("customer".into(), json!(customer));
            }
            let mut intent = setup_intent::new(context, Params::new(&parameters))?;
            intent.checkout_session = Some(id.to_owned());
            let intent_id = intent.id.clone();
            context.world.setup_intents.insert(intent);
            change(context, id).setup_intent = Some(intent_id.clone());
            let body = context.world.setup_intent(&intent_id);
            context.emit("setup_intent.created", &body);
            intent_id
        }
    };
    setup_intent::set_up_with(context, &intent, &given.card, given.billing())?;
    let waits = setup_intent::get(context, &intent)?.status == SetupStatus::RequiresAction;
    if let (Some(answer), true) = (given.authenticate, waits) {
        setup_intent::authenticate(context, &intent, answer == Authenticate::Complete)?;
    }
    follow_setup(context, &intent);
    let mut body = context.world.session(id);
    if setup_intent::get(context, &intent)?.status == SetupStatus::RequiresAction {
        body["status"] = json!("requires_action");
        body["intent"] = json!(intent);
    }
    Ok(body)
}

/// A Session of mode subscription: the customer, the subscription, then its first invoice is paid.
/// Stripe makes the subscription only once it is paid for.
fn subscribe(context: &mut Context<'_>, id: &str, given: &PayDetails) -> ApiResult<Value> {
    if get(context, id)?.customer.is_none() {
        create_customer(context, id)?;
    }
    let subscription = match get(context, id)?.subscription.clone() {
        Some(subscription) => subscription,
        None => subscription::of_session(context, id)?,
    };
    let Some(intent) = subscription::first_intent(context, &subscription) else {
        complete(context, id, PaymentStatus::NoPaymentRequired);
        return Ok(context.world.session(id));
    };
    payment_intent::pay_with(context, &intent, &given.card, given.billing(), Attempt::default())?;
    if let (Some(answer), true) = (given.authenticate, waits(context, &intent)) {
        payment_intent::authenticate(context, &intent, answer == Authenticate::Complete)?;
    }
    follow(context, &intent);
    Ok(answer_of(context, id, &intent))
}

/// The outcome of a delayed payment: the Session has been complete since the customer agreed.
pub fn conclude(context: &mut Context<'_>, intent: &str) {
    let Some(intent) = context.world.payment_intents.get(intent) else { return };
    let Some(Owner::CheckoutSession(session)) = intent.owner.clone() else { return };
    let paid = intent.status == IntentStatus::Succeeded;
    if get(context, &session).is_ok_and(|one| one.status != Status::Complete) {
        return;
    }
    if paid {
        change(context, &session).payment_status = PaymentStatus::Paid;
    }
    let body = context.world.session(&session);
    let outcome = if paid { "succeeded" } else { "failed" };
    context.emit(&format!("checkout.session.async_payment_{outcome}"), &body);
}

/// A new Session with the lines of an expired one that offers its recovery.
/// Source: <https://docs.stripe.com/payments/checkout/abandoned-carts>.
///
/// # Errors
/// 400 when the Session offers none.
pub fn recover(context: &mut Context<'_>, id: &str) -> ApiResult<Value> {
    let session = get(context, id)?;
    let now = context.now.seconds();
    let offered = session.recovery.as_ref().and_then(|recovery| recovery["expires_at"].as_i64());
    if session.status != Status::Expired || offered.is_none_or(|until| until < now) {
        return Err(ApiError::refused("This Checkout Session cannot be recovered.").into());
    }
    let mut fresh = session.clone();
    let prefix = if context.world.livemode { "cs_live" } else { "cs_test" };
    fresh.id = format!("{prefix}_a1{}", context.random.text(56));
    fresh.created = now;
    fresh.status = Status::Open;
    fresh.expires_at = now + DAY;
    fresh.recovered_from = Some(id.to_owned());
    fresh.recovery = None;
    (fresh.payment_intent, fresh.setup_intent, fresh.subscription, fresh.invoice) = (None, None, None, None);
    let (new, at) = (fresh.id.clone(), Time::from_seconds(fresh.expires_at));
    context.world.checkout_sessions.insert(fresh);
    context.world.timers.set(at, Due::SessionExpires(new.clone()));
    Ok(context.world.session(&new))
}

/// A Session of mode setup is complete once its SetupIntent has succeeded.
pub fn follow_setup(context: &mut Context<'_>, intent: &str) {
    let Some(intent) = context.world.setup_intents.get(intent) else { return };
    let Some(session) = intent.checkout_session.clone().filter(|_| intent.status == SetupStatus::Succeeded)
    else {
        return;
    };
    if get(context, &session).is_ok_and(|session| session.status == Status::Open) {
        complete(context, &session, PaymentStatus::NoPaymentRequired);
    }
}

fn waits(context: &Context<'_>, intent: &str) -> bool {
    context
        .world
        .payment_intents
        .get(intent)
        .is_some_and(|intent| intent.status == IntentStatus::RequiresAction)
}

/// The Session; `status: requires_action` and what to do, while 3-D Secure is missing.
fn answer_of(context: &Context<'_>, id: &str, intent: &str) -> Value {
    let mut body = context.world.session(id);
    if waits(context, intent) {
        body["status"] = json!("requires_action");
        // The sandbox's own: which intent waits for the customer.
        body["intent"] = json!(intent);
        body["next_action"] = context.world.intent(intent)["next_action"].take();
    }
    body
}

fn not_open(status: Status) -> Box<ApiError> {
    let message = match status {
        Status::Complete => "This Checkout Session has already been paid.",
        Status::Expired => "This Checkout Session has expired.",
        Status::Open => unreachable!("the caller checked that it is not open"),
    };
    ApiError::refused(message).into()
}

/// The PaymentIntent of a Session is made when the customer first pays.
fn create_intent(context: &mut Context<'_>, id: &str) -> ApiResult<String> {
    let session = get(context, id)?;
    let mut parameters = session.payment_intent_data.clone();
    parameters.insert("amount".into(), json!(session.amount()));
    parameters.insert("currency".into(), json!(session.currency));
    parameters.insert("payment_method_types".into(), json!(["card"]));
    if let Some(customer) = &session.customer {
        parameters.insert("customer".into(), json!(customer));
    }
    if session.customer_creation.as_deref() == Some("always") {
        let customer = create_customer(context, id)?;
        parameters.insert("customer".into(), json!(customer));
    }
    let mut intent = payment_intent::new(context, Params::new(&parameters))?;
    intent.owner = Some(Owner::CheckoutSession(id.to_owned()));
    let intent_id = intent.id.clone();
    context.world.payment_intents.insert(intent);
    change(context, id).payment_intent = Some(intent_id.clone());
    let body = context.world.intent(&intent_id);
    context.emit("payment_intent.created", &body);
    Ok(intent_id)
}

fn create_customer(context: &mut Context<'_>, id: &str) -> ApiResult<String> {
    let session = get(context, id)?;
    let mut parameters = serde_json::Map::new();
    for name in ["email", "name"] {
        let value = session.customer_details.as_ref().map(|given| given[name].clone());
        parameters.insert(name.into(), value.unwrap_or(Value::Null));
    }
    let customer = crate::model::customer::create(context, &[], Params::new(&parameters))?;
    let customer = customer["id"].as_str().unwrap_or_default().to_owned();
    change(context, id).customer = Some(customer.clone());
    Ok(customer)
}

/// A Session follows its intent: once that is paid or authorized, the Session is complete.
pub fn follow(context: &mut Context<'_>, id: &str) {
    let Some(intent) = context.world.payment_intents.get(id) else { return };
    let session = match intent.owner.clone() {
        Some(Owner::CheckoutSession(session)) => session,
        Some(Owner::Invoice(invoice)) => match subscription::session_of(context, &invoice) {
            Some(session) => session,
            None => return,
        },
        None => return,
    };
    let intent = context.world.payment_intents.get(id).expect("it was just read");
    let status = match intent.status {
        IntentStatus::Succeeded => PaymentStatus::Paid,
        IntentStatus::RequiresCapture | IntentStatus::Processing => PaymentStatus::Unpaid,
        IntentStatus::RequiresPaymentMethod
        | IntentStatus::RequiresConfirmation
        | IntentStatus::RequiresAction
        | IntentStatus::Canceled => return,
    };
    if get(context, &session).is_ok_and(|session| session.status == Status::Open) {
        complete(context, &session, status);
    }
}

pub(super) fn complete(context: &mut Context<'_>, id: &str, payment_status: PaymentStatus) {
    let session = change(context, id);
    session.status = Status::Complete;
    session.payment_status = payment_status;
    let body = context.world.session(id);
    context.emit("checkout.session.completed", &body);
}
