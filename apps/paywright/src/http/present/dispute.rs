use std::collections::BTreeMap;

use paywright_domain::{Dispute, Evidence};
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// A dispute. Its amount is in minor units of its currency, and may be more than was charged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dispute)]
pub struct DisputeJson {
    #[schema(value_type = words::DisputeId)]
    id: String,
    #[schema(schema_with = words::dispute)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    #[schema(value_type = words::OrderId)]
    order: String,
    #[schema(value_type = words::PaymentId)]
    payment: String,
    amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
    /// The customer's, in Stripe's words.
    #[schema(examples("product_not_received"))]
    reason: String,
    /// Stripe's. More may follow.
    #[schema(examples("needs_response"))]
    status: String,
    /// Until when an answer is taken; null: none is.
    #[schema(required, format = DateTime)]
    due_by: Option<String>,
    /// Whether the payment can still be refunded: during an inquiry, and after it was won.
    refundable: bool,
    /// Whether the bank has our answer.
    submitted: bool,
    /// What Stripe is being told and has not answered yet: `stage`, `submit` or `accept`.
    #[schema(required)]
    answering: Option<String>,
    /// What we have to say, by the names of its parts.
    #[schema(value_type = words::Evidence)]
    evidence: BTreeMap<String, String>,
    /// What would be submitted for the parts that nobody wrote, from our own books. Only in the answer that shows one
    /// dispute, and only while an answer is taken.
    #[schema(required, value_type = Option<words::Evidence>)]
    suggested_evidence: Option<BTreeMap<String, String>>,
    gateway_dispute: String,
    #[schema(format = DateTime)]
    created_at: String,
}

impl DisputeJson {
    /// The dispute as it stands.
    pub fn new(dispute: &Dispute) -> Self {
        let seen = &dispute.seen;
        Self {
            id: dispute.id.to_string(),
            object: "dispute",
            mode: dispute.mode.to_string(),
            order: dispute.order.to_string(),
            payment: dispute.payment.to_string(),
            amount: seen.amount.minor(),
            currency: seen.amount.currency().to_string(),
            reason: seen.reason.clone(),
            status: seen.status.to_string(),
            due_by: seen.due_by.map(rfc3339),
            refundable: seen.refundable,
            submitted: seen.submitted,
            answering: dispute.answering.map(|answer| answer.to_string()),
            evidence: dispute.evidence.parts().clone(),
            suggested_evidence: None,
            gateway_dispute: dispute.gateway.to_string(),
            created_at: rfc3339(dispute.created_at),
        }
    }

    /// With what our books would say where nobody said anything.
    #[must_use]
    pub fn suggesting(mut self, gathered: &Evidence) -> Self {
        let mut parts = gathered.parts().clone();
        parts.retain(|part, _| !self.evidence.contains_key(part));
        self.suggested_evidence = Some(parts);
        self
    }
}
