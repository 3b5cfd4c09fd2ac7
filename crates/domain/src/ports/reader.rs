use std::collections::BTreeMap;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{Listed, Page, StoreError};
use crate::{
    BreakId, BreakKind, Currency, CustomerId, Decline, Dispute, DisputeId, LedgerEntry, Mode, Money,
    Movement, Order, OrderId, OrderState, Payment, PaymentId, Refund, RefundId, TransactionId,
};

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
    /// Refunds of `mode`, newest first, of one payment if one is given.
    async fn list_refunds(
        &self,
        mode: Mode,
        payment: Option<PaymentId>,
        page: Page<RefundId>,
    ) -> Result<Listed<Refund>, StoreError>;
    /// Disputes of `mode`, newest first, of one payment if one is given.
    async fn list_disputes(
        &self,
        mode: Mode,
        payment: Option<PaymentId>,
        page: Page<DisputeId>,
    ) -> Result<Listed<Dispute>, StoreError>;
    /// Breaks of `mode`, newest first; only those that are open if `open` is true, only resolved ones if false.
    async fn list_breaks(
        &self,
        mode: Mode,
        open: Option<bool>,
        page: Page<BreakId>,
    ) -> Result<Listed<BreakView>, StoreError>;
    /// What was booked of an order, oldest first.
    async fn ledger_of_order(&self, order: OrderId) -> Result<Vec<Booked>, StoreError>;
    /// What was booked in `mode` from one moment until before another, oldest first, `limit` lines after `after`.
    async fn ledger(
        &self,
        mode: Mode,
        from: OffsetDateTime,
        before: OffsetDateTime,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Booked>, StoreError>;
    /// The balance of every account and currency over a time, or since ever. Over all accounts each currency is zero.
    async fn balances(
        &self,
        mode: Mode,
        from: Option<OffsetDateTime>,
        before: Option<OffsetDateTime>,
    ) -> Result<Vec<Balance>, StoreError>;
}

/// A break, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakView {
    /// Its identity.
    pub id: BreakId,
    /// What differs.
    pub kind: BreakKind,
    /// On which order, if it is on one.
    pub order: Option<OrderId>,
    /// On which payment, if it is on one.
    pub payment: Option<PaymentId>,
    /// What it is about, where the payment alone does not tell.
    pub object: Option<String>,
    /// Both sides, for people.
    pub detail: String,
    /// How much money is in the wrong place.
    pub at_risk: Option<Money>,
    /// When it was first seen.
    pub found_at: OffsetDateTime,
    /// When it was resolved.
    pub resolved_at: Option<OffsetDateTime>,
    /// By whom.
    pub resolved_by: Option<String>,
    /// Why it is none any more.
    pub resolution: Option<String>,
}

/// One line of the ledger, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Its place in the ledger; gaps mean nothing.
    pub id: i64,
    /// The movement's key.
    pub key: String,
    /// What it is about.
    pub movement: Movement,
    /// The order it belongs to. A payout belongs to none.
    pub order: Option<OrderId>,
    /// The payment it belongs to. A payout belongs to none.
    pub payment: Option<PaymentId>,
    /// The balance transaction that told it.
    pub transaction: Option<TransactionId>,
    /// When it moved.
    pub at: OffsetDateTime,
    /// The line.
    pub entry: LedgerEntry,
}

/// What an account got less what it gave, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Which account.
    pub account: crate::Account,
    /// In which currency.
    pub currency: Currency,
    /// Got.
    pub debit: i64,
    /// Gave.
    pub credit: i64,
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
    /// Their refunds, oldest first.
    pub refunds: Vec<Refund>,
    /// The disputes about them, oldest first.
    pub disputes: Vec<Dispute>,
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
    /// What kind of thing: `order`, `payment`, `refund`, `dispute`, `call`, `decline`, `break`.
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
