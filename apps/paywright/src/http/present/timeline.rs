use std::collections::BTreeMap;

use paywright_domain::ports::TimelineEntry;
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

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
