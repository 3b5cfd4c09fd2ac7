//! What the gateway says of a payment.

use strum::{Display, EnumIter, IntoStaticStr};
use time::OffsetDateTime;

use super::{IntentId, PaymentState, SessionId};
use crate::BalanceTransaction;

/// What the gateway says a payment is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Display, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Standing {
    /// It waits for a method.
    AwaitingMethod,
    /// The customer must act.
    ActionRequired,
    /// A delayed method is under way.
    Processing,
    /// Reserved: this many minor units can be captured.
    Authorized(u64),
    /// Taken: this many minor units in all, of which so many were given back. Totals, never differences.
    Captured {
        /// Minor units captured so far.
        captured: u64,
        /// Minor units refunded so far. Only a hint that there are refunds to hear of: each is a fact of its own.
        refunded: u64,
    },
    /// Ended without money.
    Cancelled,
    /// This message alone does not tell (a finished hosted page, a status that we do not know): look at the
    /// object itself.
    Unclear,
}

/// One look at a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// How it stood.
    pub standing: Standing,
    /// When, by the gateway's clock: to the second in its messages, finer for a look of ours.
    pub at: OffsetDateTime,
    /// The gateway's name for it, if this message tells.
    pub intent: Option<IntentId>,
    /// The hosted page it belongs to, if this message tells.
    pub session: Option<SessionId>,
    /// Until when the hold can be captured, if this message tells.
    pub capture_before: Option<OffsetDateTime>,
    /// What the capture moved in the gateway's balance, if this message tells. It often comes later than the capture.
    pub settlement: Option<BalanceTransaction>,
}

impl Sighting {
    /// The state that the standing means, or `None` when it does not tell.
    pub(super) fn state(&self) -> Option<PaymentState> {
        match self.standing {
            Standing::AwaitingMethod => Some(PaymentState::Pending),
            Standing::ActionRequired => Some(PaymentState::RequiresAction),
            Standing::Processing => Some(PaymentState::Processing),
            Standing::Authorized(_) => Some(PaymentState::Authorized),
            Standing::Captured { .. } => Some(PaymentState::Captured),
            Standing::Cancelled => Some(PaymentState::Cancelled),
            Standing::Unclear => None,
        }
    }
}
