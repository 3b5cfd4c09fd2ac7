//! PaymentIntents: collecting one amount, through as many tries as it takes.
//!
//! Source: <https://docs.stripe.com/api/payment_intents> and
//! <https://docs.stripe.com/payments/paymentintents/lifecycle>.

mod confirm;
mod create;
mod finish;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use confirm::{Attempt, authenticate, conclude, confirm, pay_with, settle};
pub use create::{check_allowed, create, new, shipping, update};
pub use finish::{cancel, cancel_now, capture, expire_hold, increment_authorization};

use super::context::Context;
use super::error::{ApiError, ApiResult};
use super::list::{self, Page};
use super::metadata::Metadata;
use super::params::Params;
use super::table::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    pub fn text(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

/// Who made an intent, apart from the API's user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    CheckoutSession(String),
    Invoice(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaymentIntent {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub amount_capturable: i64,
    pub amount_received: i64,
    pub currency: String,
    pub status: Status,
    pub capture_method: String,
    pub confirmation_method: String,
    pub client_secret: String,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub payment_method: Option<String>,
    pub payment_method_types: Vec<String>,
    pub payment_method_options: Value,
    pub automatic_payment_methods: Option<Value>,
    pub receipt_email: Option<String>,
    pub setup_future_usage: Option<String>,
    pub shipping: Option<Value>,
    pub return_url: Option<String>,
    pub latest_charge: Option<String>,
    pub last_payment_error: Option<Value>,
    pub next_action: Option<Value>,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<String>,
    /// Every try, oldest first.
    pub charges: Vec<String>,
    /// Parameters that the sandbox returns as they were sent, without acting on them.
    pub kept: Map<String, Value>,
    pub owner: Option<Owner>,
    pub increments: u32,
    /// The newest try was made without the customer.
    #[serde(default)]
    pub off_session: bool,
}

/// Parameters that are returned as they were sent.
pub const KEPT: &[&str] = &[
    "allowed_payment_method_types",
    "application_fee_amount",
    "excluded_payment_method_types",
    "on_behalf_of",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
];

impl Row for PaymentIntent {
    fn id(&self) -> &str {
        &self.id
    }
    fn created(&self) -> i64 {
        self.created
    }
}

impl PaymentIntent {
    pub fn captures_automatically(&self) -> bool {
        self.capture_method != "manual"
    }

    pub fn kept_text(&self, name: &str) -> Option<String> {
        self.kept.get(name)?.as_str().map(str::to_owned)
    }

    pub fn render(&self, livemode: bool) -> Value {
        let kept = |name: &str| self.kept.get(name).cloned().unwrap_or(Value::Null);
        let mut body = json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_details": {"tip": {}},
            "amount_received": self.amount_received,
            "application": null,
            "application_fee_amount": kept("application_fee_amount"),
            "automatic_payment_methods": self.automatic_payment_methods,
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": self.client_secret,
            "confirmation_method": self.confirmation_method,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "customer_account": null,
            "description": self.description,
            "excluded_payment_method_types": kept("excluded_payment_method_types"),
            "last_payment_error": self.last_payment_error,
            "latest_charge": self.latest_charge,
            "livemode": livemode,
            "managed_payments": null,
            "metadata": self.metadata.to_value(),
            "next_action": self.next_action,
            "on_behalf_of": kept("on_behalf_of"),
            "payment_method": self.payment_method,
            "payment_method_configuration_details": null,
            "payment_method_options": self.payment_method_options,
            "payment_method_types": self.payment_method_types,
            "processing": null,
            "receipt_email": self.receipt_email,
            "review": null,
            "setup_future_usage": self.setup_future_usage,
            "shipping": self.shipping,
            "source": null,
            "statement_descriptor": kept("statement_descriptor"),
            "statement_descriptor_suffix": kept("statement_descriptor_suffix"),
            "status": self.status,
            "transfer_data": null,
            "transfer_group": kept("transfer_group"),
        });
        if let Some(allowed) = self.kept.get("allowed_payment_method_types") {
            body["allowed_payment_method_types"] = allowed.clone();
        }
        body
    }
}

/// An intent that must exist.
///
/// # Errors
/// 404 `resource_missing`, param `intent`.
pub fn get<'a>(context: &'a Context<'_>, id: &str) -> ApiResult<&'a PaymentIntent> {
    context.world.payment_intents.get(id).ok_or_else(|| context.no_such("payment_intent", id, "intent"))
}

/// The intent, to be changed, after it was found to exist.
fn change<'a>(context: &'a mut Context<'_>, id: &str) -> &'a mut PaymentIntent {
    context.world.payment_intents.get_mut(id).expect("the caller found it")
}

/// 400 for an intent in the wrong state; the answer carries the whole intent.
fn unexpected_state(context: &Context<'_>, id: &str, message: String) -> Box<ApiError> {
    let intent = context.world.intent(id);
    ApiError::refused(message).code("payment_intent_unexpected_state").with("payment_intent", intent).into()
}

/// `GET /v1/payment_intents/{id}`; a publishable key must bring the client secret.
pub fn retrieve(context: &mut Context<'_>, ids: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let intent = get(context, ids[0])?;
    match params.text("client_secret") {
        Some(secret) if secret != intent.client_secret => {
            Err(ApiError::refused(format!("The client_secret provided does not match the client_secret associated with the PaymentIntent {}.", intent.id))
                .code("payment_intent_invalid_parameter")
                .param("client_secret")
                .into())
        }
        _ => Ok(intent.render(context.world.livemode)),
    }
}

/// `GET /v1/payment_intents`.
pub fn list(context: &mut Context<'_>, _: &[&str], params: Params<'_>) -> ApiResult<Value> {
    let (livemode, customer) = (context.world.livemode, params.text("customer"));
    list::render(
        &context.world.payment_intents,
        &Page::from_params(params)?,
        "/v1/payment_intents",
        |intent| customer.is_none_or(|id| intent.customer.as_deref() == Some(id)),
        |intent| intent.render(livemode),
    )
}
