use async_trait::async_trait;

use super::BoxError;
use crate::{
    Cause, Changes, Customer, CustomerId, Dispute, DisputeId, GatewayCall, GatewayDisputeId, GatewayRefundId,
    IntentId, JobId, Mode, Order, OrderId, Payment, PaymentId, Product, ProductId, Refund, RefundId,
    SessionId,
};

/// Loads aggregates and commits decisions.
///
/// Loading and committing share one port on purpose: versions only mean something within one store.
///
/// # What an implementor must guarantee
/// - [`Store::commit`] is atomic and durable when it returns, and takes each [`Cause`](crate::Cause) once.
/// - A step is written only over the version it was decided on; any other version is
///   [`StoreError::Conflict`] and nothing of the changes is kept.
/// - A [`Guard`](crate::Guard) holds at the moment of the commit: another version is a [`StoreError::Conflict`] too.
/// - An order has at most one live payment ([`PaymentState::is_live`](crate::PaymentState::is_live)); a second one
///   is a [`StoreError::Conflict`].
/// - A gateway's name belongs to one refund, and one dispute; a second one is a [`StoreError::Conflict`].
/// - A [`Journal`](crate::Journal) is booked once, by its key, and never changed; a [`Break`](crate::Break) is open
///   once, by its key.
/// - A [`Cause::Job`](crate::Cause::Job) completes its job, and only under the job's newest lease.
/// - The audit trail ([`Changes::entries`]) is written in the same transaction and never changed again.
///
/// The contract suite in `paywright-testkit` holds an implementation to this.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync {
    /// The order, if there is one.
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError>;
    /// The order whose checkout page has this secret.
    async fn order_by_token(&self, token: &str) -> Result<Option<Order>, StoreError>;
    /// The payment, if there is one.
    async fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError>;
    /// The payment that the gateway knows by this name.
    async fn payment_by_intent(&self, id: &IntentId) -> Result<Option<Payment>, StoreError>;
    /// The payment that the customer makes on this hosted page.
    async fn payment_by_session(&self, id: &SessionId) -> Result<Option<Payment>, StoreError>;
    /// The one payment of an order from which money may still follow.
    async fn live_payment(&self, order: OrderId) -> Result<Option<Payment>, StoreError>;
    /// The order with the one payment from which money may still follow, not necessarily as of the same moment: their
    /// versions tell. An adapter may load both at once.
    async fn payable(&self, id: OrderId) -> Result<Option<(Order, Option<Payment>)>, StoreError> {
        match self.order(id).await? {
            Some(order) => Ok(Some((order, self.live_payment(id).await?))),
            None => Ok(None),
        }
    }
    /// All payments of an order, oldest first.
    async fn payments(&self, order: OrderId) -> Result<Vec<Payment>, StoreError>;
    /// The refund, if there is one.
    async fn refund(&self, id: RefundId) -> Result<Option<Refund>, StoreError>;
    /// The refund that the gateway knows by this name.
    async fn refund_by_gateway(&self, id: &GatewayRefundId) -> Result<Option<Refund>, StoreError>;
    /// All refunds of a payment, oldest first.
    async fn refunds(&self, payment: PaymentId) -> Result<Vec<Refund>, StoreError>;
    /// The dispute, if there is one.
    async fn dispute(&self, id: DisputeId) -> Result<Option<Dispute>, StoreError>;
    /// The dispute that the gateway knows by this name.
    async fn dispute_by_gateway(&self, id: &GatewayDisputeId) -> Result<Option<Dispute>, StoreError>;
    /// All disputes about a payment, oldest first.
    async fn disputes(&self, payment: PaymentId) -> Result<Vec<Dispute>, StoreError>;
    /// A recorded call.
    async fn call(&self, id: JobId) -> Result<Option<GatewayCall>, StoreError>;
    /// Those of the products that exist in `mode`, in any order.
    async fn products(&self, mode: Mode, ids: &[ProductId]) -> Result<Vec<Product>, StoreError>;
    /// A customer of `mode`.
    async fn customer(&self, mode: Mode, id: CustomerId) -> Result<Option<Customer>, StoreError>;
    /// The customer of `mode` with this address.
    async fn customer_by_email(&self, mode: Mode, email: &str) -> Result<Option<Customer>, StoreError>;
    /// Whether this cause was committed; for a job, under whatever lease. Lets a repeated request tell its own
    /// earlier success from an illegal step.
    async fn knows(&self, cause: Cause) -> Result<bool, StoreError>;
    /// Commits all of `changes`, or nothing.
    ///
    /// # Errors
    /// - [`StoreError::Conflict`]: somebody was faster; nothing was written. Load and decide again.
    /// - [`StoreError::LeaseLost`]: somebody else has the job now; nothing was written.
    /// - [`StoreError::Unavailable`]: nothing is known to be written; the same changes may be committed again,
    ///   since the cause is taken only once.
    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError>;
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Now.
    Now,
    /// This cause was committed before; nothing was written.
    Before,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else changed it in between: load and decide again.
    #[error("somebody else changed it in between")]
    Conflict,
    /// The job is held by somebody else now: leave it to them.
    #[error("the job is held by somebody else now")]
    LeaseLost,
    /// The store cannot be reached or is too busy. It is not known whether a commit happened.
    #[error("the store is not available")]
    Unavailable(#[source] BoxError),
    /// A row that cannot be: a bug, or somebody edited the database.
    #[error("impossible value in {table}.{column} of {id}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: String,
    },
    /// A bug in the adapter or in the schema.
    #[error("the store refused a statement")]
    Bug(#[source] BoxError),
}

impl StoreError {
    /// Whether the same call may go well later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Conflict | Self::Unavailable(_) => true,
            Self::LeaseLost | Self::Inconsistent { .. } | Self::Bug(_) => false,
        }
    }
}
