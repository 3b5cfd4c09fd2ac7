use paywright_domain::{Metadata, Order, OrderItem, OrderState, Payment, ports::OrderView};
use serde::Serialize;
use utoipa::ToSchema;

use super::{DisputeJson, PaymentJson, RefundJson, rfc3339};
use crate::http::openapi::words;

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
    #[schema(value_type = words::CaptureMethod)]
    capture_method: String,
    #[schema(value_type = words::Currency)]
    currency: String,
    amount_total: u64,
    /// Taken, over all payments.
    amount_captured: u64,
    /// Given back, or on its way: refunds that failed do not count.
    amount_refunded: u64,
    /// Withheld or taken by disputes.
    amount_disputed: u64,
    /// What can still be given back of the payment that paid it.
    refundable: u64,
    items: Vec<ItemJson>,
    payments: Vec<PaymentJson>,
    refunds: Vec<RefundJson>,
    disputes: Vec<DisputeJson>,
    /// Whether fulfilment begins as soon as Stripe has taken the reserved money.
    fulfillment_requested: bool,
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

impl OrderJson {
    /// The order as it is read, with the address of its checkout page.
    pub fn new(view: &OrderView, public_url: &str) -> Self {
        let order = &view.order;
        let sum = |amount: fn(&Payment) -> u64| view.payments.iter().map(amount).sum::<u64>();
        let paying = view.payments.iter().find(|payment| Some(payment.id) == order.paid_by);
        Self {
            id: order.id.to_string(),
            object: "order",
            mode: order.mode.to_string(),
            state: order.state.to_string(),
            customer: order.customer.map(|id| id.to_string()),
            customer_email: order.customer_email.clone(),
            capture_method: order.capture.to_string(),
            currency: order.total.currency().to_string(),
            amount_total: order.total.minor(),
            amount_captured: sum(|payment| payment.captured.minor()),
            amount_refunded: sum(|payment| payment.refunded.minor()),
            amount_disputed: sum(|payment| payment.disputed.minor()),
            refundable: paying.map_or(0, |payment| payment.refundable().minor()),
            items: order.items.iter().map(ItemJson::new).collect(),
            payments: view.payments.iter().map(|payment| PaymentJson::new(payment, &view.declines)).collect(),
            refunds: view.refunds.iter().map(RefundJson::from).collect(),
            disputes: view.disputes.iter().map(DisputeJson::new).collect(),
            fulfillment_requested: order.fulfillment_requested,
            cancellation: order.cancellation.map(|reason| CancellationJson {
                reason: reason.to_string(),
                done: matches!(order.state, OrderState::Cancelled | OrderState::Refunded),
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

/// The order's own page.
pub fn checkout_url(order: &Order, public_url: &str) -> String {
    format!("{public_url}/checkout/{}", order.token)
}
