//! Domain values as the API shows them.

use std::collections::BTreeMap;

use paywright_domain::{
    Channel, Decline, Metadata, Mode, Order, OrderItem, Payment, Product,
    ports::{OrderView, TimelineEntry},
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A list, as every list route answers.
#[derive(Debug, Serialize)]
pub struct List<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
}

impl<T> List<T> {
    /// A page.
    pub fn new(data: Vec<T>, has_more: bool) -> Self {
        Self { object: "list", data, has_more }
    }
}

/// A product. Its amount is in minor units of its currency.
#[derive(Debug, Serialize)]
pub struct ProductJson {
    id: String,
    object: &'static str,
    mode: String,
    name: String,
    unit_amount: u64,
    currency: String,
    active: bool,
    metadata: Metadata,
    version: u32,
    created_at: String,
}

impl From<&Product> for ProductJson {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.to_string(),
            object: "product",
            mode: product.mode.to_string(),
            name: product.name.clone(),
            unit_amount: product.unit_price.minor(),
            currency: product.unit_price.currency().to_string(),
            active: product.active,
            metadata: product.metadata.clone(),
            version: product.version.number(),
            created_at: rfc3339(product.created_at),
        }
    }
}

/// An order with all its parts. Its amounts are in minor units of its currency.
#[derive(Debug, Serialize)]
pub struct OrderJson {
    id: String,
    object: &'static str,
    mode: String,
    state: String,
    customer: Option<String>,
    customer_email: Option<String>,
    currency: String,
    amount_total: u64,
    amount_captured: u64,
    amount_refunded: u64,
    refundable: u64,
    items: Vec<ItemJson>,
    payments: Vec<PaymentJson>,
    // Refunds and disputes are rows of their own once this version learns to make and hear of them; refunds made in
    // Stripe's dashboard show in the amounts.
    refunds: [(); 0],
    disputes: [(); 0],
    cancellation: Option<CancellationJson>,
    shipment: Option<ShipmentJson>,
    metadata: Metadata,
    created_at: String,
    expires_at: String,
    version: u32,
    checkout_url: String,
}

#[derive(Debug, Serialize)]
struct ItemJson {
    product: String,
    name: String,
    unit_amount: u64,
    quantity: u32,
    amount_total: u64,
}

#[derive(Debug, Serialize)]
struct CancellationJson {
    reason: String,
    /// Whether the order is cancelled, rather than being about to be.
    done: bool,
}

#[derive(Debug, Serialize)]
struct ShipmentJson {
    carrier: String,
    tracking: Option<String>,
}

/// A payment.
#[derive(Debug, Serialize)]
pub struct PaymentJson {
    id: String,
    object: &'static str,
    mode: String,
    order: String,
    state: String,
    channel: String,
    currency: String,
    amount: u64,
    amount_capturable: u64,
    amount_captured: u64,
    amount_refunded: u64,
    stripe_payment_intent: Option<String>,
    stripe_checkout_session: Option<String>,
    declines: Vec<DeclineJson>,
    created_at: String,
}

#[derive(Debug, Serialize)]
struct DeclineJson {
    code: String,
    decline_code: Option<String>,
    message: String,
    at: String,
}

impl OrderJson {
    /// The order as it is read, with the address of its checkout page.
    pub fn new(view: &OrderView, public_url: &str) -> Self {
        let order = &view.order;
        let sum = |amount: fn(&Payment) -> u64| view.payments.iter().map(amount).sum::<u64>();
        let captured = sum(|payment| payment.captured.minor());
        let refunded = sum(|payment| payment.refunded.minor());
        Self {
            id: order.id.to_string(),
            object: "order",
            mode: order.mode.to_string(),
            state: order.state.to_string(),
            customer: order.customer.map(|id| id.to_string()),
            customer_email: order.customer_email.clone(),
            currency: order.total.currency().to_string(),
            amount_total: order.total.minor(),
            amount_captured: captured,
            amount_refunded: refunded,
            refundable: captured.saturating_sub(refunded),
            items: order.items.iter().map(ItemJson::new).collect(),
            payments: view.payments.iter().map(|payment| PaymentJson::new(payment, &view.declines)).collect(),
            refunds: [],
            disputes: [],
            cancellation: order.cancellation.map(|reason| CancellationJson {
                reason: reason.to_string(),
                done: order.state == paywright_domain::OrderState::Cancelled,
            }),
            shipment: order.shipment.as_ref().map(|shipment| ShipmentJson {
                carrier: shipment.carrier.clone(),
                tracking: shipment.tracking.clone(),
            }),
            metadata: order.metadata.clone(),
            created_at: rfc3339(order.created_at),
            expires_at: rfc3339(order.expires_at),
            version: order.version.number(),
            checkout_url: checkout_url(order, public_url),
        }
    }
}

impl ItemJson {
    fn new(item: &OrderItem) -> Self {
        Self {
            product: item.product.to_string(),
            name: item.name.clone(),
            unit_amount: item.unit_price.minor(),
            quantity: item.quantity,
            // Placing checked that it does not overflow.
            amount_total: item.total().map_or(0, |total| total.minor()),
        }
    }
}

impl PaymentJson {
    fn new(payment: &Payment, declines: &[Decline]) -> Self {
        Self {
            id: payment.id.to_string(),
            object: "payment",
            mode: payment.mode.to_string(),
            order: payment.order.to_string(),
            state: payment.state.to_string(),
            channel: match payment.channel {
                Channel::PaymentIntent => "payment_intent".to_owned(),
                Channel::Checkout(_) => "checkout".to_owned(),
            },
            currency: payment.amount.currency().to_string(),
            amount: payment.amount.minor(),
            amount_capturable: payment.capturable.minor(),
            amount_captured: payment.captured.minor(),
            amount_refunded: payment.refunded.minor(),
            stripe_payment_intent: payment.intent.as_ref().map(ToString::to_string),
            stripe_checkout_session: payment.session.as_ref().map(ToString::to_string),
            declines: declines.iter().filter(|one| one.payment == payment.id).map(DeclineJson::new).collect(),
            created_at: rfc3339(payment.created_at),
        }
    }
}

impl DeclineJson {
    fn new(decline: &Decline) -> Self {
        Self {
            code: decline.refusal.code.clone(),
            decline_code: decline.refusal.decline_code.clone(),
            message: decline.refusal.message.clone(),
            at: rfc3339(decline.refusal.at),
        }
    }
}

/// One line of the timeline.
#[derive(Debug, Serialize)]
pub struct EntryJson {
    at: String,
    subject: String,
    payment: Option<String>,
    event: String,
    from: Option<String>,
    to: Option<String>,
    actor: String,
    cause: String,
    stripe_event: Option<String>,
    stripe_request_id: Option<String>,
    detail: BTreeMap<String, String>,
}

impl From<TimelineEntry> for EntryJson {
    fn from(entry: TimelineEntry) -> Self {
        Self {
            at: rfc3339(entry.at),
            subject: entry.subject,
            payment: entry.payment.map(|id| id.to_string()),
            event: entry.event,
            from: entry.from,
            to: entry.to,
            actor: entry.actor,
            cause: entry.cause,
            stripe_event: entry.gateway_event,
            stripe_request_id: entry.gateway_request,
            detail: entry.detail,
        }
    }
}

/// `GET /v1/config`.
#[derive(Debug, Serialize)]
pub struct ConfigJson {
    /// Test or live.
    pub mode: String,
    /// For Stripe.js; public.
    pub publishable_key: Option<String>,
}

impl ConfigJson {
    /// What is public of the configuration.
    pub fn new(mode: Mode, publishable_key: Option<String>) -> Self {
        Self { mode: mode.to_string(), publishable_key }
    }
}

/// The order's own page.
pub fn checkout_url(order: &Order, public_url: &str) -> String {
    format!("{public_url}/checkout/{}", order.token)
}

/// RFC 3339, UTC.
pub fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("times here have four-digit years")
}
