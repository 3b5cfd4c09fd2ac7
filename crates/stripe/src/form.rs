//! Stripe's form bodies: `application/x-www-form-urlencoded` with brackets for what is nested.
//!
//! A form is a pure function of the recorded call, because Stripe compares the parameters of a repeated
//! request with the first ones. A release that writes another form for the same operation makes repeats of
//! calls recorded before it fail with `idempotency_error`: add parameters only where the operation gained a
//! field.
//!
//! Source: <https://docs.stripe.com/api/idempotent_requests>

use std::collections::BTreeMap;

use paywright_domain::{CaptureMethod, Evidence, GatewayCall, Metadata, SessionLine, Subject};
use serde::Serialize;
use time::OffsetDateTime;

use crate::text;

/// Stripe takes 50 pairs, ours among them. Source: <https://docs.stripe.com/api/metadata>
const METADATA_PAIRS: usize = 50;
const METADATA_KEY_CHARS: usize = 40;
const METADATA_VALUE_CHARS: usize = 500;
/// Keys with this prefix are ours; a merchant's are not passed on.
const RESERVED: &str = "paywright_";
/// Names the order on each object of ours.
const ORDER: &str = "paywright_order";
/// Names the payment on each object of ours.
const PAYMENT: &str = "paywright_payment";
/// Names the refund on each refund of ours.
const REFUND: &str = "paywright_refund";

/// Along with a PaymentIntent, its charge with what it moved in the balance: only these tell how long a hold lasts,
/// what was refunded, and the fee.
///
/// Source: <https://docs.stripe.com/api/payment_intents/object#payment_intent_object-latest_charge>
const WITH_CHARGE: [&str; 1] = ["latest_charge.balance_transaction"];
/// Along with a refund, what it moved in the balance.
const WITH_BALANCE: [&str; 1] = ["balance_transaction"];

/// Writes a form body or a query string, always in the same order.
pub(crate) fn write(fields: &impl Serialize) -> String {
    serde_qs::Config::new()
        .use_form_encoding(true)
        .serialize_string(fields)
        .expect("texts, numbers, and lists and maps of them, can be written as a form")
}

/// The parameters of `POST /v1/payment_intents`.
///
/// Cards only. `payment_method_types` is refused by later versions; `automatic_payment_methods` cannot be
/// sent together with the list of allowed types.
///
/// Source: <https://docs.stripe.com/changelog/dahlia/2026-07-29/allowed-payment-method-types-parameter>
#[derive(Serialize)]
pub(crate) struct CreateIntent<'a> {
    pub(crate) amount: u64,
    pub(crate) currency: &'a str,
    pub(crate) allowed_payment_method_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receipt_email: Option<&'a str>,
    pub(crate) metadata: BTreeMap<&'a str, String>,
}

/// The parameters of `POST /v1/checkout/sessions`.
///
/// The metadata is sent twice: Stripe does not copy a Session's to its PaymentIntent.
///
/// Source: <https://docs.stripe.com/api/checkout/sessions/create>
#[derive(Serialize)]
pub(crate) struct CreateSession<'a> {
    pub(crate) mode: &'static str,
    pub(crate) client_reference_id: String,
    pub(crate) line_items: Vec<LineItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) customer_email: Option<&'a str>,
    pub(crate) success_url: &'a str,
    pub(crate) cancel_url: &'a str,
    pub(crate) expires_at: i64,
    pub(crate) metadata: BTreeMap<&'a str, String>,
    pub(crate) payment_intent_data: PaymentIntentData<'a>,
}

/// What the Session's PaymentIntent gets.
#[derive(Serialize)]
pub(crate) struct PaymentIntentData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture_method: Option<&'static str>,
    pub(crate) metadata: BTreeMap<&'a str, String>,
}

/// One line of a Session.
#[derive(Serialize)]
pub(crate) struct LineItem<'a> {
    quantity: u32,
    price_data: PriceData<'a>,
}

#[derive(Serialize)]
struct PriceData<'a> {
    currency: &'a str,
    unit_amount: u64,
    product_data: ProductData<'a>,
}

#[derive(Serialize)]
struct ProductData<'a> {
    name: &'a str,
}

impl<'a> LineItem<'a> {
    pub(crate) fn new(line: &'a SessionLine, currency: &'a str) -> Self {
        let product_data = ProductData { name: &line.name };
        let price_data = PriceData { currency, unit_amount: line.unit_amount, product_data };
        Self { quantity: line.quantity, price_data }
    }
}

/// What Stripe calls it. Left out for [`CaptureMethod::Automatic`], which is what Stripe does unasked.
///
/// Source: <https://docs.stripe.com/api/payment_intents/create#create_payment_intent-capture_method>
pub(crate) fn capture_method(method: CaptureMethod) -> Option<&'static str> {
    match method {
        CaptureMethod::Automatic => None,
        CaptureMethod::Manual => Some("manual"),
    }
}

/// The parameters of `POST /v1/payment_intents/{intent}/cancel`.
///
/// Source: <https://docs.stripe.com/api/payment_intents/cancel>
#[derive(Serialize)]
pub(crate) struct CancelIntent<'a> {
    cancellation_reason: &'a str,
    expand: [&'static str; 1],
}

impl<'a> CancelIntent<'a> {
    pub(crate) fn new(cancellation_reason: &'a str) -> Self {
        Self { cancellation_reason, expand: WITH_CHARGE }
    }
}

/// The parameters of `POST /v1/payment_intents/{intent}/capture`.
///
/// Source: <https://docs.stripe.com/api/payment_intents/capture>
#[derive(Serialize)]
pub(crate) struct Capture {
    amount_to_capture: u64,
    expand: [&'static str; 1],
}

impl Capture {
    pub(crate) fn new(amount_to_capture: u64) -> Self {
        Self { amount_to_capture, expand: WITH_CHARGE }
    }
}

/// The parameters of `POST /v1/refunds`.
///
/// Source: <https://docs.stripe.com/api/refunds/create>
#[derive(Serialize)]
pub(crate) struct CreateRefund<'a> {
    payment_intent: &'a str,
    amount: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    metadata: BTreeMap<&'a str, String>,
    expand: [&'static str; 1],
}

impl<'a> CreateRefund<'a> {
    pub(crate) fn new(
        payment_intent: &'a str,
        amount: u64,
        reason: Option<&'a str>,
        metadata: BTreeMap<&'a str, String>,
    ) -> Self {
        Self { payment_intent, amount, reason, metadata, expand: WITH_BALANCE }
    }
}

/// The parameters of `POST /v1/disputes/{dispute}`. `submit` is always said: what is not said is submitted, once and
/// for ever.
///
/// Source: <https://docs.stripe.com/api/disputes/update>
#[derive(Serialize)]
pub(crate) struct AnswerDispute<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a BTreeMap<String, String>>,
    submit: bool,
}

impl<'a> AnswerDispute<'a> {
    /// What is not said is left as it is; an empty `evidence` would be taken for an order to remove it.
    pub(crate) fn new(evidence: &'a Evidence, submit: bool) -> Self {
        Self { evidence: Some(evidence.parts()).filter(|parts| !parts.is_empty()), submit }
    }
}

/// The query of a list.
///
/// Source: <https://docs.stripe.com/api/pagination>
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct ListQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payment_intent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Created>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub(crate) expand: &'a [&'static str],
    pub(crate) limit: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) starting_after: Option<&'a str>,
}

/// When the objects of a list were made, in seconds: at or after, and before.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Created {
    gte: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lt: Option<i64>,
}

impl Created {
    pub(crate) fn between(from: OffsetDateTime, before: OffsetDateTime) -> Self {
        Self { gte: from.unix_timestamp(), lt: Some(before.unix_timestamp()) }
    }

    pub(crate) fn since(from: OffsetDateTime) -> Self {
        Self { gte: from.unix_timestamp(), lt: None }
    }

    pub(crate) fn contains(self, seconds: i64) -> bool {
        seconds >= self.gte && self.lt.is_none_or(|lt| seconds < lt)
    }
}

/// Our two pairs, and as many of the merchant's as fit. A pair that Stripe would refuse is left out, so that
/// a note never stands in the way of a payment; an empty value would mean "remove it".
///
/// Source: <https://docs.stripe.com/api/metadata>
pub(crate) fn metadata<'a>(call: &GatewayCall, theirs: &'a Metadata) -> BTreeMap<&'a str, String> {
    pairs(call, theirs, |key| !key.starts_with(RESERVED))
}

/// As [`metadata`], for a refund: it is named too, and the notes on it are the core's own, so that they may have our
/// prefix.
pub(crate) fn refund_metadata<'a>(call: &GatewayCall, notes: &'a Metadata) -> BTreeMap<&'a str, String> {
    pairs(call, notes, |key| ![ORDER, PAYMENT, REFUND].contains(&key))
}

fn pairs<'a>(
    call: &GatewayCall,
    notes: &'a Metadata,
    may_say: fn(&str) -> bool,
) -> BTreeMap<&'a str, String> {
    let refund = match call.subject {
        Subject::Refund(refund) => Some((REFUND, refund.to_string())),
        Subject::Payment(_) | Subject::Dispute(_) => None,
    };
    let ours = [(ORDER, call.order.to_string()), (PAYMENT, call.payment.to_string())];
    let ours: BTreeMap<_, _> = ours.into_iter().chain(refund).collect();
    let fitting = notes.iter().filter(|(key, value)| may_say(key) && fits(key, value));
    let kept = fitting.take(METADATA_PAIRS - ours.len()).map(|(key, value)| (key.as_str(), value.clone()));
    let wanted = notes.len() + ours.len();
    let pairs: BTreeMap<_, _> = kept.chain(ours).collect();
    let dropped = wanted.saturating_sub(pairs.len());
    if dropped > 0 {
        tracing::warn!(payment.id = %call.payment, dropped, "metadata that Stripe would refuse was left out");
    }
    pairs
}

fn fits(key: &str, value: &str) -> bool {
    let key_fits = (1..=METADATA_KEY_CHARS).contains(&key.chars().count())
        && !key.contains(['[', ']'])
        && !key.chars().any(char::is_control);
    key_fits && (1..=METADATA_VALUE_CHARS).contains(&value.chars().count())
}

/// A path segment from an id. Ids are checked where they are made, so nothing needs escaping.
pub(crate) fn segment(id: &str) -> &str {
    debug_assert!(text::is_name(id) && !id.contains(['/', '?', '#', '%', '.']), "{id}");
    id
}
