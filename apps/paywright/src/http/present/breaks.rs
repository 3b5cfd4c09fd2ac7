use paywright_domain::ports::BreakView;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, schema::Type},
};

use super::rfc3339;
use crate::http::openapi::words;

/// A difference between our books and Stripe's that no rule explains.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Break)]
pub struct BreakJson {
    #[schema(value_type = words::BreakId)]
    id: String,
    #[schema(schema_with = broken)]
    object: &'static str,
    /// What differs. More may follow.
    #[schema(examples("amount_mismatch"))]
    kind: String,
    /// On which order, if it is on one.
    #[schema(required, value_type = Option<words::OrderId>)]
    order: Option<String>,
    /// On which payment, if it is on one.
    #[schema(required, value_type = Option<words::PaymentId>)]
    payment: Option<String>,
    /// The refund of ours, or the object of Stripe's, that it is about.
    #[schema(required)]
    object_id: Option<String>,
    /// Both sides, for people.
    detail: String,
    /// How much money is in the wrong place, in minor units; null where nobody can tell.
    #[schema(required)]
    amount_at_risk: Option<u64>,
    #[schema(required, value_type = Option<words::Currency>)]
    currency: Option<String>,
    #[schema(format = DateTime)]
    found_at: String,
    /// How long it has been open; of one that is resolved, how long it was.
    #[schema(minimum = 0)]
    age_seconds: i64,
    #[schema(required, format = DateTime)]
    resolved_at: Option<String>,
    /// By whom: `system`, `stripe`, or `api_key:key_...`.
    #[schema(required)]
    resolved_by: Option<String>,
    /// Why it is none any more.
    #[schema(required)]
    resolution: Option<String>,
}

impl BreakJson {
    /// The break as it is read at `now`.
    pub fn new(found: &BreakView, now: OffsetDateTime) -> Self {
        Self {
            id: found.id.to_string(),
            object: "break",
            kind: found.kind.to_string(),
            order: found.order.map(|id| id.to_string()),
            payment: found.payment.map(|id| id.to_string()),
            object_id: found.object.clone(),
            detail: found.detail.clone(),
            amount_at_risk: found.at_risk.map(|amount| amount.minor()),
            currency: found.at_risk.map(|amount| amount.currency().to_string()),
            found_at: rfc3339(found.found_at),
            age_seconds: (found.resolved_at.unwrap_or(now) - found.found_at).whole_seconds().max(0),
            resolved_at: found.resolved_at.map(rfc3339),
            resolved_by: found.resolved_by.clone(),
            resolution: found.resolution.clone(),
        }
    }
}

/// `break` is a word of the language, so it is not among the other kinds.
fn broken() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["break"])).build()
}
