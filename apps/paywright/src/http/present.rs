//! Domain values as the API shows them, one resource a file.

mod breaks;
mod dispute;
mod inbox;
mod job;
mod order;
mod payment;
mod payout;
mod product;
mod reconciliation;
mod refund;
mod report;
mod statement;
mod timeline;

use paywright_domain::Mode;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::openapi::words;

pub use breaks::*;
pub use dispute::*;
pub use inbox::*;
pub use job::*;
pub use order::*;
pub use payment::*;
pub use payout::*;
pub use product::*;
pub use reconciliation::*;
pub use refund::*;
pub use report::*;
pub use statement::*;
pub use timeline::*;

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

/// RFC 3339, UTC.
pub fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("times here have four-digit years")
}
