//! Disputes and their evidence as Stripe shows them.

use serde_json::{Map, Value, json};

use super::Dispute;
use crate::model::world::World;

/// The texts and files that evidence may hold.
/// Source: <https://docs.stripe.com/api/disputes/evidence_object>.
pub(super) const EVIDENCE: &[&str] = &[
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
];

impl Dispute {
    pub fn render(&self, world: &World) -> Value {
        let mut evidence: Map<String, Value> = EVIDENCE
            .iter()
            .map(|name| ((*name).to_owned(), self.evidence.get(*name).cloned().unwrap_or(Value::Null)))
            .collect();
        evidence.insert("enhanced_evidence".into(), json!({}));
        let booked = self.balance_transactions.iter().filter_map(|id| world.balance_transactions.get(id));
        json!({
            "id": self.id,
            "object": "dispute",
            "amount": self.amount,
            "balance_transactions": booked.map(|one| one.render()).collect::<Vec<_>>(),
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "enhanced_eligibility_types": [],
            "evidence": evidence,
            "evidence_details": {
                "due_by": if self.is_closed() { Value::Null } else { json!(self.due_by) },
                "enhanced_eligibility": {},
                "has_evidence": !self.evidence.is_empty(),
                "past_due": world.clock_seconds > self.due_by,
                "submission_count": self.submissions,
            },
            "is_charge_refundable": self.is_charge_refundable(),
            "livemode": world.livemode,
            "metadata": self.metadata.to_value(),
            "payment_intent": self.payment_intent,
            "payment_method_details": {
                "card": {
                    "brand": self.brand,
                    "case_type": if self.is_inquiry() { "inquiry" } else { "chargeback" },
                    "network": self.brand,
                    "network_reason_code": if self.reason == "fraudulent" { "10.4" } else { "13.1" },
                },
                "type": "card",
            },
            "reason": self.reason,
            "status": self.status,
        })
    }
}
