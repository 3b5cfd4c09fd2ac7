//! The payment: one attempt to collect an order's money, known to the gateway as one PaymentIntent.
//!
//! **Facts converge.** What the gateway says arrives late, twice and in any order. Every fact therefore says what
//! *is*, never what changed, and facts are merged so that any set of them, in any order and with any repetition,
//! ends in the same payment.

mod channel;
mod sighting;
mod sums;

use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{
    Applied, BalanceTransaction, CaptureMethod, IllegalTransition, Mode, Money, OrderId, PaymentId,
    Transition, Version,
};

pub use channel::*;
pub use sighting::*;

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentState {
    /// We decided to ask the gateway; it may or may not have heard.
    Created,
    /// Waiting for a payment method; also after a decline.
    Pending,
    /// The customer must do something, 3-D Secure for example.
    RequiresAction,
    /// A delayed method is under way.
    Processing,
    /// The amount is reserved.
    Authorized,
    /// The gateway refused to create it, or was searched and has none. Should one come to light after all, it is
    /// ended there, and does not come to life here.
    Failed,
    /// Ended without money.
    Cancelled,
    /// The money was taken.
    Captured,
}

impl PaymentState {
    /// Whether money may still follow, so that no other payment of the order may be started.
    pub fn is_live(self) -> bool {
        match self {
            Self::Created | Self::Pending | Self::RequiresAction | Self::Processing | Self::Authorized => {
                true
            }
            Self::Failed | Self::Cancelled | Self::Captured => false,
        }
    }

    /// States merge upwards: a later phase wins over an earlier one, whatever was heard first.
    fn phase(self) -> u8 {
        match self {
            Self::Created => 0,
            Self::Pending | Self::RequiresAction | Self::Processing => 1,
            Self::Authorized => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
            Self::Captured => 5,
        }
    }
}

/// Something that happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentEvent {
    /// We decided to start it. Only the first event.
    Started,
    /// The gateway refused to create it.
    Refused,
    /// The gateway says how it stands.
    Seen(Sighting),
    /// The gateway is asked to end it.
    EndRequested,
    /// The gateway would not end it.
    EndRefused,
    /// The gateway is asked to take this much of what is reserved.
    CaptureRequested(Money),
    /// The gateway would not take it.
    CaptureRefused,
    /// An operator was told that the hold runs out soon.
    HoldExpiring,
    /// Its money has no business here and is given back by ourselves.
    Unwanted,
    /// A refund of it was requested, was settled or came back: the new totals.
    RefundsChanged {
        /// Reserved, under way or sent.
        refunded: Money,
        /// Sent.
        returned: Money,
    },
    /// A dispute about it was opened or decided: the new totals.
    DisputesChanged {
        /// Withheld or taken.
        disputed: Money,
        /// How many keep it from being refunded.
        blocking: u32,
    },
}

/// A payment. Change it by [`Payment::apply`] only: the store takes nothing but transitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its identity.
    pub id: PaymentId,
    /// The order whose money it collects.
    pub order: OrderId,
    /// Test or live.
    pub mode: Mode,
    /// Counts the transitions.
    pub version: Version,
    /// How the customer pays.
    pub channel: Channel,
    /// Whether the money is taken at once, or reserved first.
    pub capture: CaptureMethod,
    /// What is to be collected: the order's total.
    pub amount: Money,
    /// How far it has come.
    pub state: PaymentState,
    /// The moment of the newest sighting that settled `state` among the open ones.
    pub seen_at: Option<OffsetDateTime>,
    /// The gateway's name for it.
    pub intent: Option<IntentId>,
    /// The hosted page.
    pub session: Option<SessionId>,
    /// Reserved and not yet taken.
    pub capturable: Money,
    /// Taken in all.
    pub captured: Money,
    /// What the gateway is being asked to take, or was asked to last.
    pub capture_asked: Option<Money>,
    /// Whether the gateway is being asked to take it.
    pub capture_requested: bool,
    /// How often the gateway was asked to take it; part of the call's idempotency key.
    pub capture_generation: u32,
    /// Until when what is reserved can be taken.
    pub capture_before: Option<OffsetDateTime>,
    /// Whether an operator was told that the hold runs out soon.
    pub hold_told: bool,
    /// Given back in all: the refunds that are requested, under way or sent.
    pub refunded: Money,
    /// Of that, what was sent.
    pub returned: Money,
    /// What disputes withhold or took. May be more than was captured.
    pub disputed: Money,
    /// How many disputes keep it from being refunded.
    pub disputes_blocking: u32,
    /// Whether its money has no business here and was given back by ourselves.
    pub unwanted: bool,
    /// What the gateway kept of the capture, once known.
    pub fee: Option<Fee>,
    /// Whether the gateway is being asked to end it.
    pub end_requested: bool,
    /// How often the gateway was asked to end it; part of the call's idempotency key.
    pub end_generation: u32,
    /// When we decided to start it.
    pub created_at: OffsetDateTime,
}

/// What the gateway kept of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fee {
    /// The movement of the gateway's balance that tells it.
    pub transaction: TransactionId,
    /// How much, in the currency of the gateway's balance.
    pub amount: Money,
}

enum Rule {
    MoveTo(PaymentState),
    AlreadyTrue,
    Illegal,
}

impl Payment {
    /// The decision to collect `amount` for an order.
    pub fn start(
        id: PaymentId,
        order: OrderId,
        mode: Mode,
        channel: Channel,
        capture: CaptureMethod,
        amount: Money,
        at: OffsetDateTime,
    ) -> Transition<Self, PaymentEvent> {
        let zero = Money::zero(amount.currency());
        let payment = Self {
            id,
            order,
            mode,
            version: Version::FIRST,
            channel,
            capture,
            amount,
            state: PaymentState::Created,
            seen_at: None,
            intent: None,
            session: None,
            capturable: zero,
            captured: zero,
            capture_asked: None,
            capture_requested: false,
            capture_generation: 0,
            capture_before: None,
            hold_told: false,
            refunded: zero,
            returned: zero,
            disputed: zero,
            disputes_blocking: 0,
            unwanted: false,
            fee: None,
            end_requested: false,
            end_generation: 0,
            created_at: at,
        };
        Transition::first(PaymentEvent::Started, payment)
    }

    /// Another object of the gateway that claims to be this payment, as a payment of its own: captured if it was, else
    /// failed, so that it does not come to life here.
    pub fn found(
        &self,
        id: PaymentId,
        sighting: &Sighting,
        at: OffsetDateTime,
    ) -> Transition<Self, PaymentEvent> {
        let (channel, amount) = (self.channel.clone(), self.amount);
        let birth = Self::start(id, self.order, self.mode, channel, self.capture, amount, at);
        let failed = Self { state: PaymentState::Failed, ..birth.after().clone() };
        let found = failed.joined(sighting.state().unwrap_or(PaymentState::Failed), sighting);
        Transition::first(PaymentEvent::Seen(sighting.clone()), found)
    }

    /// The transition table: every state against every event, and no `_` arm.
    fn rule(&self, event: &PaymentEvent) -> Rule {
        use {
            PaymentEvent as E, PaymentState as S,
            Rule::*,
            std::cmp::Ordering::{Equal, Less},
        };
        match (self.state, event) {
            (S::Created, E::Refused) => MoveTo(S::Failed),
            // It exists after all, so an earlier answer of the gateway won.
            (
                S::Failed
                | S::Pending
                | S::RequiresAction
                | S::Processing
                | S::Authorized
                | S::Cancelled
                | S::Captured,
                E::Refused,
            ) => AlreadyTrue,

            (
                S::Created
                | S::Failed
                | S::Pending
                | S::RequiresAction
                | S::Processing
                | S::Authorized
                | S::Cancelled
                | S::Captured,
                E::Seen(sighting),
            ) => self.merge(sighting),

            // Also what we gave up as never created, once it comes to light.
            (
                S::Created | S::Pending | S::RequiresAction | S::Processing | S::Authorized | S::Failed,
                E::EndRequested,
            ) => self.unless(self.end_requested),
            (
                S::Created | S::Pending | S::RequiresAction | S::Processing | S::Authorized | S::Failed,
                E::EndRefused,
            ) => self.unless(!self.end_requested),
            (S::Cancelled | S::Captured, E::EndRequested | E::EndRefused) => AlreadyTrue,

            (S::Authorized, E::CaptureRequested(amount)) => {
                if self.capture_requested && self.capture_asked == Some(*amount) {
                    AlreadyTrue
                } else if self.capture_requested
                    || amount.is_zero()
                    || !matches!(amount.partial_cmp(&self.capturable), Some(Less | Equal))
                {
                    Illegal
                } else {
                    MoveTo(S::Authorized)
                }
            }
            (S::Captured, E::CaptureRequested(_)) => AlreadyTrue,
            (
                S::Created | S::Failed | S::Pending | S::RequiresAction | S::Processing | S::Cancelled,
                E::CaptureRequested(_),
            ) => Illegal,
            (S::Authorized, E::CaptureRefused) => self.unless(!self.capture_requested),
            (S::Authorized, E::HoldExpiring) => self.unless(self.hold_told),
            (
                S::Created
                | S::Failed
                | S::Pending
                | S::RequiresAction
                | S::Processing
                | S::Cancelled
                | S::Captured,
                E::CaptureRefused | E::HoldExpiring,
            ) => AlreadyTrue,

            (S::Captured, E::Unwanted) => self.unless(self.unwanted),
            (S::Captured, E::RefundsChanged { refunded, returned }) => {
                let fits =
                    |part: &Money, whole: &Money| matches!(part.partial_cmp(whole), Some(Less | Equal));
                if !fits(returned, refunded) || !fits(refunded, &self.captured) {
                    Illegal
                } else {
                    self.unless(*refunded == self.refunded && *returned == self.returned)
                }
            }
            (
                S::Created
                | S::Failed
                | S::Pending
                | S::RequiresAction
                | S::Processing
                | S::Authorized
                | S::Cancelled,
                E::Unwanted | E::RefundsChanged { .. },
            ) => Illegal,
            // A dispute may be heard of before the payment that it is about.
            (
                S::Created
                | S::Failed
                | S::Pending
                | S::RequiresAction
                | S::Processing
                | S::Authorized
                | S::Cancelled
                | S::Captured,
                E::DisputesChanged { disputed, blocking },
            ) => self.unless(*disputed == self.disputed && *blocking == self.disputes_blocking),

            (
                S::Created
                | S::Failed
                | S::Pending
                | S::RequiresAction
                | S::Processing
                | S::Authorized
                | S::Cancelled
                | S::Captured,
                E::Started,
            ) => Illegal,
        }
    }

    fn unless(&self, so_already: bool) -> Rule {
        if so_already { Rule::AlreadyTrue } else { Rule::MoveTo(self.state) }
    }

    /// A join: the greater of what is known and what was seen, by phase, then among open states by the gateway's
    /// time, then by progress. Commutative, associative, idempotent.
    fn merge(&self, sighting: &Sighting) -> Rule {
        let Some(seen) = sighting.state() else {
            return if self.learns_ids(sighting) { Rule::MoveTo(self.state) } else { Rule::AlreadyTrue };
        };
        let after = self.joined(seen, sighting);
        if after == *self { Rule::AlreadyTrue } else { Rule::MoveTo(after.state) }
    }

    fn learns_ids(&self, sighting: &Sighting) -> bool {
        (self.intent.is_none() && sighting.intent.is_some())
            || (self.session.is_none() && sighting.session.is_some())
            || sighting.capture_before > self.capture_before
    }

    fn joined(&self, seen: PaymentState, sighting: &Sighting) -> Self {
        let mut after = self.clone();
        let newer = match seen.phase().cmp(&self.state.phase()) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => {
                seen.phase() == PaymentState::Pending.phase()
                    && (Some(sighting.at), seen as u8) > (self.seen_at, self.state as u8)
            }
        };
        if newer {
            after.state = seen;
            after.seen_at = (seen.phase() == PaymentState::Pending.phase()).then_some(sighting.at);
        }
        after.intent = after.intent.or_else(|| sighting.intent.clone());
        after.session = after.session.or_else(|| sighting.session.clone());
        let of = |minor: u64| {
            let fits = minor.min(i64::MAX.unsigned_abs());
            Money::from_minor(fits, self.amount.currency()).unwrap_or(self.amount)
        };
        let captured = match sighting.standing {
            Standing::Captured { captured, .. } => captured,
            _ => 0,
        };
        after.captured = of(self.captured.minor().max(captured));
        after.capturable = match (after.state, &sighting.standing) {
            (PaymentState::Authorized, Standing::Authorized(minor)) => {
                of(self.capturable.minor().max(*minor))
            }
            (PaymentState::Authorized, _) => self.capturable,
            _ => of(0),
        };
        after.capture_before = after.capture_before.max(sighting.capture_before);
        if after.state == PaymentState::Captured {
            after.fee = after.fee.or_else(|| sighting.settlement.as_ref().and_then(Fee::of));
        }
        if matches!(after.state, PaymentState::Cancelled | PaymentState::Captured) {
            after.end_requested = false;
        }
        after.capture_requested &= after.state == PaymentState::Authorized;
        after
    }

    fn illegal(&self, event: &'static str) -> IllegalTransition {
        IllegalTransition { id: self.id.to_string(), from: self.state.into(), event, allowed: Vec::new() }
    }

    /// Whether one message cannot settle it: it does not tell, or two messages of one second disagree about an
    /// open state. Fetch the object once and apply what it says, as seen after everything that was known before.
    pub fn needs_look(&self, sighting: &Sighting) -> bool {
        match sighting.state() {
            // A finished page tells nothing new of a payment whose money was taken.
            None => match self.state {
                PaymentState::Captured => sighting.session.is_none(),
                PaymentState::Cancelled => false,
                PaymentState::Created
                | PaymentState::Pending
                | PaymentState::RequiresAction
                | PaymentState::Processing
                | PaymentState::Authorized
                | PaymentState::Failed => true,
            },
            Some(seen) => {
                let open = PaymentState::Pending.phase();
                seen.phase() == open
                    && self.state.phase() == open
                    && seen != self.state
                    && self.seen_at.map(OffsetDateTime::unix_timestamp) == Some(sighting.at.unix_timestamp())
            }
        }
    }

    /// The only way a payment changes.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the table has no such step; nothing changed.
    pub fn apply(&self, event: PaymentEvent) -> Result<Applied<Self, PaymentEvent>, IllegalTransition> {
        match self.rule(&event) {
            Rule::MoveTo(state) => Ok(Applied::moved(self, self.after(state, &event), event)),
            Rule::AlreadyTrue => Ok(Applied::AlreadyTrue),
            Rule::Illegal => Err(self.illegal((&event).into())),
        }
    }

    fn after(&self, state: PaymentState, event: &PaymentEvent) -> Self {
        let mut after = match event {
            PaymentEvent::Seen(sighting) => {
                self.joined(sighting.state().unwrap_or(PaymentState::Created), sighting)
            }
            _ => self.clone(),
        };
        match event {
            PaymentEvent::EndRequested => {
                after.end_requested = true;
                after.end_generation += 1;
            }
            PaymentEvent::EndRefused | PaymentEvent::Refused => after.end_requested = false,
            PaymentEvent::CaptureRequested(amount) => {
                after.capture_asked = Some(*amount);
                after.capture_requested = true;
                after.capture_generation += 1;
            }
            PaymentEvent::CaptureRefused => {
                after.capture_asked = None;
                after.capture_requested = false;
            }
            PaymentEvent::HoldExpiring => after.hold_told = true,
            PaymentEvent::Unwanted => after.unwanted = true,
            PaymentEvent::RefundsChanged { refunded, returned } => {
                (after.refunded, after.returned) = (*refunded, *returned);
            }
            PaymentEvent::DisputesChanged { disputed, blocking } => {
                (after.disputed, after.disputes_blocking) = (*disputed, *blocking);
            }
            PaymentEvent::Started | PaymentEvent::Seen(_) => {}
        }
        after.state = state;
        after.version = self.version.next();
        after
    }
}

impl Fee {
    fn of(moved: &BalanceTransaction) -> Option<Self> {
        // A negative fee would be one that was given back; no capture has one.
        let fee = u64::try_from(moved.fee).ok()?;
        let amount = Money::from_minor(fee, moved.currency).ok()?;
        Some(Self { transaction: moved.id.clone(), amount })
    }
}

#[cfg(test)]
#[path = "payment_tests.rs"]
mod tests;
