//! Checkout Sessions: a hosted page that collects a payment.
//!
//! Source: <https://docs.stripe.com/api/checkout/sessions>.

mod create;
mod pay;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use create::create;
pub use pay::{Authenticate, PayDetails, conclude, follow, follow_setup, pay, recover};

use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::payment_intent::{self, Status as IntentStatus};
use super::table::Row;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Open,
    Complete,
    Expired,
}

impl Status {
    pub fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    Paid,
    Unpaid,
    NoPaymentRequired,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckoutSession {
    pub id: String,
    pub created: i64,
    pub mode: String,
    pub ui_mode: String,
    pub status: Status,
    pub payment_status: PaymentStatus,
    pub currency: Option<String>,
    pub lines: Vec<Line>,
    pub metadata: Metadata,
    pub client_reference_id: Option<String>,
    pub client_secret: Option<String>,
    pub customer: Option<String>,
    pub customer_email: Option<String>,
    pub customer_creation: Option<String>,
    pub customer_details: Option<Value>,
    pub success_url: Option<String>,
    pub cancel_url: Option<String>,
    pub return_url: Option<String>,
    pub expires_at: i64,
    pub payment_intent: Option<String>,
    pub setup_intent: Option<String>,
    pub subscription: Option<String>,
    pub invoice: Option<String>,
    pub recovered_from: Option<String>,
    /// What a recovery of the expired Session offers, if it was asked for.
    pub recovery: Option<Value>,
    pub payment_intent_data: Map<String, Value>,
    pub setup_intent_data: Map<String, Value>,
    pub subscription_data: Map<String, Value>,
    /// Parameters that are returned as they were sent.
    pub kept: Map<String, Value>,
}

/// One thing that is bought.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    pub id: String,
    pub price: String,
    pub description: String,
    pub quantity: i64,
    pub unit_amount: i64,
    pub currency: String,
    pub metadata: Metadata,
}

/// Parameters that are returned as they were sent.
const KEPT: &[&str] = &[
    "allow_promotion_codes",
    "billing_address_collection",
    "excluded_payment_method_types",
    "integration_identifier",
    "locale",
    "payment_method_collection",
    "submit_type",
];

impl Row for CheckoutSession {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl Line {
    pub fn amount(&self) -> i64 {
        self.unit_amount.saturating_mul(self.quantity)
    }

    fn render(&self, world: &World) -> Value {
        json!({
            "id": self.id,
            "object": "item",
            "adjustable_quantity": null,
            "amount_discount": 0,
            "amount_subtotal": self.amount(),
            "amount_tax": 0,
            "amount_total": self.amount(),
            "currency": self.currency,
            "description": self.description,
            "metadata": self.metadata.to_value(),
            "price": world.prices.get(&self.price).map(|price| price.render(world.livemode)),
            "quantity": self.quantity,
        })
    }
}

impl CheckoutSession {
    pub fn amount(&self) -> i64 {
        self.lines.iter().fold(0, |sum, line| sum.saturating_add(line.amount()))
    }

    /// Where the customer pays, while that is possible.
    pub fn url(&self, world: &World) -> Option<String> {
        let open = self.status == Status::Open && self.ui_mode == "hosted_page";
        open.then(|| format!("{}/c/pay/{}", world.public_url, self.id))
    }

    /// `success_url` or `return_url` with the Session's id in its place.
    pub fn success_url(&self) -> Option<String> {
        let url = self.success_url.as_ref().or(self.return_url.as_ref())?;
        Some(url.replace("{CHECKOUT_SESSION_ID}", &self.id))
    }

    pub fn render(&self, world: &World) -> Value {
        let kept = |name: &str| self.kept.get(name).cloned().unwrap_or(Value::Null);
        let amount = self.currency.as_ref().map(|_| self.amount());
        let method_options =
            self.payment_intent_data.get("capture_method").filter(|method| *method == "manual");
        let mut body = json!({
            "id": self.id,
            "object": "checkout.session",
            "adaptive_pricing": {"enabled": false},
            "after_expiration": self.recovery.as_ref().map(|recovery| json!({"recovery": recovery})),
            "allow_promotion_codes": kept("allow_promotion_codes"),
            "amount_subtotal": amount,
            "amount_total": amount,
            "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
            "billing_address_collection": kept("billing_address_collection"),
            "cancel_url": self.cancel_url,
            "client_reference_id": self.client_reference_id,
            "client_secret": self.client_secret,
            "collected_information": null,
            "consent": null,
            "consent_collection": null,
            "created": self.created,
            "currency": self.currency,
            "currency_conversion": null,
            "custom_fields": [],
            "custom_text": {
                "after_submit": null,
                "shipping_address": null,
                "submit": null,
                "terms_of_service_acceptance": null,
            },
            "customer": self.customer,
            "customer_account": null,
            "customer_creation": self.customer_creation,
            "customer_details": self.customer_details.clone().unwrap_or_else(|| details(self.customer_email.as_deref(), None)),
            "customer_email": self.customer_email,
            "discounts": [],
            "expires_at": self.expires_at,
            "integration_identifier": kept("integration_identifier"),
            "invoice": self.invoice,
            "invoice_creation": null,
            "livemode": world.livemode,
            "locale": kept("locale"),
            "managed_payments": null,
            "metadata": self.metadata.to_value(),
            "mode": self.mode,
            "origin_context": null,
            "payment_intent": self.payment_intent,
            "payment_link": null,
            "payment_method_collection": kept("payment_method_collection"),
            "payment_method_configuration_details": null,
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"],
            "payment_status": self.payment_status,
            "permissions": null,
            "phone_number_collection": {"enabled": false},
            "recovered_from": self.recovered_from,
            "saved_payment_method_options": null,
            "setup_intent": self.setup_intent,
            "shipping_address_collection": null,
            "shipping_cost": null,
            "shipping_options": [],
            "status": self.status,
            "submit_type": kept("submit_type"),
            "subscription": self.subscription,
            "success_url": self.success_url,
            "total_details": amount.map(|_| json!({"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0})),
            "ui_mode": self.ui_mode,
            "url": self.url(world),
            "wallet_options": null,
        });
        if let Some(manual) = method_options {
            body["payment_method_options"]["card"]["capture_method"] = manual.clone();
        }
        if let Some(url) = &self.return_url {
            body["return_url"] = json!(url);
            body["redirect_on_completion"] = json!("always");
        }
        if let Some(excluded) = self.kept.get("excluded_payment_method_types") {
            body["excluded_payment_method_types"] = excluded.clone();
        }
        if self.customer_details.is_none() && self.customer_email.is_none() {
            body["customer_details"] = Value::Null;
        }
        body
    }

    pub fn render_lines(&self, world: &World) -> Vec<Value> {
        self.lines.iter().map(|line| line.render(world)).collect()
    }
}

/// `customer_details` of an e-mail address and a name.
pub fn details(email: Option<&str>, name: Option<&str>) -> Value {
    json!({
        "address": null,
        "business_name": null,
        "email": email,
        "individual_name": null,
        "name": name,
        "phone": null,
        "tax_exempt": "none",
        "tax_ids": null,
    })
}

/// A Session that must exist.
///
/// # Errors
/// 404 `resource_missing`.
pub fn get<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a CheckoutSession> {
    context.world.checkout_sessions.get(id).ok_or_else(|| context.no_such("checkout.session", id, "session"))
}

fn change<'a>(context: &'a mut Context<'_>, id: &str) -> &'a mut CheckoutSession {
    context.world.checkout_sessions.get_mut(id).expect("the caller found it")
}

/// `GET /v1/checkout/sessions/{id}`.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    Ok(get(context, ids[0])?.render(context.world))
}

/// `GET /v1/checkout/sessions`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let matches =
        |name: &str, value: Option<&str>| params.text(name).is_none_or(|wanted| value == Some(wanted));
    let email = params.object("customer_details").and_then(|given| given.text("email"));
    list::render(
        &context.world.checkout_sessions,
        &Page::from_params(params)?,
        "/v1/checkout/sessions",
        |session| {
            let own_email = session.customer_details.as_ref().and_then(|given| given["email"].as_str());
            matches("customer", session.customer.as_deref())
                && matches("payment_intent", session.payment_intent.as_deref())
                && matches("subscription", session.subscription.as_deref())
                && matches("payment_link", None)
                && matches("status", Some(session.status.text()))
                && email.is_none_or(|email| own_email == Some(email))
        },
        |session| session.render(context.world),
    )
}

/// `GET /v1/checkout/sessions/{id}/line_items`.
pub fn line_items(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let session = get(context, ids[0])?;
    let rows = session.lines.iter().rev().map(|line| LineRow(line.clone())).collect();
    let url = format!("/v1/checkout/sessions/{}/line_items", session.id);
    list::render(
        &rows,
        &Page::from_params(params)?,
        &url,
        |_| true,
        |row: &LineRow| row.0.render(context.world),
    )
}

/// Lines are listed in their own order, not newest first.
struct LineRow(Line);

impl Row for LineRow {
    fn id(&self) -> &str {
        &self.0.id
    }
    fn created(&self) -> i64 {
        0
    }
}

/// `POST /v1/checkout/sessions/{id}/expire`.
pub fn expire(context: &mut Context<'_>, ids: &[&str], _: Params<'_>) -> ApiResult<Value> {
    let session = get(context, ids[0])?;
    if session.status != Status::Open {
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {}.",
            session.status.text()
        );
        return Err(ApiError::refused(message).into());
    }
    expire_now(context, ids[0]);
    Ok(context.world.session(ids[0]))
}

/// An open Session ends, by the API or by time; its intent is cancelled.
pub fn expire_now(context: &mut Context<'_>, id: &str) {
    let Some(session) = context.world.checkout_sessions.get_mut(id) else { return };
    if session.status != Status::Open {
        return;
    }
    session.status = Status::Expired;
    let intent = session.payment_intent.clone();
    offer_recovery(context, id);
    let body = context.world.session(id);
    context.emit("checkout.session.expired", &body);
    let Some(intent) = intent else { return };
    let status = context.world.payment_intents.get(&intent).map(|intent| intent.status);
    if status.is_some_and(|status| !matches!(status, IntentStatus::Succeeded | IntentStatus::Canceled)) {
        payment_intent::cancel_now(context, &intent, None);
    }
}

/// Source: <https://docs.stripe.com/payments/checkout/abandoned-carts>.
fn offer_recovery(context: &mut Context<'_>, id: &str) {
    let url = format!("{}/c/recover/{id}", context.world.public_url);
    let until = context.now.plus_seconds(30 * super::time::DAY).seconds();
    if let Some(recovery) =
        change(context, id).recovery.as_mut().filter(|recovery| recovery["enabled"] == true)
    {
        recovery["url"] = json!(url);
        recovery["expires_at"] = json!(until);
    }
}
