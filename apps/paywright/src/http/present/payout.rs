use paywright_domain::{PayoutPart, PayoutRecord};
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// Money that Stripe sent to our bank, and what it is made of. Amounts are in minor units.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payout)]
pub struct PayoutJson {
    /// Stripe's name for it.
    #[schema(examples("po_1SVo2LJ8mKxW4q"))]
    id: String,
    #[schema(schema_with = words::payout)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    /// What reached the bank; negative when a negative balance was taken from it.
    amount: i64,
    #[schema(value_type = words::Currency)]
    currency: String,
    /// Stripe's word for how it stands. More may follow.
    #[schema(examples("paid"))]
    status: String,
    /// Whether Stripe chose its moment and amount. One that was made by hand cannot be explained.
    automatic: bool,
    /// Whether it is the sum of its parts, to the cent; null as long as it was not looked into: it is not paid yet, or
    /// was made by hand.
    #[schema(required)]
    explained: Option<bool>,
    /// Its amount less what it is made of. Anything but zero is a break.
    #[schema(required)]
    remainder: Option<i64>,
    /// What it paid out, by kind.
    parts: Vec<PayoutPartJson>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the bank has it, or is to have it.
    #[schema(format = DateTime)]
    arrives_at: String,
    /// When it was looked at last.
    #[schema(format = DateTime)]
    seen_at: String,
}

/// The movements of one kind in a payout.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PayoutPart)]
struct PayoutPartJson {
    /// Stripe's word for the kind. More may follow.
    #[schema(examples("charge"))]
    kind: String,
    /// How many.
    count: u64,
    /// Their sum before fees; negative when it leaves the balance.
    amount: i64,
    /// What Stripe kept of them.
    fee: i64,
    /// What they added to the payout.
    net: i64,
}

impl From<&PayoutRecord> for PayoutJson {
    fn from(record: &PayoutRecord) -> Self {
        let payout = &record.payout;
        Self {
            id: payout.id.to_string(),
            object: "payout",
            mode: record.mode.to_string(),
            amount: payout.signed(),
            currency: payout.amount.currency().to_string(),
            status: payout.status.clone(),
            automatic: payout.automatic,
            explained: record.remainder.map(|_| record.is_explained()),
            remainder: record.remainder,
            parts: record.parts.iter().map(PayoutPartJson::new).collect(),
            created_at: rfc3339(payout.created_at),
            arrives_at: rfc3339(payout.arrives_at),
            seen_at: rfc3339(record.seen_at),
        }
    }
}

impl PayoutPartJson {
    fn new(part: &PayoutPart) -> Self {
        let PayoutPart { kind, count, amount, fee } = part.clone();
        Self { kind, count, amount, fee, net: amount.saturating_sub(fee) }
    }
}
