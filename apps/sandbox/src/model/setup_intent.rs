//! SetupIntents: saving a card for later, without taking money.
//!
//! Source: <https://docs.stripe.com/api/setup_intents>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cards::{self, Authentication};
use super::context::Context;
use super::error::{ApiError, ApiResult, ErrorType};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::payment_intent;
use super::payment_method::{self, BillingDetails};
use super::subscription;
use super::table::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Succeeded,
    Canceled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetupIntent {
    pub id: String,
    pub created: i64,
    pub status: SetupStatus,
    pub client_secret: String,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub payment_method: Option<String>,
    pub payment_method_types: Vec<String>,
    pub dynamic: bool,
    pub usage: String,
    pub return_url: Option<String>,
    pub next_action: Option<Value>,
    pub last_setup_error: Option<Value>,
    pub cancellation_reason: Option<String>,
    pub checkout_session: Option<String>,
}

impl Row for SetupIntent {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl SetupIntent {
    pub fn render(&self, livemode: bool) -> Value {
        json!({
            "id": self.id,
            "object": "setup_intent",
            "application": null,
            "automatic_payment_methods": self.dynamic.then(|| json!({"allow_redirects": "always", "enabled": true})),
            "cancellation_reason": self.cancellation_reason,
            "client_secret": self.client_secret,
            "created": self.created,
            "customer": self.customer,
            "customer_account": null,
            "description": self.description,
            "excluded_payment_method_types": null,
            "flow_directions": null,
            "last_setup_error": self.last_setup_error,
            "latest_attempt": null,
            "livemode": livemode,
            "mandate": null,
            "metadata": self.metadata.to_value(),
            "next_action": self.next_action,
            "on_behalf_of": null,
            "payment_method": self.payment_method,
            "payment_method_configuration_details": null,
            "payment_method_options": {"card": {"mandate_options": null, "network": null, "request_three_d_secure": "automatic"}},
            "payment_method_types": self.payment_method_types,
            "single_use_mandate": null,
            "status": self.status,
            "usage": self.usage,
        })
    }
}

/// `POST /v1/setup_intents`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let intent = new(context, params)?;
    let id = intent.id.clone();
    context.world.setup_intents.insert(intent);
    let created = context.world.setup_intent(&id);
    context.emit("setup_intent.created", &created);
    if params.boolean("confirm") {
        return confirm_with(context, &id, None, params);
    }
    Ok(created)
}

/// A SetupIntent of these parameters, not yet kept.
///
/// # Errors
/// A 400 naming the parameter.
pub fn new(context: &mut Context<'_>, params: Params<'_>) -> ApiResult<SetupIntent> {
    payment_intent::check_allowed(params)?;
    let customer = context.customer(params.text("customer"))?;
    let method = match params.text("payment_method") {
        Some(method) => Some(payment_method::resolve(context, method, "payment_method")?),
        None => None,
    };
    let types = params.texts("payment_method_types");
    let id = context.random.id("seti");
    Ok(SetupIntent {
        created: context.now.seconds(),
        status: match method {
            Some(_) => SetupStatus::RequiresConfirmation,
            None => SetupStatus::RequiresPaymentMethod,
        },
        client_secret: format!("{id}_secret_{}", context.random.text(25)),
        customer,
        description: params.owned("description"),
        metadata: params.metadata()?,
        payment_method: method,
        dynamic: types.is_empty(),
        payment_method_types: if types.is_empty() { vec!["card".to_owned()] } else { types },
        usage: params.text("usage").unwrap_or("off_session").to_owned(),
        return_url: params.owned("return_url"),
        next_action: None,
        last_setup_error: None,
        cancellation_reason: None,
        checkout_session: None,
        id,
    })
}

/// A SetupIntent that must exist.
///
/// # Errors
/// 404 `resource_missing`.
pub fn get<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a SetupIntent> {
    context.world.setup_intents.get(id).ok_or_else(|| context.no_such("setupintent", id, "intent"))
}

fn change<'a>(context: &'a mut Context<'_>, id: &str) -> &'a mut SetupIntent {
    context.world.setup_intents.get_mut(id).expect("the caller found it")
}

fn unexpected_state(context: &Context<'_>, id: &str, message: String) -> Box<ApiError> {
    let intent = context.world.setup_intent(id);
    ApiError::refused(message).code("setup_intent_unexpected_state").with("setup_intent", intent).into()
}

fn check_open(context: &Context<'_>, id: &str, verb: &str) -> ApiResult<()> {
    match get(context, id)?.status {
        SetupStatus::RequiresPaymentMethod
        | SetupStatus::RequiresConfirmation
        | SetupStatus::RequiresAction => Ok(()),
        status @ (SetupStatus::Succeeded | SetupStatus::Canceled) => {
            let word = if status == SetupStatus::Succeeded { "succeeded" } else { "canceled" };
            let message = format!("You cannot {verb} this SetupIntent because it has already {word}.");
            Err(unexpected_state(context, id, message))
        }
    }
}

/// `POST /v1/setup_intents/{id}`.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mut intent = get(context, ids[0])?.clone();
    params.merge_metadata(&mut intent.metadata)?;
    params.update_text("description", &mut intent.description);
    if params.has("customer") {
        intent.customer = context.customer(params.text("customer"))?;
    }
    if let Some(method) = params.text("payment_method") {
        check_open(context, ids[0], "update")?;
        intent.payment_method = Some(payment_method::resolve(context, method, "payment_method")?);
        intent.status = SetupStatus::RequiresConfirmation;
    }
    *change(context, ids[0]) = intent;
    Ok(context.world.setup_intent(ids[0]))
}

/// `POST /v1/setup_intents/{id}/confirm`.
pub fn confirm(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    check_open(context, id, "confirm")?;
    let method = match params.text("payment_method") {
        Some(method) => Some(payment_method::resolve(context, method, "payment_method")?),
        None => None,
    };
    confirm_with(context, id, method, params)
}

/// Confirms with a payment method, or with the one that the intent has.
fn confirm_with(
    context: &mut Context<'_>,
    id: &str,
    method: Option<String>,
    params: Params<'_>,
) -> ApiResult<Value> {
    let Some(method) = method.or(get(context, id)?.payment_method.clone()) else {
        let message = "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a payment method and then confirm it again.";
        return Err(unexpected_state(context, id, message.to_owned()));
    };
    if let Some(url) = params.text("return_url") {
        change(context, id).return_url = Some(url.to_owned());
    }
    set_up(context, id, &method)?;
    Ok(context.world.setup_intent(id))
}

/// Sets a card up that the customer typed in.
///
/// # Errors
/// 402 when the card cannot be saved.
pub fn set_up_with(
    context: &mut Context<'_>,
    id: &str,
    number: &str,
    billing: BillingDetails,
) -> ApiResult<()> {
    check_open(context, id, "confirm")?;
    let method = payment_method::create(context, number, billing)?;
    set_up(context, id, &method)
}

fn set_up(context: &mut Context<'_>, id: &str, method: &str) -> ApiResult<()> {
    let card = context.world.payment_methods.get(method).expect("the caller resolved it").card();
    let url = format!("{}/authenticate/{id}", context.world.public_url);
    let intent = change(context, id);
    intent.payment_method = Some(method.to_owned());
    intent.last_setup_error = None;
    if card.decline.is_some() && !card.can_be_attached() {
        let decline = card.decline.unwrap_or(cards::GENERIC);
        let error = ApiError::card(decline.code, decline.message);
        let code = decline.decline_code.map(|code| json!(code));
        return Err(fail(
            context,
            id,
            match code {
                Some(code) => error.with("decline_code", code),
                None => error,
            },
        ));
    }
    if matches!(
        card.authentication,
        Authentication::Always | Authentication::UntilSetUp | Authentication::OnSession
    ) {
        intent.status = SetupStatus::RequiresAction;
        intent.next_action = Some(match &intent.return_url {
            Some(back) => {
                json!({"redirect_to_url": {"return_url": back, "url": url}, "type": "redirect_to_url"})
            }
            None => json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}),
        });
        let body = context.world.setup_intent(id);
        context.emit("setup_intent.requires_action", &body);
        return Ok(());
    }
    succeed(context, id)
}

/// The customer passed or failed 3-D Secure.
///
/// # Errors
/// 400 when the intent asks for none, 402 when it was failed.
pub fn authenticate(context: &mut Context<'_>, id: &str, passed: bool) -> ApiResult<()> {
    if get(context, id)?.status != SetupStatus::RequiresAction {
        return Err(unexpected_state(
            context,
            id,
            "This SetupIntent does not wait for authentication.".to_owned(),
        ));
    }
    if passed {
        return succeed(context, id);
    }
    let message = "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this SetupIntent again.";
    let error = ApiError::card("setup_intent_authentication_failure", message);
    Err(fail(context, id, ApiError { kind: ErrorType::InvalidRequest, ..error }))
}

fn succeed(context: &mut Context<'_>, id: &str) -> ApiResult<()> {
    let intent = change(context, id);
    intent.status = SetupStatus::Succeeded;
    intent.next_action = None;
    let (method, customer) = (intent.payment_method.clone(), intent.customer.clone());
    let method = method.expect("a card is set up with a payment method");
    if let Some(method) = context.world.payment_methods.get_mut(&method) {
        method.set_up = true;
    }
    if let Some(customer) = customer {
        payment_method::attach_to(context, &method, &customer)?;
    }
    let body = context.world.setup_intent(id);
    context.emit("setup_intent.succeeded", &body);
    subscription::setup_has_succeeded(context, id, &method);
    Ok(())
}

fn fail(context: &mut Context<'_>, id: &str, error: ApiError) -> Box<ApiError> {
    let livemode = context.world.livemode;
    let intent = change(context, id);
    intent.status = SetupStatus::RequiresPaymentMethod;
    intent.next_action = None;
    let method = intent.payment_method.take().and_then(|id| context.world.payment_methods.get(&id).cloned());
    let error = match method {
        Some(method) => error.with("payment_method", method.render(livemode)),
        None => error,
    };
    change(context, id).last_setup_error = Some(error.body()["error"].take());
    let body = context.world.setup_intent(id);
    context.emit("setup_intent.setup_failed", &body);
    error.with("setup_intent", body).into()
}

/// `POST /v1/setup_intents/{id}/cancel`.
pub fn cancel(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    check_open(context, ids[0], "cancel")?;
    let intent = change(context, ids[0]);
    intent.status = SetupStatus::Canceled;
    intent.next_action = None;
    intent.cancellation_reason = params.owned("cancellation_reason");
    let body = context.world.setup_intent(ids[0]);
    context.emit("setup_intent.canceled", &body);
    Ok(body)
}

/// `GET /v1/setup_intents/{id}`; a publishable key must bring the client secret.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let intent = get(context, ids[0])?;
    match params.text("client_secret") {
        Some(secret) if secret != intent.client_secret => {
            let message = "The client_secret provided does not match the client_secret associated with the SetupIntent.";
            Err(ApiError::refused(message).param("client_secret").into())
        }
        _ => Ok(intent.render(context.world.livemode)),
    }
}

/// `GET /v1/setup_intents`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let livemode = context.world.livemode;
    let (customer, method) = (params.text("customer"), params.text("payment_method"));
    list::render(
        &context.world.setup_intents,
        &Page::from_params(params)?,
        "/v1/setup_intents",
        |intent| {
            customer.is_none_or(|id| intent.customer.as_deref() == Some(id))
                && method.is_none_or(|id| intent.payment_method.as_deref() == Some(id))
        },
        |intent| intent.render(livemode),
    )
}
