//! Creating Checkout Sessions.

use serde_json::{Map, Value, json};

use super::{CheckoutSession, KEPT, Line, PaymentStatus, Status};
use crate::model::context::Context;
use crate::model::currency;
use crate::model::error::{ApiError, ApiResult};
use crate::model::params::Params;
use crate::model::price;
use crate::model::time::{DAY, MINUTE};
use crate::model::timers::Due;

/// Most lines of a Session. Source: <https://docs.stripe.com/api/checkout/sessions/create>.
const LINES_MAX: usize = 100;

/// `POST /v1/checkout/sessions`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let mode = params.text("mode").unwrap_or("payment");
    let ui_mode = params.text("ui_mode").unwrap_or("hosted_page");
    check_urls(params, ui_mode)?;
    check_data(params, mode)?;
    let now = context.now.seconds();
    let expires_at = expires_at(params, now)?;
    let metadata = params.metadata()?;
    let customer = context.customer(params.text("customer"))?;
    if customer.is_some() && params.has("customer_email") {
        let message = "You may only specify one of these parameters: customer, customer_email.";
        return Err(ApiError::refused(message).param("customer_email").into());
    }
    let lines = lines(context, params, mode)?;
    let currency = lines.first().map(|line| line.currency.clone()).or(params.owned("currency"));
    let prefix = if context.world.livemode { "cs_live" } else { "cs_test" };
    let id = format!("{prefix}_a1{}", context.random.text(56));
    let secret = format!("{id}_secret_{}", context.random.text(40));
    let session = CheckoutSession {
        created: now,
        mode: mode.to_owned(),
        ui_mode: ui_mode.to_owned(),
        status: Status::Open,
        payment_status: if mode == "setup" {
            PaymentStatus::NoPaymentRequired
        } else {
            PaymentStatus::Unpaid
        },
        currency,
        lines,
        metadata,
        client_reference_id: params.owned("client_reference_id"),
        client_secret: (ui_mode != "hosted_page").then_some(secret),
        customer_creation: (mode == "payment" && customer.is_none())
            .then(|| params.text("customer_creation").unwrap_or("if_required").to_owned()),
        customer,
        customer_email: params.owned("customer_email"),
        customer_details: None,
        success_url: params.owned("success_url"),
        cancel_url: params.owned("cancel_url"),
        return_url: params.owned("return_url"),
        expires_at,
        payment_intent: None,
        setup_intent: None,
        subscription: None,
        invoice: None,
        recovered_from: None,
        recovery: recovery(params),
        payment_intent_data: data(params, "payment_intent_data"),
        setup_intent_data: data(params, "setup_intent_data"),
        subscription_data: data(params, "subscription_data"),
        kept: kept(params, mode),
        id,
    };
    check_total(&session)?;
    let id = session.id.clone();
    context.world.checkout_sessions.insert(session);
    context
        .world
        .timers
        .set(crate::model::time::Time::from_seconds(expires_at), Due::SessionExpires(id.clone()));
    Ok(context.world.session(&id))
}

fn check_urls(params: Params<'_>, ui_mode: &str) -> ApiResult<()> {
    let (needed, foreign): (&str, &[&str]) = match ui_mode {
        "hosted_page" => ("success_url", &["return_url"]),
        _ => ("return_url", &["success_url", "cancel_url"]),
    };
    if let Some(name) = foreign.iter().find(|name| params.has(name)) {
        let message = format!("`{name}` cannot be used with `ui_mode: {ui_mode}`.");
        return Err(ApiError::refused(message).param(*name).into());
    }
    if !params.has(needed) {
        return Err(ApiError::missing(needed).into());
    }
    for name in ["success_url", "cancel_url", "return_url"] {
        let ok = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if params.text(name).is_some_and(|url| !ok(url)) {
            let message = "Not a valid URL";
            return Err(ApiError::refused(message).code("url_invalid").param(name).into());
        }
    }
    Ok(())
}

fn check_data(params: Params<'_>, mode: &str) -> ApiResult<()> {
    let belongs = [
        ("payment_intent_data", "payment"),
        ("setup_intent_data", "setup"),
        ("subscription_data", "subscription"),
    ];
    for (name, own) in belongs {
        if params.has(name) && mode != own {
            let message = format!("You can not pass `{name}` in `{mode}` mode.");
            return Err(ApiError::refused(message).param(name).into());
        }
        if let Some(given) = params.object(name) {
            given.metadata()?;
        }
    }
    Ok(())
}

fn expires_at(params: Params<'_>, now: i64) -> ApiResult<i64> {
    let Some(given) = params.integer("expires_at") else { return Ok(now + DAY) };
    let message = if given < now + 30 * MINUTE {
        "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
    } else if given > now + DAY {
        "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
    } else {
        return Ok(given);
    };
    Err(ApiError::refused(message).param("expires_at").into())
}

fn lines(context: &mut Context<'_>, params: Params<'_>, mode: &str) -> ApiResult<Vec<Line>> {
    let given: Vec<Params<'_>> = params.objects("line_items").collect();
    if given.is_empty() && mode != "setup" {
        return Err(ApiError::missing("line_items").into());
    }
    if given.len() > LINES_MAX {
        let message = format!("You may only specify up to {LINES_MAX} line items.");
        return Err(ApiError::refused(message).param("line_items").into());
    }
    let mut lines: Vec<Line> = Vec::with_capacity(given.len());
    for (index, one) in given.into_iter().enumerate() {
        let line = line(context, one, &format!("line_items[{index}]"), mode)?;
        if lines.first().is_some_and(|first| first.currency != line.currency) {
            let message = "All prices on a Checkout Session must have the same currency.";
            return Err(ApiError::refused(message).param(format!("line_items[{index}]")).into());
        }
        lines.push(line);
    }
    Ok(lines)
}

fn line(context: &mut Context<'_>, given: Params<'_>, at: &str, mode: &str) -> ApiResult<Line> {
    let quantity = given.integer("quantity").ok_or_else(|| ApiError::missing(format!("{at}[quantity]")))?;
    if !(1..=999_999).contains(&quantity) {
        let message = "This value must be greater than or equal to 1.";
        return Err(ApiError::invalid(message)
            .code("parameter_invalid_integer")
            .param(format!("{at}[quantity]"))
            .into());
    }
    let metadata = given.metadata()?;
    let id = price::line_price(context, given, at)?;
    let price = context.world.prices.get(&id).expect("it was just resolved");
    if price.recurring.is_some() && mode == "payment" {
        let message = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices.";
        return Err(ApiError::refused(message).param(at).into());
    }
    let description = context.world.products.get(&price.product).map(|product| product.name.clone());
    let (price, unit_amount, currency) = (price.id.clone(), price.unit_amount, price.currency.clone());
    Ok(Line {
        id: context.random.id("li"),
        price,
        description: description.unwrap_or_default(),
        quantity,
        unit_amount,
        currency,
        metadata,
    })
}

fn check_total(session: &CheckoutSession) -> ApiResult<()> {
    let total = session.amount();
    let Some(currency) = &session.currency else { return Ok(()) };
    if total == 0 || session.mode != "payment" {
        return Ok(());
    }
    match currency::check_amount(total, currency) {
        Err(error) if error.code == Some("amount_too_small") => {
            let minimum = currency::format_amount(currency::minimum(currency), currency);
            let message = format!(
                "The Checkout Session's total amount due must add up to at least {minimum} {currency}"
            );
            Err(ApiError::refused(message).code("amount_too_small").into())
        }
        other => other,
    }
}

fn recovery(params: Params<'_>) -> Option<Value> {
    let given = params.object("after_expiration")?.object("recovery")?;
    Some(json!({
        "allow_promotion_codes": given.boolean("allow_promotion_codes"),
        "enabled": given.boolean("enabled"),
        "expires_at": null,
        "url": null,
    }))
}

fn data(params: Params<'_>, name: &str) -> Map<String, Value> {
    params.object(name).map(|given| given.map().clone()).unwrap_or_default()
}

fn kept(params: Params<'_>, mode: &str) -> Map<String, Value> {
    let mut kept: Map<String, Value> = KEPT
        .iter()
        .filter_map(|name| params.value(name).map(|value| ((*name).to_owned(), value.clone())))
        .collect();
    if mode != "setup" {
        let collects = if mode == "subscription" { "always" } else { "if_required" };
        kept.entry("payment_method_collection").or_insert(json!(collects));
    }
    kept
}
