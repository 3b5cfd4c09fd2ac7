//! The refund: money on its way back to the customer.
//!
//! Its amount is reserved on the payment before the gateway is asked, so that two refunds can never give back more
//! than was taken.

use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{
    Applied, BalanceTransaction, GatewayRefundId, IllegalTransition, Mode, Money, OrderId, Payment,
    PaymentId, RefundId, TransactionId, Transition, Version,
};

/// How far a refund has come. Later states win over earlier ones, whatever was heard first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum RefundState {
    /// Reserved; the gateway is being asked, and has not said yes or no.
    Requested,
    /// The gateway has accepted it; the money waits, for a balance that suffices for example.
    Pending,
    /// The gateway has sent the money. It may still come back, up to 30 days later.
    ///
    /// Source: <https://docs.stripe.com/refunds#failed-refunds>
    Succeeded,
    /// Withdrawn at the gateway before the money was sent.
    Cancelled,
    /// Refused, or came back: the amount can be refunded again.
    Failed,
}

impl RefundState {
    /// Whether its amount cannot be refunded again.
    pub fn is_reserved(self) -> bool {
        match self {
            Self::Requested | Self::Pending | Self::Succeeded => true,
            Self::Cancelled | Self::Failed => false,
        }
    }

    /// Whether nothing more is expected soon.
    pub fn is_settled(self) -> bool {
        match self {
            Self::Requested | Self::Pending => false,
            Self::Succeeded | Self::Cancelled | Self::Failed => true,
        }
    }
}

/// Why money is given back. Finer than the gateway's reasons, to which each maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RefundReason {
    /// The customer asked for it.
    RequestedByCustomer,
    /// It was paid twice.
    Duplicate,
    /// It looks like fraud.
    Fraudulent,
    /// It cannot be delivered.
    OutOfStock,
    /// Its fulfilment failed.
    FulfillmentFailed,
    /// The money came after the order had ended. Given by ourselves.
    LatePayment,
    /// Another payment had paid the order. Given by ourselves.
    SurplusPayment,
    /// To keep a customer.
    Goodwill,
    /// Before the customer asks their bank.
    DisputePrevention,
    /// Something else.
    Other,
}

impl RefundReason {
    /// The nearest of the gateway's reasons; `None` where none fits.
    ///
    /// Source: <https://docs.stripe.com/api/refunds/create#create_refund-reason>
    pub fn of_gateway(self) -> Option<&'static str> {
        match self {
            Self::RequestedByCustomer | Self::Goodwill => Some("requested_by_customer"),
            Self::Duplicate | Self::SurplusPayment => Some("duplicate"),
            Self::Fraudulent => Some("fraudulent"),
            Self::OutOfStock
            | Self::FulfillmentFailed
            | Self::LatePayment
            | Self::DisputePrevention
            | Self::Other => None,
        }
    }

    /// Whether only we ourselves give it.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::LatePayment | Self::SurplusPayment)
    }
}

/// What the gateway says of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RefundStanding {
    /// Accepted, the money waits. Also for a status that we do not know.
    Pending,
    /// Sent.
    Succeeded,
    /// Withdrawn.
    Cancelled,
    /// Came back.
    Failed,
}

/// One look at a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundSighting {
    /// The gateway's name for it.
    pub id: GatewayRefundId,
    /// How it stood.
    pub standing: RefundStanding,
    /// Why it failed, in the gateway's words.
    pub failure: Option<String>,
    /// What it moved in the gateway's balance, if this message tells.
    pub settlement: Option<BalanceTransaction>,
    /// What its coming back moved, if this message tells.
    pub reversal: Option<BalanceTransaction>,
}

impl RefundSighting {
    fn state(&self) -> RefundState {
        match self.standing {
            RefundStanding::Pending => RefundState::Pending,
            RefundStanding::Succeeded => RefundState::Succeeded,
            RefundStanding::Cancelled => RefundState::Cancelled,
            RefundStanding::Failed => RefundState::Failed,
        }
    }
}

/// Something that happened to a refund.
#[derive(Debug, Clone, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RefundEvent {
    /// We decided to give money back. Only the first event.
    Requested,
    /// Somebody gave money back at the gateway, without us. Only the first event.
    Adopted,
    /// The gateway refused, for this reason; no money moved.
    Refused(String),
    /// The gateway says how it stands.
    Seen(RefundSighting),
}

/// A refund. Change it by [`Refund::apply`] only: the store takes nothing but transitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its identity; in the gateway's object's metadata too.
    pub id: RefundId,
    /// The order whose money goes back.
    pub order: OrderId,
    /// The payment whose money goes back.
    pub payment: PaymentId,
    /// Test or live.
    pub mode: Mode,
    /// Counts the transitions.
    pub version: Version,
    /// How much; frozen.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
    /// The merchant's words.
    pub note: Option<String>,
    /// How far it has come.
    pub state: RefundState,
    /// The gateway's name for it.
    pub gateway: Option<GatewayRefundId>,
    /// Why it failed, in the gateway's words.
    pub failure: Option<String>,
    /// What it moved in the gateway's balance, once known.
    pub settlement: Option<TransactionId>,
    /// What its coming back moved, once known.
    pub reversal: Option<TransactionId>,
    /// When we decided, or when it was made at the gateway.
    pub created_at: OffsetDateTime,
}

/// What a refund is born from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundDraft {
    /// Its identity-to-be.
    pub id: RefundId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
    /// The merchant's words.
    pub note: Option<String>,
    /// Now, or when it was made at the gateway.
    pub created_at: OffsetDateTime,
}

enum Rule {
    MoveTo(RefundState),
    AlreadyTrue,
    Illegal,
}

impl Refund {
    /// The decision to give back a part of a payment.
    pub fn request(payment: &Payment, draft: RefundDraft) -> Transition<Self, RefundEvent> {
        Transition::first(RefundEvent::Requested, Self::draft(payment, draft, None))
    }

    /// A refund that was made at the gateway, without us. Apply what was seen of it next.
    pub fn adopt(
        payment: &Payment,
        draft: RefundDraft,
        id: GatewayRefundId,
    ) -> Transition<Self, RefundEvent> {
        Transition::first(RefundEvent::Adopted, Self::draft(payment, draft, Some(id)))
    }

    fn draft(payment: &Payment, draft: RefundDraft, gateway: Option<GatewayRefundId>) -> Self {
        let RefundDraft { id, amount, reason, note, created_at } = draft;
        Self {
            id,
            order: payment.order,
            payment: payment.id,
            mode: payment.mode,
            version: Version::FIRST,
            amount,
            reason,
            note,
            state: RefundState::Requested,
            gateway,
            failure: None,
            settlement: None,
            reversal: None,
            created_at,
        }
    }

    /// The transition table: every state against every event, and no `_` arm.
    fn rule(&self, event: &RefundEvent) -> Rule {
        use {RefundEvent as E, RefundState as S, Rule::*};
        match (self.state, event) {
            (S::Requested, E::Refused(_)) => MoveTo(S::Failed),
            // It exists after all, so an earlier answer of the gateway won.
            (S::Pending | S::Succeeded | S::Cancelled | S::Failed, E::Refused(_)) => AlreadyTrue,
            (S::Requested | S::Pending | S::Succeeded | S::Cancelled | S::Failed, E::Seen(sighting)) => {
                let after = self.joined(sighting);
                if after == *self { AlreadyTrue } else { MoveTo(after.state) }
            }
            (
                S::Requested | S::Pending | S::Succeeded | S::Cancelled | S::Failed,
                E::Requested | E::Adopted,
            ) => Illegal,
        }
    }

    /// The greater of what is known and what was seen. Commutative, associative, idempotent.
    fn joined(&self, seen: &RefundSighting) -> Self {
        let mut after = self.clone();
        if self.gateway.is_none() {
            // It exists after all: that it was refused, or given up, was not the last word.
            (after.state, after.failure) = (RefundState::Requested, None);
        }
        after.state = after.state.max(seen.state());
        after.gateway.get_or_insert_with(|| seen.id.clone());
        let transaction = |moved: &Option<BalanceTransaction>| moved.as_ref().map(|moved| moved.id.clone());
        after.settlement = after.settlement.or_else(|| transaction(&seen.settlement));
        after.reversal = after.reversal.or_else(|| transaction(&seen.reversal));
        after.failure = after.failure.or_else(|| seen.failure.clone());
        after
    }

    /// The only way a refund changes.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the table has no such step; nothing changed.
    pub fn apply(&self, event: RefundEvent) -> Result<Applied<Self, RefundEvent>, IllegalTransition> {
        match self.rule(&event) {
            Rule::MoveTo(state) => Ok(Applied::moved(self, self.after(state, &event), event)),
            Rule::AlreadyTrue => Ok(Applied::AlreadyTrue),
            Rule::Illegal => Err(IllegalTransition {
                id: self.id.to_string(),
                from: self.state.into(),
                event: (&event).into(),
                allowed: Vec::new(),
            }),
        }
    }

    fn after(&self, state: RefundState, event: &RefundEvent) -> Self {
        let mut after = match event {
            RefundEvent::Seen(sighting) => self.joined(sighting),
            RefundEvent::Requested | RefundEvent::Adopted | RefundEvent::Refused(_) => self.clone(),
        };
        if let RefundEvent::Refused(why) = event {
            after.failure = Some(why.clone());
        }
        after.state = state;
        after.version = self.version.next();
        after
    }
}

#[cfg(test)]
#[path = "refund_tests.rs"]
mod tests;
