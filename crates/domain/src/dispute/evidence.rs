//! What a merchant can say in a dispute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, Order, Payment, Refund};

/// Texts by the gateway's names for the parts of an answer.
///
/// Source: <https://docs.stripe.com/api/disputes/evidence_object>
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence(BTreeMap<String, String>);

/// When things happened to the order, for the parts of an answer that tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Happened {
    /// When it was shipped, as a date.
    pub shipped_on: Option<String>,
    /// What happened, a line each, oldest first.
    pub timeline: Vec<String>,
}

impl Evidence {
    /// The parts that take text.
    pub const PARTS: [&str; 18] = [
        "access_activity_log",
        "billing_address",
        "cancellation_policy_disclosure",
        "cancellation_rebuttal",
        "customer_email_address",
        "customer_name",
        "customer_purchase_ip",
        "duplicate_charge_explanation",
        "duplicate_charge_id",
        "product_description",
        "refund_policy_disclosure",
        "refund_refusal_explanation",
        "service_date",
        "shipping_address",
        "shipping_carrier",
        "shipping_date",
        "shipping_tracking_number",
        "uncategorized_text",
    ];
    /// The most characters of one part.
    pub const PART_MAX: usize = 20_000;
    /// The most characters of all parts together.
    pub const TOTAL_MAX: usize = 150_000;

    /// Evidence from what a caller handed in. An empty text removes a part.
    ///
    /// # Errors
    /// [`InvalidInput`] names the part: unknown, too long, or too long together.
    pub fn parse(parts: BTreeMap<String, String>) -> Result<Self, InvalidInput> {
        Self::default().edited(parts)
    }

    /// These parts over the ones that are there. An empty text removes a part.
    ///
    /// # Errors
    /// [`InvalidInput`] names the part: unknown, too long, or too long together.
    pub fn edited(&self, parts: BTreeMap<String, String>) -> Result<Self, InvalidInput> {
        let mut all = self.0.clone();
        for (part, text) in parts {
            if !Self::PARTS.contains(&part.as_str()) {
                return Err(InvalidInput::new(
                    format!("evidence.{part}"),
                    "is no part of an answer that takes text",
                ));
            }
            if text.chars().count() > Self::PART_MAX {
                let problem = format!("must have at most {} characters", Self::PART_MAX);
                return Err(InvalidInput::new(format!("evidence.{part}"), problem));
            }
            if text.contains('\0') {
                return Err(InvalidInput::new(format!("evidence.{part}"), "must not hold NUL characters"));
            }
            if text.is_empty() {
                all.remove(&part);
            } else {
                all.insert(part, text);
            }
        }
        if all.values().map(|text| text.chars().count()).sum::<usize>() > Self::TOTAL_MAX {
            let problem = format!("must have at most {} characters together", Self::TOTAL_MAX);
            return Err(InvalidInput::new("evidence", problem));
        }
        Ok(Self(all))
    }

    /// What our own books can say: the order's lines, the customer, the shipment, what was given back, and when what
    /// happened.
    pub fn gather(order: &Order, payment: &Payment, refunds: &[Refund], happened: &Happened) -> Self {
        let mut parts = BTreeMap::new();
        let mut say = |part: &str, text: String| {
            let text: String = text.chars().take(Self::PART_MAX).collect();
            if !text.is_empty() {
                parts.insert(part.to_owned(), text);
            }
        };
        let lines = order
            .items
            .iter()
            .map(|item| format!("{} x {} at {}", item.quantity, item.name, item.unit_price));
        say("product_description", lines.collect::<Vec<_>>().join("\n"));
        say("customer_email_address", order.customer_email.clone().unwrap_or_default());
        if let Some(shipment) = &order.shipment {
            say("shipping_carrier", shipment.carrier.clone());
            say("shipping_tracking_number", shipment.tracking.clone().unwrap_or_default());
            say("shipping_date", happened.shipped_on.clone().unwrap_or_default());
        }
        let given_back = refunds.iter().filter(|refund| refund.state.is_reserved());
        let given_back: Vec<_> = given_back
            .map(|refund| {
                let name = refund.gateway.as_ref().map_or_else(|| refund.id.to_string(), ToString::to_string);
                format!(
                    "{} was refunded on {} ({}, {name})",
                    refund.amount,
                    refund.created_at.date(),
                    refund.state
                )
            })
            .collect();
        say("refund_refusal_explanation", given_back.join("\n"));
        let mut receipt = vec![
            format!("Order {} of {}, placed on {}.", order.id, order.total, order.created_at.date()),
            format!("Payment {} of {}: {} captured.", payment.id, payment.amount, payment.captured),
        ];
        receipt.extend(happened.timeline.iter().cloned());
        say("uncategorized_text", receipt.join("\n"));
        Self(parts)
    }

    /// What a person wrote wins over what was gathered.
    #[must_use]
    pub fn over(self, gathered: Self) -> Self {
        let mut all = gathered.0;
        all.extend(self.0);
        Self(all)
    }

    /// The parts.
    pub fn parts(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
