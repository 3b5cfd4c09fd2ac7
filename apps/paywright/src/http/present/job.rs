use paywright_postgres::JobView;
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// Something that the worker does: reads an event, calls Stripe, looks after an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobJson {
    #[schema(value_type = words::JobId)]
    id: String,
    #[schema(schema_with = words::job)]
    object: &'static str,
    #[schema(value_type = words::Queue)]
    queue: String,
    #[schema(value_type = words::JobKind)]
    kind: String,
    #[schema(value_type = words::JobState)]
    state: String,
    /// The event that it reads.
    #[schema(required, examples("evt_1"))]
    event: Option<String>,
    /// The order that it is about.
    #[schema(required, value_type = Option<words::OrderId>)]
    order: Option<String>,
    /// The payment that its call is about.
    #[schema(required, value_type = Option<words::PaymentId>)]
    payment: Option<String>,
    /// What it asks of Stripe.
    #[schema(required, examples("capture"))]
    operation: Option<String>,
    /// Under which key it asks Stripe, the same at every attempt.
    #[schema(required)]
    stripe_idempotency_key: Option<String>,
    /// How often it was tried, since a person started it last.
    attempts: u32,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it is tried next; null when it is done or was given up.
    #[schema(required, format = DateTime)]
    due_at: Option<String>,
    /// When it was done or given up.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// Why it failed last.
    #[schema(required)]
    last_error: Option<String>,
    /// What came of it.
    #[schema(required)]
    conclusion: Option<String>,
}

impl From<&JobView> for JobJson {
    fn from(job: &JobView) -> Self {
        Self {
            id: job.id.to_string(),
            object: "job",
            queue: job.queue.to_string(),
            kind: job.kind.to_string(),
            state: job.state.to_string(),
            event: job.event.clone(),
            order: job.order.map(|id| id.to_string()),
            payment: job.payment.map(|id| id.to_string()),
            operation: job.operation.clone(),
            stripe_idempotency_key: job.key.clone(),
            attempts: job.attempts,
            created_at: rfc3339(job.created_at),
            due_at: job.finished_at.is_none().then(|| rfc3339(job.due_at)),
            finished_at: job.finished_at.map(rfc3339),
            last_error: job.last_error.clone(),
            conclusion: job.conclusion.clone(),
        }
    }
}
