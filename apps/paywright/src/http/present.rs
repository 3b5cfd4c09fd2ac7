//! Domain values as the API shows them.

use std::collections::BTreeMap;

use paywright_domain::{
    Channel, Decline, Metadata, Mode, Order, OrderItem, Payment, Product,
    ports::{OrderView, TimelineEntry},
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::openapi::words;

/// A list, as every list route answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    #[schema(schema_with = words::list)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub struct ProductJson {
    #[schema(value_type = words::ProductId)]
    id: String,
    #[schema(schema_with = words::product)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    name: String,
    unit_amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
    active: bool,
    #[schema(value_type = words::Metadata)]
    metadata: Metadata,
    version: u32,
    #[schema(format = DateTime)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderJson {
    #[schema(value_type = words::OrderId)]
    id: String,
    #[schema(schema_with = words::order)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(value_type = words::OrderState)]
    state: String,
    #[schema(required, value_type = Option<words::CustomerId>)]
    customer: Option<String>,
    #[schema(required, format = "email")]
    customer_email: Option<String>,
    #[schema(value_type = words::Currency)]
    currency: String,
    amount_total: u64,
    amount_captured: u64,
    amount_refunded: u64,
    refundable: u64,
    items: Vec<ItemJson>,
    payments: Vec<PaymentJson>,
    // Refunds and disputes are rows of their own once this version learns to make and hear of them; refunds made in
    // Stripe's dashboard show in the amounts.
    #[schema(schema_with = words::none_yet)]
    refunds: [(); 0],
    #[schema(schema_with = words::none_yet)]
    disputes: [(); 0],
    #[schema(required)]
    cancellation: Option<CancellationJson>,
    #[schema(required)]
    shipment: Option<ShipmentJson>,
    #[schema(value_type = words::Metadata)]
    metadata: Metadata,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    version: u32,
    #[schema(format = "uri")]
    checkout_url: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderItem)]
struct ItemJson {
    #[schema(value_type = words::ProductId)]
    product: String,
    name: String,
    unit_amount: u64,
    quantity: u32,
    amount_total: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cancellation)]
struct CancellationJson {
    #[schema(value_type = words::WhyCancelled)]
    reason: String,
    /// Whether the order is cancelled, rather than being about to be.
    done: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shipment)]
struct ShipmentJson {
    carrier: String,
    #[schema(required)]
    tracking: Option<String>,
}

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentJson {
    #[schema(value_type = words::PaymentId)]
    id: String,
    #[schema(schema_with = words::payment)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(value_type = words::OrderId)]
    order: String,
    #[schema(value_type = words::PaymentState)]
    state: String,
    #[schema(value_type = words::Channel)]
    channel: String,
    #[schema(value_type = words::Currency)]
    currency: String,
    amount: u64,
    amount_capturable: u64,
    amount_captured: u64,
    amount_refunded: u64,
    #[schema(required)]
    stripe_payment_intent: Option<String>,
    #[schema(required)]
    stripe_checkout_session: Option<String>,
    declines: Vec<DeclineJson>,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decline)]
struct DeclineJson {
    code: String,
    #[schema(required)]
    decline_code: Option<String>,
    message: String,
    #[schema(format = DateTime)]
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
    /// The payment with those of the declines that are its own.
    pub fn new(payment: &Payment, declines: &[Decline]) -> Self {
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub struct EntryJson {
    #[schema(format = DateTime)]
    at: String,
    subject: String,
    #[schema(required, value_type = Option<words::PaymentId>)]
    payment: Option<String>,
    event: String,
    #[schema(required)]
    from: Option<String>,
    #[schema(required)]
    to: Option<String>,
    actor: String,
    cause: String,
    #[schema(required)]
    stripe_event: Option<String>,
    #[schema(required)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Config)]
pub struct ConfigJson {
    /// Test or live.
    #[schema(value_type = words::Mode)]
    pub mode: String,
    /// For Stripe.js; public.
    #[schema(required)]
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
