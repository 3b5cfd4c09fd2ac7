//! Creating and updating PaymentIntents.

use serde_json::{Map, Value, json};

use super::{KEPT, PaymentIntent, Status, change, confirm, get, unexpected_state};
use crate::model::context::Context;
use crate::model::currency;
use crate::model::error::{ApiError, ApiResult};
use crate::model::params::Params;
use crate::model::payment_method::{self, full_address};

/// `POST /v1/payment_intents`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    check_combination(params)?;
    let intent = new(context, params)?;
    let id = intent.id.clone();
    context.world.payment_intents.insert(intent);
    let created = context.world.intent(&id);
    context.emit("payment_intent.created", &created);
    if params.boolean("confirm") {
        return confirm::confirm_with(context, &id, None, params);
    }
    Ok(created)
}

fn check_combination(params: Params<'_>) -> ApiResult<()> {
    let automatic = params.object("automatic_payment_methods").is_some_and(|given| given.boolean("enabled"));
    if automatic && params.has("payment_method_types") {
        let message =
            "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.";
        return Err(ApiError::refused(message).param("payment_method_types").into());
    }
    check_allowed(params)?;
    if !params.boolean("confirm") {
        for name in ["off_session", "error_on_requires_action", "mandate_data", "return_url"] {
            if params.has(name) && params.value(name) != Some(&Value::Bool(false)) {
                let message = format!(
                    "The parameter `{name}` cannot be passed when creating a PaymentIntent unless `confirm` is set to true."
                );
                return Err(ApiError::refused(message).param(name).into());
            }
        }
    }
    Ok(())
}

/// Refuses `allowed_payment_method_types` beside another way of choosing payment methods.
/// Source: <https://docs.stripe.com/changelog/dahlia/2026-07-29/allowed-payment-method-types-parameter>.
///
/// # Errors
/// A 400 naming the other parameter.
pub fn check_allowed(params: Params<'_>) -> ApiResult<()> {
    let others = [
        "payment_method_types",
        "excluded_payment_method_types",
        "automatic_payment_methods",
        "payment_method_configuration",
    ];
    let other = others.into_iter().find(|name| params.has(name));
    match other.filter(|_| params.has("allowed_payment_method_types")) {
        Some(other) => {
            let message = format!(
                "You may only specify one of these parameters: allowed_payment_method_types, {other}."
            );
            Err(ApiError::refused(message).param(other).into())
        }
        None => Ok(()),
    }
}

/// An intent of these parameters, not yet kept.
///
/// # Errors
/// A 400 naming the parameter.
pub fn new(context: &mut Context<'_>, params: Params<'_>) -> ApiResult<PaymentIntent> {
    let amount = params.positive("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = currency::check(params.text("currency").unwrap_or_default())?;
    currency::check_amount(amount, &currency)?;
    let metadata = params.metadata()?;
    let customer = context.customer(params.text("customer"))?;
    let payment_method = given_method(context, params, customer.as_deref())?;
    let types = params.texts("payment_method_types");
    let allowed = params.texts("allowed_payment_method_types");
    let dynamic = types.is_empty();
    let id = format!("pi_3{}", context.random.text(23));
    Ok(PaymentIntent {
        created: context.now.seconds(),
        amount,
        amount_capturable: 0,
        amount_received: 0,
        currency,
        status: match payment_method {
            Some(_) => Status::RequiresConfirmation,
            None => Status::RequiresPaymentMethod,
        },
        capture_method: params.text("capture_method").unwrap_or("automatic_async").to_owned(),
        confirmation_method: params.text("confirmation_method").unwrap_or("automatic").to_owned(),
        client_secret: format!("{id}_secret_{}", context.random.text(25)),
        customer,
        description: params.owned("description"),
        metadata,
        payment_method,
        payment_method_types: match (dynamic, allowed.is_empty()) {
            (false, _) => types,
            (true, false) => allowed,
            (true, true) => vec!["card".to_owned()],
        },
        payment_method_options: method_options(params),
        automatic_payment_methods: dynamic.then(|| {
            let given = params.object("automatic_payment_methods");
            let redirects = given.and_then(|given| given.text("allow_redirects")).unwrap_or("always");
            json!({"allow_redirects": redirects, "enabled": true})
        }),
        receipt_email: params.owned("receipt_email"),
        setup_future_usage: params.owned("setup_future_usage"),
        shipping: params.object("shipping").map(shipping),
        return_url: params.owned("return_url"),
        latest_charge: None,
        last_payment_error: None,
        next_action: None,
        canceled_at: None,
        cancellation_reason: None,
        charges: Vec::new(),
        kept: keep(params, Map::new()),
        owner: None,
        increments: 0,
        off_session: false,
        id,
    })
}

/// The payment method of a request: one that is kept, or one that is described.
pub(super) fn given_method(
    context: &mut Context<'_>,
    params: Params<'_>,
    customer: Option<&str>,
) -> ApiResult<Option<String>> {
    match (params.text("payment_method"), params.object("payment_method_data")) {
        (Some(method), _) => own_method(context, method, customer).map(Some),
        (None, Some(data)) => payment_method::from_data(context, data).map(Some),
        (None, None) => Ok(None),
    }
}

/// A payment method that may be used here: another customer's may not.
fn own_method(context: &mut Context<'_>, id: &str, customer: Option<&str>) -> ApiResult<String> {
    let id = payment_method::resolve(context, id, "payment_method").map_err(|error| error.status(400))?;
    let owner = context.world.payment_methods.get(&id).and_then(|method| method.customer.as_deref());
    match owner {
        Some(owner) if customer != Some(owner) => {
            let message = match customer {
                Some(customer) => format!(
                    "The customer {customer} does not have a payment method with the ID {id}. The payment method supplied ({id}) belongs to a different Customer ({owner}). Please include the Customer in the `customer` parameter on the PaymentIntent."
                ),
                None => format!(
                    "The PaymentMethod {id} belongs to the Customer {owner}. Please include the Customer in the `customer` parameter on the PaymentIntent."
                ),
            };
            Err(ApiError::refused(message).param("payment_method").into())
        }
        _ => Ok(id),
    }
}

fn keep(params: Params<'_>, mut kept: Map<String, Value>) -> Map<String, Value> {
    for name in KEPT {
        match params.value(name) {
            Some(Value::Null) => drop(kept.remove(*name)),
            Some(value) => drop(kept.insert((*name).to_owned(), value.clone())),
            None => {}
        }
    }
    kept
}

/// A shipping hash with all of its fields.
pub fn shipping(given: Params<'_>) -> Value {
    json!({
        "address": full_address(given.value("address")),
        "carrier": given.text("carrier"),
        "name": given.text("name"),
        "phone": given.text("phone"),
        "tracking_number": given.text("tracking_number"),
    })
}

fn method_options(params: Params<'_>) -> Value {
    let mut card = json!({
        "installments": null,
        "mandate_options": null,
        "network": null,
        "request_three_d_secure": "automatic",
    });
    let given = params.object("payment_method_options").and_then(|options| options.object("card"));
    for name in ["network", "request_three_d_secure", "capture_method", "setup_future_usage"] {
        if let Some(value) = given.and_then(|given| given.value(name)).filter(|value| !value.is_null()) {
            card[name] = value.clone();
        }
    }
    json!({"card": card})
}

/// `POST /v1/payment_intents/{id}`.
pub fn update(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let id = ids[0];
    let intent = get(context, id)?;
    let before_payment = matches!(
        intent.status,
        Status::RequiresPaymentMethod | Status::RequiresConfirmation | Status::RequiresAction
    );
    // These change at any time; everything else only before the payment.
    let always = ["metadata", "description", "receipt_email", "shipping", "expand", "transfer_group"];
    let locked = params.map().keys().find(|name| !always.contains(&name.as_str()));
    if let Some(name) = locked.filter(|_| !before_payment) {
        let message = format!(
            "This PaymentIntent's {name} could not be updated because it has a status of {}. You may only update the {name} of a PaymentIntent with one of the following statuses: requires_payment_method, requires_confirmation, requires_action.",
            intent.status.text()
        );
        return Err(unexpected_state(context, id, message));
    }
    check_allowed(params)?;
    let mut changed = intent.clone();
    apply(context, params, &mut changed)?;
    *change(context, id) = changed;
    Ok(context.world.intent(id))
}

fn apply(context: &mut Context<'_>, params: Params<'_>, intent: &mut PaymentIntent) -> ApiResult<()> {
    params.merge_metadata(&mut intent.metadata)?;
    if let Some(amount) = params.positive("amount")? {
        intent.amount = amount;
    }
    if let Some(code) = params.text("currency") {
        intent.currency = currency::check(code)?;
    }
    if params.has("amount") || params.has("currency") {
        currency::check_amount(intent.amount, &intent.currency)?;
    }
    if params.has("customer") {
        intent.customer = context.customer(params.text("customer"))?;
    }
    params.update_text("description", &mut intent.description);
    params.update_text("receipt_email", &mut intent.receipt_email);
    params.update_text("setup_future_usage", &mut intent.setup_future_usage);
    if let Some(method) = params.text("capture_method") {
        intent.capture_method = method.to_owned();
    }
    if params.has("shipping") {
        intent.shipping = params.object("shipping").map(shipping);
    }
    if params.has("payment_method_types") {
        intent.payment_method_types = params.texts("payment_method_types");
        intent.automatic_payment_methods = None;
    }
    if params.has("payment_method_options") {
        intent.payment_method_options = method_options(params);
    }
    intent.kept = keep(params, std::mem::take(&mut intent.kept));
    if let Some(method) = given_method(context, params, intent.customer.as_deref())? {
        intent.payment_method = Some(method);
        intent.status = Status::RequiresConfirmation;
        intent.next_action = None;
    }
    Ok(())
}
