//! The payment: one attempt to collect an order's money, known to the gateway as one PaymentIntent.
//!
//! **Facts converge.** What the gateway says arrives late, twice and in any order. Every fact therefore says what
//! *is*, never what changed, and facts are merged so that any set of them, in any order and with any repetition,
//! ends in the same payment.

mod channel;
mod sighting;

use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{Applied, IllegalTransition, Mode, Money, OrderId, PaymentId, Transition, Version};

pub use channel::*;
pub use sighting::*;

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentState {
    /// We decided to ask the gateway; it may or may not have heard.
    Created,
    /// The gateway refused to create it: no money can follow.
    Failed,
    /// Waiting for a payment method; also after a decline.
    Pending,
    /// The customer must do something, 3-D Secure for example.
    RequiresAction,
    /// A delayed method is under way.
    Processing,
    /// The amount is reserved.
    Authorized,
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
            Self::Failed => 1,
            Self::Pending | Self::RequiresAction | Self::Processing => 2,
            Self::Authorized => 3,
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
    /// Given back in all.
    pub refunded: Money,
    /// Whether the gateway is being asked to end it.
    pub end_requested: bool,
    /// How often the gateway was asked to end it; part of the call's idempotency key.
    pub end_generation: u32,
    /// When we decided to start it.
    pub created_at: OffsetDateTime,
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
            amount,
            state: PaymentState::Created,
            seen_at: None,
            intent: None,
            session: None,
            capturable: zero,
            captured: zero,
            refunded: zero,
            end_requested: false,
            end_generation: 0,
            created_at: at,
        };
        Transition::first(PaymentEvent::Started, payment)
    }

    /// The transition table: every state against every event, and no `_` arm.
    fn rule(&self, event: &PaymentEvent) -> Rule {
        use {PaymentEvent as E, PaymentState as S, Rule::*};
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

            (
                S::Created | S::Pending | S::RequiresAction | S::Processing | S::Authorized,
                E::EndRequested,
            ) => {
                if self.end_requested {
                    AlreadyTrue
                } else {
                    MoveTo(self.state)
                }
            }
            (S::Created | S::Pending | S::RequiresAction | S::Processing | S::Authorized, E::EndRefused) => {
                if self.end_requested {
                    MoveTo(self.state)
                } else {
                    AlreadyTrue
                }
            }
            (S::Failed | S::Cancelled | S::Captured, E::EndRequested | E::EndRefused) => AlreadyTrue,

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
        let (captured, refunded) = match sighting.standing {
            // No more can be given back than was taken, whatever one message says.
            Standing::Captured { captured, refunded } => (captured, refunded.min(captured)),
            _ => (0, 0),
        };
        after.captured = of(self.captured.minor().max(captured));
        after.refunded = of(self.refunded.minor().max(refunded));
        after.capturable = match (after.state, &sighting.standing) {
            (PaymentState::Authorized, Standing::Authorized(minor)) => {
                of(self.capturable.minor().max(*minor))
            }
            (PaymentState::Authorized, _) => self.capturable,
            _ => of(0),
        };
        if !after.state.is_live() {
            after.end_requested = false;
        }
        after
    }

    /// Whether one message cannot settle it: it does not tell, or two messages of one second disagree about an
    /// open state. Fetch the object once and apply what it says, as seen after everything that was known before.
    pub fn needs_look(&self, sighting: &Sighting) -> bool {
        match sighting.state() {
            None => self.state.is_live() || self.state == PaymentState::Failed,
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
            Rule::Illegal => Err(IllegalTransition {
                id: self.id.to_string(),
                from: self.state.into(),
                event: (&event).into(),
                allowed: Vec::new(),
            }),
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
            PaymentEvent::Started | PaymentEvent::Seen(_) => {}
        }
        after.state = state;
        after.version = self.version.next();
        after
    }
}

#[cfg(test)]
#[path = "payment_tests.rs"]
mod tests;
