//! Stripe's JSON, as much of it as is needed.
//!
//! Unknown fields are passed over, a field that is null and one that is missing are the same, and what Stripe
//! may extend stays text. Source:
//! <https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible>

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Expandable, Secret};

/// Source: <https://docs.stripe.com/api/payment_intents/object>
#[derive(Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) amount: u64,
    pub(crate) amount_capturable: Option<u64>,
    pub(crate) amount_received: Option<u64>,
    pub(crate) currency: String,
    pub(crate) status: String,
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) latest_charge: Option<Expandable<LatestCharge>>,
    pub(crate) last_payment_error: Option<PaymentError>,
}

/// The charge inside a PaymentIntent, when it was asked for.
#[derive(Deserialize)]
pub(crate) struct LatestCharge {
    pub(crate) id: String,
    pub(crate) created: Option<i64>,
    pub(crate) captured: Option<bool>,
    pub(crate) amount_refunded: Option<u64>,
    pub(crate) balance_transaction: Option<Expandable<BalanceTransaction>>,
    pub(crate) payment_method_details: Option<PaymentMethodDetails>,
}

/// Source: <https://docs.stripe.com/api/checkout/sessions/object>
#[derive(Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) mode: String,
    pub(crate) amount_total: Option<u64>,
    pub(crate) currency: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) payment_intent: Option<Expandable<Named>>,
    pub(crate) url: Option<String>,
}

/// Source: <https://docs.stripe.com/api/charges/object>
#[derive(Deserialize)]
pub(crate) struct Charge {
    pub(crate) amount: u64,
    pub(crate) amount_captured: u64,
    pub(crate) amount_refunded: u64,
    pub(crate) captured: bool,
    pub(crate) currency: String,
    pub(crate) livemode: bool,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) payment_intent: Option<Expandable<Named>>,
    pub(crate) status: String,
    pub(crate) balance_transaction: Option<Expandable<BalanceTransaction>>,
    pub(crate) payment_method_details: Option<PaymentMethodDetails>,
}

/// Of what a charge was made with, only how long a hold lasts.
/// Source: <https://docs.stripe.com/api/charges/object#charge_object-payment_method_details-card-capture_before>
#[derive(Deserialize)]
pub(crate) struct PaymentMethodDetails {
    pub(crate) card: Option<Card>,
}

#[derive(Deserialize)]
pub(crate) struct Card {
    pub(crate) capture_before: Option<i64>,
}

/// Source: <https://docs.stripe.com/api/balance_transactions/object>
#[derive(Deserialize)]
pub(crate) struct BalanceTransaction {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) fee: i64,
    pub(crate) currency: String,
    pub(crate) created: i64,
}

/// What made a balance transaction.
#[derive(Deserialize)]
pub(crate) struct Cause {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) source: Option<Expandable<Source>>,
}

/// A charge, a refund, a dispute, a payout, and whatever else moves a balance.
#[derive(Deserialize)]
pub(crate) struct Source {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) payment_intent: Option<Expandable<Named>>,
}

/// Source: <https://docs.stripe.com/api/payouts/object>
#[derive(Deserialize)]
pub(crate) struct Payout {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: String,
    pub(crate) automatic: bool,
    pub(crate) created: i64,
    pub(crate) arrival_date: i64,
    pub(crate) reconciliation_status: Option<String>,
}

/// Source: <https://docs.stripe.com/api/webhook_endpoints/object>
#[derive(Deserialize)]
pub(crate) struct WebhookEndpoint {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) url: String,
    pub(crate) status: String,
    pub(crate) enabled_events: Vec<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) livemode: bool,
    pub(crate) created: i64,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) secret: Option<Secret>,
}

/// Source: <https://docs.stripe.com/api/refunds/object>
#[derive(Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) created: i64,
    pub(crate) status: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) payment_intent: Option<Expandable<Named>>,
    pub(crate) balance_transaction: Option<Expandable<BalanceTransaction>>,
    pub(crate) failure_balance_transaction: Option<Expandable<BalanceTransaction>>,
}

/// Source: <https://docs.stripe.com/api/disputes/object>
#[derive(Deserialize)]
pub(crate) struct Dispute {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) is_charge_refundable: bool,
    pub(crate) payment_intent: Option<Expandable<Named>>,
    pub(crate) evidence_details: Option<EvidenceDetails>,
    pub(crate) balance_transactions: Vec<BalanceTransaction>,
}

/// Until when an answer is taken, and whether one was given.
#[derive(Deserialize)]
pub(crate) struct EvidenceDetails {
    pub(crate) due_by: Option<i64>,
    pub(crate) submission_count: Option<u64>,
}

/// Any object of a version whose other fields we do not know.
#[derive(Deserialize)]
pub(crate) struct Bare {
    pub(crate) id: String,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) payment_intent: Option<Expandable<Named>>,
}

/// What every row of a list has that is kept for comparison.
#[derive(Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) created: i64,
}

/// Our own pairs of an object's metadata.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) paywright_endpoint: Option<String>,
    pub(crate) paywright_order: Option<String>,
    pub(crate) paywright_payment: Option<String>,
    pub(crate) paywright_refund: Option<String>,
}

/// An object of which only the id matters.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) id: String,
}

impl Expandable<Named> {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Object(object) => &object.id,
        }
    }
}

/// Why an attempt to pay failed. Source:
/// <https://docs.stripe.com/api/payment_intents/object#payment_intent_object-last_payment_error>
#[derive(Deserialize)]
pub(crate) struct PaymentError {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) decline_code: Option<String>,
    pub(crate) advice_code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) charge: Option<String>,
    pub(crate) payment_method: Option<Expandable<Named>>,
}

/// The body of every answer that is no success. Source: <https://docs.stripe.com/api/errors>
#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: ApiError,
}

/// An error of the API.
#[derive(Deserialize)]
pub(crate) struct ApiError {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) decline_code: Option<String>,
    pub(crate) advice_code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) charge: Option<String>,
    /// Read apart: that it is odd makes the error no less definite.
    pub(crate) payment_intent: Option<serde_json::Value>,
}

impl From<ApiError> for PaymentError {
    fn from(error: ApiError) -> Self {
        let ApiError { kind, code, param: _, decline_code, advice_code, message, charge, payment_intent: _ } =
            error;
        Self { kind: Some(kind), code, decline_code, advice_code, message, charge, payment_method: None }
    }
}

/// A page of a list. Source: <https://docs.stripe.com/api/pagination>
#[derive(Deserialize)]
pub(crate) struct List {
    pub(crate) object: String,
    pub(crate) data: Vec<Box<RawValue>>,
    pub(crate) has_more: bool,
}
