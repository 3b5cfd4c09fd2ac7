//! The order: what the customer buys, and how far that has come.
//!
//! The table in [`OrderState`]'s rule is the whole truth about an order's life; it is printed to
//! `docs/state-machines.md` by a test.

mod placing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{
    Applied, BreakKind, CustomerId, IllegalTransition, Mode, Money, OrderId, Payment, PaymentId,
    PaymentState, Transition, Version,
};

pub use placing::*;

/// Free text of the merchant on an order; passed on to the gateway.
pub type Metadata = BTreeMap<String, String>;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OrderState {
    /// Placed; no money asked for, or a hold was lost.
    Pending,
    /// A payment was started. A decline leaves it here: the customer tries another card.
    PaymentProcessing,
    /// The amount is reserved at the issuer, not yet taken.
    Authorized,
    /// The money was taken.
    Paid,
    /// The merchant is preparing it.
    FulfillmentStarted,
    /// Handed to the carrier.
    Shipped,
    /// Done.
    Completed,
    /// Will not be fulfilled.
    Cancelled,
    /// All money was given back.
    Refunded,
}

impl OrderState {
    /// Whether its money was not taken, but still may be.
    pub(crate) fn is_unpaid(self) -> bool {
        match self {
            Self::Pending | Self::PaymentProcessing | Self::Authorized => true,
            Self::Paid
            | Self::FulfillmentStarted
            | Self::Shipped
            | Self::Completed
            | Self::Cancelled
            | Self::Refunded => false,
        }
    }
}

/// Whether money is taken at once, or reserved first and taken when fulfilment starts.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum CaptureMethod {
    /// At once.
    #[default]
    Automatic,
    /// Reserved at checkout, taken later. A hold lasts about seven days.
    ///
    /// Source: <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>
    Manual,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OrderEvent {
    /// The customer placed it. Only the first event.
    Placed,
    /// The gateway is being asked to collect its money.
    PaymentStarted,
    /// The payment's amount is reserved.
    Authorized(PaymentId),
    /// The payment's amount was taken.
    Captured(PaymentId),
    /// The reservation ended without a capture.
    AuthorizationLost,
    /// The merchant wants to begin to fulfil it; the gateway is asked to take the reserved money first.
    FulfillmentRequested,
    /// The reserved money was not taken, so fulfilment does not begin.
    FulfillmentRefused,
    /// The merchant began to fulfil it.
    FulfillmentStarted,
    /// It left the house.
    Shipped(Shipment),
    /// It arrived, or was delivered digitally.
    Completed,
    /// Somebody wants it cancelled; the gateway is asked to end the payment first.
    CancellationRequested(CancelReason),
    /// The payment could not be ended, so the order goes on.
    CancellationRefused,
    /// It is cancelled; no payment of it can follow.
    Cancelled(CancelReason),
    /// Everything that was captured was given back.
    FullyRefunded,
}

impl OrderEvent {
    /// One event of each kind, about no payment in particular.
    pub(crate) fn one_of_each() -> [Self; 14] {
        let payment = PaymentId::from_uuid(uuid::Uuid::nil());
        [
            Self::Placed,
            Self::PaymentStarted,
            Self::Authorized(payment),
            Self::Captured(payment),
            Self::AuthorizationLost,
            Self::FulfillmentRequested,
            Self::FulfillmentRefused,
            Self::FulfillmentStarted,
            Self::Shipped(Shipment::default()),
            Self::Completed,
            Self::CancellationRequested(CancelReason::default()),
            Self::CancellationRefused,
            Self::Cancelled(CancelReason::default()),
            Self::FullyRefunded,
        ]
    }
}

/// Why an order was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CancelReason {
    /// The customer asked for it.
    #[default]
    RequestedByCustomer,
    /// It was placed twice.
    Duplicate,
    /// It looks like fraud.
    Fraudulent,
    /// Nobody paid in time.
    Expired,
    /// It could not be fulfilled.
    FulfillmentFailed,
}

/// With whom a parcel travels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shipment {
    /// The carrier's name.
    pub carrier: String,
    /// The carrier's tracking number, if it gives one.
    pub tracking: Option<String>,
}

/// An order. Change it by [`Order::apply`] only: the store takes nothing but transitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its identity.
    pub id: OrderId,
    /// Test or live; never mixed.
    pub mode: Mode,
    /// Counts the transitions; a write with an old version changes nothing.
    pub version: Version,
    /// How far it has come.
    pub state: OrderState,
    /// Who bought.
    pub customer: Option<CustomerId>,
    /// Where to write to. Never logged.
    pub customer_email: Option<String>,
    /// The lines, in the order in which they were given.
    pub items: Vec<OrderItem>,
    /// The sum of the lines; frozen.
    pub total: Money,
    /// The merchant's own notes.
    pub metadata: Metadata,
    /// The secret part of the address of its checkout page.
    pub token: String,
    /// Set while the gateway is asked to end the payment of an order that shall be cancelled, and afterwards
    /// the reason why it was.
    pub cancellation: Option<CancelReason>,
    /// Whether its payments take money at once, or reserve it first.
    pub capture: CaptureMethod,
    /// Whether fulfilment shall begin as soon as the reserved money is taken.
    pub fulfillment_requested: bool,
    /// The payment that authorized or paid it. Any other payment that is captured is surplus.
    pub paid_by: Option<PaymentId>,
    /// Set when it was shipped.
    pub shipment: Option<Shipment>,
    /// When it was placed.
    pub created_at: OffsetDateTime,
    /// When it is cancelled if it was not paid until then.
    pub expires_at: OffsetDateTime,
}

/// What an order makes of news about one of its payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// It does not concern the order's state.
    Unmoved,
    /// The order changes.
    Step(Box<Transition<Order, OrderEvent>>),
    /// Money is where no rule expects it.
    Break(BreakKind),
}

enum Rule {
    MoveTo(OrderState),
    AlreadyTrue,
    Illegal,
}

impl Order {
    /// The transition table: every state against every event, and no `_` arm.
    fn rule(&self, event: &OrderEvent) -> Rule {
        use {OrderEvent as E, OrderState as S, Rule::*};
        let cancelling = self.cancellation.is_some();
        match (self.state, event) {
            (S::Pending | S::PaymentProcessing, E::PaymentStarted) if !cancelling => {
                MoveTo(S::PaymentProcessing)
            }

            // `pending` too: money that Stripe took is on an order, whatever we believed before.
            (S::Pending | S::PaymentProcessing, E::Authorized(_)) => MoveTo(S::Authorized),
            (S::Pending | S::PaymentProcessing | S::Authorized, E::Captured(_)) => MoveTo(S::Paid),
            (S::Authorized, E::AuthorizationLost) => MoveTo(S::Pending),
            (S::Authorized, E::FulfillmentRequested) if !cancelling => {
                if self.fulfillment_requested {
                    AlreadyTrue
                } else {
                    MoveTo(S::Authorized)
                }
            }
            (S::Authorized, E::FulfillmentRefused) => {
                if self.fulfillment_requested {
                    MoveTo(S::Authorized)
                } else {
                    AlreadyTrue
                }
            }

            (S::Paid, E::FulfillmentStarted) => MoveTo(S::FulfillmentStarted),
            (S::FulfillmentStarted, E::Shipped(_)) => MoveTo(S::Shipped),
            (S::FulfillmentStarted | S::Shipped, E::Completed) => MoveTo(S::Completed),

            (S::Pending | S::PaymentProcessing | S::Authorized, E::CancellationRequested(_)) => {
                if cancelling { AlreadyTrue } else { MoveTo(self.state) }
            }
            (S::Pending | S::PaymentProcessing | S::Authorized, E::CancellationRefused) => {
                if cancelling {
                    MoveTo(self.state)
                } else {
                    AlreadyTrue
                }
            }
            // Of money that was taken, what is left is given back.
            (
                S::Pending | S::PaymentProcessing | S::Authorized | S::Paid | S::FulfillmentStarted,
                E::Cancelled(_),
            ) => MoveTo(S::Cancelled),
            (
                S::Paid | S::FulfillmentStarted | S::Shipped | S::Completed | S::Cancelled,
                E::FullyRefunded,
            ) => MoveTo(S::Refunded),

            (S::Authorized, E::Authorized(payment)) if self.paid_by == Some(*payment) => AlreadyTrue,
            (
                S::Paid | S::FulfillmentStarted | S::Shipped | S::Completed,
                E::Authorized(payment) | E::Captured(payment),
            ) if self.paid_by == Some(*payment) => AlreadyTrue,
            (S::Cancelled, E::Cancelled(_) | E::CancellationRequested(_))
            | (S::Refunded, E::FullyRefunded) => AlreadyTrue,

            (
                S::Pending
                | S::PaymentProcessing
                | S::Authorized
                | S::Paid
                | S::FulfillmentStarted
                | S::Shipped
                | S::Completed
                | S::Cancelled
                | S::Refunded,
                E::Placed
                | E::PaymentStarted
                | E::Authorized(_)
                | E::Captured(_)
                | E::AuthorizationLost
                | E::FulfillmentRequested
                | E::FulfillmentRefused
                | E::FulfillmentStarted
                | E::Shipped(_)
                | E::Completed
                | E::CancellationRequested(_)
                | E::CancellationRefused
                | E::Cancelled(_)
                | E::FullyRefunded,
            ) => Illegal,
        }
    }

    /// The only way an order changes.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the table has no such step; nothing changed.
    pub fn apply(&self, event: OrderEvent) -> Result<Applied<Self, OrderEvent>, IllegalTransition> {
        match self.rule(&event) {
            Rule::MoveTo(state) => Ok(Applied::moved(self, self.after(state, &event), event)),
            Rule::AlreadyTrue => Ok(Applied::AlreadyTrue),
            Rule::Illegal => Err(IllegalTransition {
                id: self.id.to_string(),
                from: self.state.into(),
                event: (&event).into(),
                allowed: self.allowed(),
            }),
        }
    }

    /// The events that would be legal now, by name.
    pub fn allowed(&self) -> Vec<&'static str> {
        OrderEvent::one_of_each()
            .iter()
            .filter(|event| matches!(self.rule(event), Rule::MoveTo(_)))
            .map(<&'static str>::from)
            .collect()
    }

    fn after(&self, state: OrderState, event: &OrderEvent) -> Self {
        let mut after = Self { state, version: self.version.next(), ..self.clone() };
        match event {
            OrderEvent::Authorized(payment) | OrderEvent::Captured(payment) => {
                after.paid_by = Some(*payment);
                // "Already paid" beats the wish to cancel.
                if matches!(event, OrderEvent::Captured(_)) {
                    after.cancellation = None;
                }
            }
            OrderEvent::AuthorizationLost => {
                after.paid_by = None;
                after.fulfillment_requested = false;
            }
            OrderEvent::FulfillmentRequested => after.fulfillment_requested = true,
            OrderEvent::FulfillmentRefused | OrderEvent::FulfillmentStarted => {
                after.fulfillment_requested = false;
            }
            OrderEvent::Shipped(shipment) => after.shipment = Some(shipment.clone()),
            OrderEvent::CancellationRequested(reason) => after.cancellation = Some(*reason),
            OrderEvent::Cancelled(reason) => {
                after.cancellation = Some(*reason);
                after.fulfillment_requested = false;
                // A hold that was released paid nothing: should its money come after all, it is late.
                if self.state.is_unpaid() {
                    after.paid_by = None;
                }
            }
            OrderEvent::CancellationRefused => after.cancellation = None,
            OrderEvent::Placed
            | OrderEvent::PaymentStarted
            | OrderEvent::Completed
            | OrderEvent::FullyRefunded => {}
        }
        after
    }

    /// What follows for the order from one of its payments as it stands now. After a step ask again: money that was
    /// taken and given back takes two.
    ///
    /// A payment that ended without money cancels an order that shall be cancelled, so ask about such a payment only
    /// when it has just ended: while it was live, no other payment of the order was.
    ///
    /// # Errors
    /// [`IllegalTransition`] never in practice: the states are matched first. It is passed on, not hidden.
    pub fn follow(&self, payment: &Payment) -> Result<Followed, IllegalTransition> {
        use {OrderState as S, PaymentState as P};
        let ours = self.paid_by == Some(payment.id);
        match (payment.state, self.state) {
            // Less than the total buys nothing, unless it was reserved and the merchant chose to take a part.
            (P::Captured, S::Pending | S::PaymentProcessing | S::Authorized) => {
                if payment.captured >= self.total || payment.capture == CaptureMethod::Manual {
                    self.step(OrderEvent::Captured(payment.id))
                } else {
                    Ok(Followed::Break(BreakKind::AmountMismatch))
                }
            }
            (P::Captured, S::Paid) if ours && self.fulfillment_requested => {
                self.step(OrderEvent::FulfillmentStarted)
            }
            (P::Captured, S::Paid | S::FulfillmentStarted | S::Shipped | S::Completed | S::Cancelled)
                if ours =>
            {
                if payment.returned >= payment.captured && !payment.captured.is_zero() {
                    self.step(OrderEvent::FullyRefunded)
                } else {
                    Ok(Followed::Unmoved)
                }
            }
            (P::Captured, S::Refunded) if ours => Ok(Followed::Unmoved),
            (P::Captured, S::Cancelled | S::Refunded) => Ok(Followed::Break(BreakKind::LateMoney)),
            (P::Captured, S::Paid | S::FulfillmentStarted | S::Shipped | S::Completed) => {
                Ok(Followed::Break(BreakKind::SurplusPayment))
            }
            (P::Authorized, S::Pending | S::PaymentProcessing) => {
                if payment.capturable >= self.total {
                    self.step(OrderEvent::Authorized(payment.id))
                } else {
                    Ok(Followed::Break(BreakKind::AmountMismatch))
                }
            }
            (P::Cancelled | P::Failed, S::Pending | S::PaymentProcessing | S::Authorized) => {
                match self.cancellation {
                    Some(reason) => self.step(OrderEvent::Cancelled(reason)),
                    None if ours => self.step(OrderEvent::AuthorizationLost),
                    None => Ok(Followed::Unmoved),
                }
            }
            (
                P::Created
                | P::Pending
                | P::RequiresAction
                | P::Processing
                | P::Authorized
                | P::Cancelled
                | P::Failed,
                S::Pending
                | S::PaymentProcessing
                | S::Authorized
                | S::Paid
                | S::FulfillmentStarted
                | S::Shipped
                | S::Completed
                | S::Cancelled
                | S::Refunded,
            ) => Ok(Followed::Unmoved),
        }
    }

    fn step(&self, event: OrderEvent) -> Result<Followed, IllegalTransition> {
        Ok(match self.apply(event)? {
            Applied::Moved(transition) => Followed::Step(transition),
            Applied::AlreadyTrue => Followed::Unmoved,
        })
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
