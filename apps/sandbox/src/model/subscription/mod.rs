//! Subscriptions: a price paid again each period.
//!
//! Source: <https://docs.stripe.com/api/subscriptions>, <https://docs.stripe.com/billing/subscriptions/overview>.

mod create;
mod life;
mod period;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use create::{create, of_session};
pub use life::{
    cancel, expire_incomplete, invoice_has_failed, invoice_was_paid, renew, setup_has_succeeded,
    trial_will_end, update,
};

use super::context::Context;
use super::error::ApiResult;
use super::invoice::Invoice;
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::Row;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    Incomplete,
    IncompleteExpired,
    Trialing,
    Active,
    PastDue,
    Canceled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub created: i64,
    pub customer: String,
    pub currency: String,
    pub status: SubscriptionStatus,
    pub items: Vec<Item>,
    pub anchor: i64,
    pub period_start: i64,
    pub period_end: i64,
    pub trial_start: Option<i64>,
    pub trial_end: Option<i64>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub cancellation: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub default_payment_method: Option<String>,
    pub saves_method: bool,
    pub latest_invoice: Option<String>,
    pub pending_setup_intent: Option<String>,
    pub checkout_session: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    pub id: String,
    pub created: i64,
    pub price: String,
    pub quantity: i64,
    pub metadata: Metadata,
}

impl Row for Subscription {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Item {
    fn render(&self, subscription: &Subscription, world: &World) -> Value {
        let price = world.prices.get(&self.price).expect("prices are never removed");
        let recurring = price.recurring.as_ref();
        json!({
            "id": self.id,
            "object": "subscription_item",
            "billing_thresholds": null,
            "created": self.created,
            "current_period_end": subscription.period_end,
            "current_period_start": subscription.period_start,
            "discounts": [],
            "metadata": self.metadata.to_value(),
            "plan": {
                "id": price.id,
                "object": "plan",
                "active": price.active,
                "amount": price.unit_amount,
                "amount_decimal": price.unit_amount.to_string(),
                "billing_scheme": "per_unit",
                "created": price.created,
                "currency": price.currency,
                "interval": recurring.map_or("month", |recurring| &recurring.interval),
                "interval_count": recurring.map_or(1, |recurring| recurring.interval_count),
                "livemode": world.livemode,
                "metadata": price.metadata.to_value(),
                "meter": null,
                "nickname": price.nickname,
                "product": price.product,
                "tiers_mode": null,
                "transform_usage": null,
                "trial_period_days": recurring.and_then(|recurring| recurring.trial_period_days),
                "usage_type": "licensed",
            },
            "price": price.render(world.livemode),
            "quantity": self.quantity,
            "subscription": subscription.id,
            "tax_rates": [],
        })
    }
}

impl Subscription {
    pub fn render(&self, world: &World) -> Value {
        let items: Vec<Value> = self.items.iter().map(|item| item.render(self, world)).collect();
        json!({
            "id": self.id,
            "object": "subscription",
            "application": null,
            "application_fee_percent": null,
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null},
            "billing_cycle_anchor": self.anchor,
            "billing_cycle_anchor_config": null,
            "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
            "billing_schedules": [],
            "billing_thresholds": null,
            "cancel_at": self.cancel_at_period_end.then_some(self.period_end),
            "cancel_at_period_end": self.cancel_at_period_end,
            "canceled_at": self.canceled_at,
            "cancellation_details": {"comment": null, "feedback": null, "reason": self.cancellation},
            "collection_method": "charge_automatically",
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "customer_account": null,
            "days_until_due": null,
            "default_payment_method": self.default_payment_method,
            "default_source": null,
            "default_tax_rates": [],
            "description": self.description,
            "discounts": [],
            "ended_at": self.ended_at,
            "invoice_settings": {"account_tax_ids": null, "custom_fields": null, "description": null, "footer": null, "issuer": {"type": "self"}},
            "items": list::of(items, false, &format!("/v1/subscription_items?subscription={}", self.id)),
            "latest_invoice": self.latest_invoice,
            "livemode": world.livemode,
            "managed_payments": null,
            "metadata": self.metadata.to_value(),
            "next_pending_invoice_item_invoice": null,
            "on_behalf_of": null,
            "pause_collection": null,
            "payment_settings": {
                "payment_method_options": null,
                "payment_method_types": null,
                "save_default_payment_method": if self.saves_method { "on_subscription" } else { "off" },
            },
            "pending_invoice_item_interval": null,
            "pending_setup_intent": self.pending_setup_intent,
            "pending_update": null,
            "schedule": null,
            "start_date": self.created,
            "status": self.status,
            "test_clock": null,
            "transfer_data": null,
            "trial_end": self.trial_end,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": self.trial_start,
        })
    }
}

fn get<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a Subscription> {
    context.world.subscriptions.get(id).ok_or_else(|| context.no_such("subscription", id, "id"))
}

fn change<'a>(context: &'a mut Context<'_>, id: &str) -> &'a mut Subscription {
    context.world.subscriptions.get_mut(id).expect("the caller found it")
}

/// The intent of the newest invoice, while it is to be paid.
pub fn first_intent(context: &Context<'_>, id: &str) -> Option<String> {
    let invoice = context.world.subscriptions.get(id)?.latest_invoice.as_ref()?;
    context.world.invoices.get(invoice)?.payment_intent.clone()
}

/// The Checkout Session that a subscription's invoice came from.
pub fn session_of(context: &Context<'_>, invoice: &str) -> Option<String> {
    let invoice = context.world.invoices.get(invoice)?;
    context.world.subscriptions.get(&invoice.subscription)?.checkout_session.clone()
}

/// The card that renewals are charged to.
pub fn saved_method(context: &Context<'_>, invoice: &Invoice) -> Option<String> {
    let own = context.world.subscriptions.get(&invoice.subscription)?.default_payment_method.clone();
    own.or_else(|| context.world.customers.get(&invoice.customer)?.default_payment_method.clone())
}

/// `GET /v1/subscriptions/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    Ok(get(context, ids[0])?.render(context.world))
}

/// `GET /v1/subscriptions`: all but the canceled ones, unless asked for.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (customer, price, status) = (params.text("customer"), params.text("price"), params.text("status"));
    list::render(
        &context.world.subscriptions,
        &Page::from_params(params)?,
        "/v1/subscriptions",
        |one| {
            let wanted = match status {
                None => one.status != SubscriptionStatus::Canceled,
                Some("all") => true,
                Some("ended") => one.ended_at.is_some(),
                Some(status) => json!(one.status) == status,
            };
            wanted
                && customer.is_none_or(|id| one.customer == id)
                && price.is_none_or(|id| one.items.iter().any(|item| item.price == id))
        },
        |one| one.render(context.world),
    )
}
