use paywright_domain::Refund;
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// Money on its way back to the customer.
///
/// `requested`: it is decided, its amount cannot be refunded again, and Stripe is being asked; `pending`: Stripe has
/// accepted it; `succeeded`: the money was sent, and may still come back for up to 30 days. A `failed` or `cancelled`
/// refund frees its amount.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
pub struct RefundJson {
    #[schema(value_type = words::RefundId)]
    id: String,
    #[schema(schema_with = words::refund)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(value_type = words::OrderId)]
    order: String,
    #[schema(value_type = words::PaymentId)]
    payment: String,
    /// In minor units.
    amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
    #[schema(value_type = words::RefundReason)]
    reason: String,
    #[schema(required)]
    note: Option<String>,
    #[schema(value_type = words::RefundState)]
    state: String,
    /// Why it failed: Stripe's code, or its words.
    #[schema(required)]
    failure: Option<String>,
    /// Stripe's name for it, once known.
    #[schema(required)]
    gateway_refund: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&Refund> for RefundJson {
    fn from(refund: &Refund) -> Self {
        Self {
            id: refund.id.to_string(),
            object: "refund",
            mode: refund.mode.to_string(),
            order: refund.order.to_string(),
            payment: refund.payment.to_string(),
            amount: refund.amount.minor(),
            currency: refund.amount.currency().to_string(),
            reason: refund.reason.to_string(),
            note: refund.note.clone(),
            state: refund.state.to_string(),
            failure: refund.failure.clone(),
            gateway_refund: refund.gateway.as_ref().map(ToString::to_string),
            created_at: rfc3339(refund.created_at),
        }
    }
}
