//! Stripe's form bodies: `application/x-www-form-urlencoded` with brackets for what is nested.
//!
//! A form is a pure function of the recorded call, because Stripe compares the parameters of a repeated
//! request with the first ones. A release that writes another form for the same operation makes repeats of
//! calls recorded before it fail with `idempotency_error`: add parameters only where the operation gained a
//! field.
//!
//! Source: <https://docs.stripe.com/api/idempotent_requests>

use std::collections::BTreeMap;

use paywright_domain::{GatewayCall, Metadata, SessionLine};
use serde::Serialize;

use crate::text;

/// Stripe takes 50 pairs; two are ours. Source: <https://docs.stripe.com/api/metadata>
const METADATA_PAIRS: usize = 50;
const METADATA_KEY_CHARS: usize = 40;
const METADATA_VALUE_CHARS: usize = 500;
/// Keys with this prefix are ours; a merchant's are not passed on.
const RESERVED: &str = "paywright_";
/// Names the order on each object of ours.
const ORDER: &str = "paywright_order";
/// Names the payment on each object of ours.
const PAYMENT: &str = "paywright_payment";

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

/// The parameters of `POST /v1/payment_intents/{intent}/cancel`.
///
/// Source: <https://docs.stripe.com/api/payment_intents/cancel>
#[derive(Serialize)]
pub(crate) struct CancelIntent<'a> {
    pub(crate) cancellation_reason: &'a str,
}

/// Our two pairs, and as many of the merchant's as fit. A pair that Stripe would refuse is left out, so that
/// a note never stands in the way of a payment; an empty value would mean "remove it".
///
/// Source: <https://docs.stripe.com/api/metadata>
pub(crate) fn metadata<'a>(call: &GatewayCall, theirs: &'a Metadata) -> BTreeMap<&'a str, String> {
    let ours = [(ORDER, call.order.to_string()), (PAYMENT, call.payment.to_string())];
    let fitting = theirs.iter().filter(|(key, value)| fits(key, value));
    let theirs_kept =
        fitting.take(METADATA_PAIRS - ours.len()).map(|(key, value)| (key.as_str(), value.clone()));
    let pairs: BTreeMap<_, _> = theirs_kept.chain(ours).collect();
    let dropped = (theirs.len() + 2).saturating_sub(pairs.len());
    if dropped > 0 {
        tracing::warn!(payment.id = %call.payment, dropped, "metadata that Stripe would refuse was left out");
    }
    pairs
}

fn fits(key: &str, value: &str) -> bool {
    let key_fits = (1..=METADATA_KEY_CHARS).contains(&key.chars().count())
        && !key.contains(['[', ']'])
        && !key.chars().any(char::is_control)
        && !key.starts_with(RESERVED);
    key_fits && (1..=METADATA_VALUE_CHARS).contains(&value.chars().count())
}

/// A path segment from an id. Ids are checked where they are made, so nothing needs escaping.
pub(crate) fn segment(id: &str) -> &str {
    debug_assert!(text::is_name(id) && !id.contains(['/', '?', '#', '%', '.']), "{id}");
    id
}
