use std::collections::BTreeMap;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{Listed, Page, StoreError};
use crate::{CustomerId, Decline, Mode, Order, OrderId, OrderState, Payment};

/// Reads for people: orders with all their parts, lists, the timeline. Never used to decide.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Reader: Send + Sync {
    /// An order of `mode` with all its parts, in a constant number of queries.
    async fn order_view(&self, mode: Mode, id: OrderId) -> Result<Option<OrderView>, StoreError>;
    /// Orders of `mode` with all their parts, newest first, in a constant number of queries.
    async fn list_orders(
        &self,
        mode: Mode,
        filter: OrderFilter,
        page: Page<OrderId>,
    ) -> Result<Listed<OrderView>, StoreError>;
    /// What happened to an order, oldest first.
    async fn timeline(&self, order: OrderId) -> Result<Vec<TimelineEntry>, StoreError>;
}

/// An order with all its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// The order.
    pub order: Order,
    /// Its payments, oldest first.
    pub payments: Vec<Payment>,
    /// Their refused attempts, oldest first.
    pub declines: Vec<Decline>,
}

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// In this state.
    pub state: Option<OrderState>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Placed at or after.
    pub created_from: Option<OffsetDateTime>,
    /// Placed before.
    pub created_before: Option<OffsetDateTime>,
}

/// One line of the audit trail, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When, by the core's clock.
    pub at: OffsetDateTime,
    /// What kind of thing: `order`, `payment`, `call`, `decline`, `break`.
    pub subject: String,
    /// The payment it is about.
    pub payment: Option<crate::PaymentId>,
    /// What happened.
    pub event: String,
    /// The state before.
    pub from: Option<String>,
    /// The state after.
    pub to: Option<String>,
    /// Who.
    pub actor: String,
    /// Why: the request or job.
    pub cause: String,
    /// The gateway's event that told it.
    pub gateway_event: Option<String>,
    /// The gateway's request that told it.
    pub gateway_request: Option<String>,
    /// Details for people.
    pub detail: BTreeMap<String, String>,
}
