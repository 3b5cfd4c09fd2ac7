use async_trait::async_trait;
use time::OffsetDateTime;

use super::{DisputeSnapshot, GatewayError, InboxEvent, RefundSnapshot, Snapshot};
use crate::{BalanceTransaction, GatewayDisputeId, GatewayRefundId, IntentId, Money, PayoutId};

/// What the gateway keeps of the past: the other side of every comparison. Called by reconciliation only.
///
/// # What an implementor must guarantee
/// - A list is complete for its [`Window`], and newest first; it is never read from a search index, which lags.
/// - A list ends: where the gateway claims for ever that more follows, that is a [`GatewayError::Unknown`].
/// - What cannot be read is a [`GatewayError::Unknown`], never left out.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Archive: Send + Sync {
    /// Events, exactly as a webhook would have brought them. The gateway keeps them for [`EVENTS_KEPT`].
    async fn events(&self, window: Window, after: Option<String>) -> Result<Shelf<InboxEvent>, GatewayError>;
    /// Payments, also those that are not ours.
    async fn payments(&self, window: Window, after: Option<String>) -> Result<Shelf<Snapshot>, GatewayError>;
    /// Refunds, also those of payments that are not ours, with what they moved in the balance.
    async fn refunds(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<RefundSnapshot>, GatewayError>;
    /// Disputes, also those about payments that are not ours, with what they moved in the balance.
    async fn disputes(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<DisputeSnapshot>, GatewayError>;
    /// Movements of the balance.
    async fn transactions(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError>;
    /// Payouts to our bank.
    async fn payouts(&self, window: Window, after: Option<String>) -> Result<Shelf<Payout>, GatewayError>;
    /// The movements of the balance that a payout paid out, the payout's own included.
    async fn paid_out(
        &self,
        payout: &PayoutId,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError>;
}

/// How long the gateway keeps events.
///
/// Source: <https://docs.stripe.com/api/events>
pub const EVENTS_KEPT: time::Duration = time::Duration::days(30);

/// What was made at the gateway from one moment until before another, in whole seconds of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Made at or after this.
    pub from: OffsetDateTime,
    /// Made before this.
    pub before: OffsetDateTime,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<String>,
}

/// A movement of the gateway's balance, with what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookEntry {
    /// The movement.
    pub moved: BalanceTransaction,
    /// The gateway's word for what kind of movement it is: `charge`, `refund`, `adjustment`, `payout`, `stripe_fee`.
    /// Any other word may come.
    pub kind: String,
    /// The gateway's name for what caused it: a charge, a refund, a dispute, a payout.
    pub source: Option<String>,
    /// The payment that it belongs to, if it belongs to one.
    pub intent: Option<IntentId>,
    /// The refund that it belongs to, if it belongs to one.
    pub refund: Option<GatewayRefundId>,
    /// The dispute that it belongs to, if it belongs to one.
    pub dispute: Option<GatewayDisputeId>,
    /// The payout that it is, if it is one.
    pub payout: Option<PayoutId>,
}

/// Money that the gateway sends to our bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// The gateway's name for it.
    pub id: PayoutId,
    /// How much; what a negative balance takes from our bank is [`Payout::taken`].
    pub amount: Money,
    /// Whether it took money from our bank, instead of giving some.
    pub taken: bool,
    /// The gateway's word for how it stands: `pending`, `in_transit`, `paid`, `failed`, `canceled`. Any other may come.
    pub status: String,
    /// Whether the gateway chose its moment and its amount, so that it can be explained by what it paid out. One that
    /// was made by hand cannot.
    pub automatic: bool,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When the bank has it, or is to have it.
    pub arrives_at: OffsetDateTime,
}

impl Payout {
    /// Whether its money stayed at the gateway, or came back.
    ///
    /// Source: <https://docs.stripe.com/api/payouts/object#payout_object-status>
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "canceled")
    }

    /// Whether the bank has it, as far as the gateway knows. It may still fail, some days later.
    pub fn is_paid(&self) -> bool {
        self.status == "paid"
    }

    /// What it added to our bank account, in minor units.
    pub fn signed(&self) -> i64 {
        let minor = i64::try_from(self.amount.minor()).unwrap_or(i64::MAX);
        if self.taken { -minor } else { minor }
    }
}
