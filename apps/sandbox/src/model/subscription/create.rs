//! Creating subscriptions, with their first invoice.

use serde_json::{Map, Value, json};

use super::{Item, Subscription, SubscriptionStatus, change, get, period};
use crate::model::context::Context;
use crate::model::error::{ApiError, ApiResult};
use crate::model::invoice::{self, Invoice, InvoiceLine, InvoiceStatus};
use crate::model::metadata::Metadata;
use crate::model::params::Params;
use crate::model::price::{self, Recurring};
use crate::model::time::{DAY, HOUR, Time};
use crate::model::timers::Due;
use crate::model::{customer, payment_method, setup_intent};

/// Without its first payment, a subscription ends after this time.
/// Source: <https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses>.
const INCOMPLETE_SECONDS: i64 = 23 * HOUR;

/// `POST /v1/subscriptions`.
pub fn create(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let customer = params.text("customer").ok_or_else(|| ApiError::missing("customer"))?;
    customer::alive(context, customer).map_err(|error| error.status(400))?;
    let given: Vec<Params<'_>> = params.objects("items").collect();
    if given.is_empty() {
        return Err(ApiError::missing("items").into());
    }
    let mut items = Vec::new();
    for (index, one) in given.into_iter().enumerate() {
        items.push(new_item(context, one, &format!("items[{index}]"))?);
    }
    let method = match params.text("default_payment_method") {
        Some(method) => Some(payment_method::resolve(context, method, "default_payment_method")?),
        None => None,
    };
    let saves = params.deep(&["payment_settings", "save_default_payment_method"]);
    let mut subscription = new(context, customer, items, params)?;
    subscription.default_payment_method = method;
    subscription.saves_method = saves.and_then(Value::as_str) == Some("on_subscription");
    let behavior = params.text("payment_behavior").unwrap_or("allow_incomplete").to_owned();
    let id = begin(context, subscription, &[]);
    first_payment(context, &id, &behavior)?;
    Ok(context.world.subscription(&id))
}

/// An item as a request describes it.
///
/// # Errors
/// A 400 naming what is wrong below `at`.
pub(super) fn new_item(context: &mut Context<'_>, given: Params<'_>, at: &str) -> ApiResult<Item> {
    let price = price::line_price(context, given, at)?;
    Ok(item(context, price, given.integer("quantity").unwrap_or(1), given.metadata()?))
}

fn item(context: &mut Context<'_>, price: String, quantity: i64, metadata: Metadata) -> Item {
    Item {
        id: format!("si_{}", context.random.text(14)),
        created: context.now.seconds(),
        price,
        quantity: quantity.clamp(0, 999_999),
        metadata,
    }
}

pub(super) fn recurring_of(context: &Context<'_>, items: &[Item]) -> ApiResult<(Recurring, String)> {
    let mut first: Option<(Recurring, String)> = None;
    for (index, item) in items.iter().enumerate() {
        let price = context.world.prices.get(&item.price).expect("the item's price was resolved");
        let Some(recurring) = price.recurring.clone() else {
            let message = format!(
                "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`. Price: {}",
                price.id
            );
            return Err(ApiError::refused(message).param(format!("items[{index}][price]")).into());
        };
        match &first {
            Some((known, currency))
                if known.interval != recurring.interval || *currency != price.currency =>
            {
                let message =
                    "All prices of a subscription must have the same currency and billing interval.";
                return Err(ApiError::refused(message).param("items").into());
            }
            Some(_) => {}
            None => first = Some((recurring, price.currency.clone())),
        }
    }
    first.ok_or_else(|| ApiError::missing("items").into())
}

fn new(
    context: &mut Context<'_>,
    customer: &str,
    items: Vec<Item>,
    params: Params<'_>,
) -> ApiResult<Subscription> {
    let (recurring, currency) = recurring_of(context, &items)?;
    let now = context.now.seconds();
    let trial_end = match (params.integer("trial_end"), params.integer("trial_period_days")) {
        (Some(end), _) if end > now => Some(end),
        (None, Some(days)) if days > 0 => Some(now + days.min(730) * DAY),
        _ => None,
    };
    Ok(Subscription {
        id: context.random.id("sub"),
        created: now,
        customer: customer.to_owned(),
        currency,
        status: if trial_end.is_some() {
            SubscriptionStatus::Trialing
        } else {
            SubscriptionStatus::Incomplete
        },
        items,
        anchor: trial_end.unwrap_or(now),
        period_start: now,
        period_end: trial_end.unwrap_or_else(|| period::end(now, now, &recurring)),
        trial_start: trial_end.map(|_| now),
        trial_end,
        cancel_at_period_end: params.boolean("cancel_at_period_end"),
        canceled_at: None,
        ended_at: None,
        cancellation: None,
        description: params.owned("description"),
        metadata: params.metadata()?,
        default_payment_method: None,
        saves_method: false,
        latest_invoice: None,
        pending_setup_intent: None,
        checkout_session: None,
    })
}

/// A one-time line beside the subscription's items: price and quantity.
type Extra = (String, i64);

fn begin(context: &mut Context<'_>, subscription: Subscription, extras: &[Extra]) -> String {
    let id = subscription.id.clone();
    let (ends, trial_end) = (Time::from_seconds(subscription.period_end), subscription.trial_end);
    context.world.subscriptions.insert(subscription);
    let body = context.world.subscription(&id);
    context.emit("customer.subscription.created", &body);
    context.world.timers.set(ends, Due::SubscriptionRenews(id.clone()));
    if let Some(end) = trial_end {
        let warning = Time::from_seconds((end - 3 * DAY).max(context.now.seconds()));
        context.world.timers.set(warning, Due::TrialWillEnd(id.clone()));
    }
    let first = new_invoice(context, &id, "subscription_create", extras);
    let first = invoice::draft(context, first, false);
    change(context, &id).latest_invoice = Some(first.clone());
    invoice::finalize_now(context, &first);
    id
}

/// An invoice over the subscription's current period; nothing is asked for during a trial.
pub(super) fn new_invoice(context: &mut Context<'_>, id: &str, reason: &str, extras: &[Extra]) -> Invoice {
    let subscription = context.world.subscriptions.get(id).expect("the caller holds it").clone();
    let on_trial = subscription.status == SubscriptionStatus::Trialing;
    let mut lines = Vec::new();
    let own =
        subscription.items.iter().map(|item| (item.id.clone(), item.price.clone(), item.quantity, on_trial));
    let first_item = subscription.items.first().map(|item| item.id.clone()).unwrap_or_default();
    let extra = extras.iter().map(|(price, quantity)| (first_item.clone(), price.clone(), *quantity, false));
    for (item, price, quantity, free) in own.chain(extra).collect::<Vec<_>>() {
        let price = context.world.prices.get(&price).expect("prices are never removed");
        let name = context.world.products.get(&price.product).map(|product| product.name.clone());
        let unit_amount = if free { 0 } else { price.unit_amount };
        let (price, product) = (price.id.clone(), price.product.clone());
        lines.push(InvoiceLine {
            id: context.random.id("il"),
            amount: unit_amount.saturating_mul(quantity),
            description: format!("{quantity} × {}", name.unwrap_or_default()),
            quantity,
            price,
            product,
            unit_amount,
            item,
            start: subscription.period_start,
            end: subscription.period_end,
        });
    }
    Invoice {
        id: context.random.id("in"),
        created: context.now.seconds(),
        customer: subscription.customer,
        subscription: subscription.id,
        currency: subscription.currency,
        status: InvoiceStatus::Draft,
        billing_reason: reason.to_owned(),
        number: None,
        lines,
        amount_paid: 0,
        period_start: subscription.period_start,
        period_end: subscription.period_end,
        attempts: 0,
        next_attempt: None,
        finalizes_at: None,
        finalized_at: None,
        paid_at: None,
        voided_at: None,
        payment_intent: None,
        payment: None,
        metadata: Metadata::default(),
    }
}

/// Source: <https://docs.stripe.com/api/subscriptions/create#create_subscription-payment_behavior>.
fn first_payment(context: &mut Context<'_>, id: &str, behavior: &str) -> ApiResult<()> {
    let subscription = get(context, id)?.clone();
    let invoice = subscription.latest_invoice.clone().unwrap_or_default();
    let unpaid = context.world.invoices.get(&invoice).is_some_and(|one| one.status == InvoiceStatus::Open);
    if !unpaid {
        if behavior == "default_incomplete" && subscription.default_payment_method.is_none() {
            pending_setup(context, id, &subscription.customer)?;
        }
        return Ok(());
    }
    let at = context.now.plus_seconds(INCOMPLETE_SECONDS);
    context.world.timers.set(at, Due::SubscriptionExpires(id.to_owned()));
    if behavior == "default_incomplete" {
        return Ok(());
    }
    match invoice::collect(context, &invoice, None) {
        Err(error) if behavior == "error_if_incomplete" || error.status != 402 => {
            super::life::expire_incomplete(context, id);
            Err(error)
        }
        _ => Ok(()),
    }
}

/// A first invoice over nothing still asks for a card: `pending_setup_intent`.
fn pending_setup(context: &mut Context<'_>, id: &str, customer: &str) -> ApiResult<()> {
    let mut parameters = Map::new();
    parameters.insert("customer".into(), json!(customer));
    let intent = setup_intent::create(context, &[], Params::new(&parameters))?;
    change(context, id).pending_setup_intent = intent["id"].as_str().map(str::to_owned);
    Ok(())
}

/// The subscription of a Checkout Session; its first invoice waits for the customer's card.
///
/// # Errors
/// A 400 when the Session sells nothing recurring.
pub fn of_session(context: &mut Context<'_>, session: &str) -> ApiResult<String> {
    let known = context.world.checkout_sessions.get(session).expect("the caller found it").clone();
    let (mut items, mut extras) = (Vec::new(), Vec::new());
    for line in &known.lines {
        let recurs = context.world.prices.get(&line.price).is_some_and(|price| price.recurring.is_some());
        if recurs {
            items.push(item(context, line.price.clone(), line.quantity, line.metadata.clone()));
        } else {
            extras.push((line.price.clone(), line.quantity));
        }
    }
    let customer = known.customer.clone().unwrap_or_default();
    let mut subscription = new(context, &customer, items, Params::new(&known.subscription_data))?;
    subscription.saves_method = true;
    subscription.checkout_session = Some(session.to_owned());
    let id = begin(context, subscription, &extras);
    let at = context.now.plus_seconds(INCOMPLETE_SECONDS);
    context.world.timers.set(at, Due::SubscriptionExpires(id.clone()));
    let session = context.world.checkout_sessions.get_mut(session).expect("the caller found it");
    session.subscription = Some(id.clone());
    session.invoice = context.world.subscriptions.get(&id).and_then(|one| one.latest_invoice.clone());
    Ok(id)
}
