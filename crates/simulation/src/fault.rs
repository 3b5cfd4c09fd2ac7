//! What can go wrong, class by class.

use strum::{Display, EnumCount, EnumIter, IntoEnumIterator, IntoStaticStr};

/// A class of faults. A run first draws which of them exist in it at all, and how often they strike.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumCount, EnumIter, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Fault {
    /// A process dies at a port call: everything that it was doing is gone.
    Crash,
    /// A process stands still, often for longer than its leases last, and goes on as if nothing had been.
    Pause,
    /// The store is away, and did nothing.
    StoreBefore,
    /// The store did it, and its answer is lost.
    StoreAfter,
    /// A commit meets another one.
    StoreConflict,
    /// The store takes its time.
    StoreSlow,
    /// The store is away for all, for a while.
    StoreOutage,
    /// The request was not sent.
    NotSent,
    /// The request was lost on its way.
    UnknownBefore,
    /// The request was carried out, and its answer is lost.
    UnknownAfter,
    /// The request is carried out when its sender has given it up.
    LateEffect,
    /// A 500, kept under the key; nothing was done.
    SpentBefore,
    /// A 500, kept under the key; everything was done.
    SpentAfter,
    /// A 500, kept under the key; it is done later, by itself.
    SpentThenDone,
    /// A 502 or 503, before or after it was carried out.
    BadGateway,
    /// An answer that breaks off.
    Garbled,
    /// A 429, of a limiter or because the object is locked.
    Limited,
    /// A 409: the key is in use.
    InUse,
    /// The gateway takes its time.
    GatewaySlow,
    /// The gateway is away for all, for hours or days.
    GatewayOutage,
    /// An answer about another object, of another mode or over another amount.
    Untrue,
    /// A webhook is never delivered.
    WebhookLost,
    /// A webhook is delivered several times.
    WebhookDoubled,
    /// A webhook comes after others that were sent later.
    WebhookDelayed,
    /// A webhook comes hours or days later.
    WebhookLate,
    /// A webhook is sent once more by hand.
    WebhookResent,
    /// A webhook says something else than the gateway itself, under an older version of the API.
    WebhookOutdated,
    /// Somebody else sends what looks like a webhook.
    WebhookForged,
    /// A webhook of a kind that nobody knows.
    WebhookUnknown,
    /// A webhook is signed by a clock that is wrong.
    WebhookStale,
    /// A client does not hear the answer, and asks again.
    AnswerLost,
    /// A client asks twice at once.
    AskedTwice,
    /// A customer pays in two tabs.
    TwoTabs,
    /// Somebody gives money back at the dashboard.
    DashboardRefund,
    /// Somebody captures or cancels at the dashboard.
    DashboardTouch,
    /// The cardholder contests the payment.
    Dispute,
    /// A refund fails, perhaps after it succeeded.
    RefundFails,
    /// The bank sends a payout back.
    PayoutFails,
    /// Several people act on the same news of an order, in the same moment.
    AtOnce,
}

impl Fault {
    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Whether the class leaves nothing wrong at the gateway, so that it may strike where no webhook may be lost.
    pub fn needs_reconciliation(self) -> bool {
        matches!(self, Self::WebhookLost | Self::PayoutFails)
    }

    /// How often it strikes at most, of a thousand occasions.
    pub fn worst(self) -> u16 {
        match self {
            Self::Crash | Self::Pause => 6,
            Self::StoreBefore | Self::StoreAfter => 60,
            Self::StoreConflict | Self::StoreSlow => 120,
            Self::StoreOutage | Self::GatewayOutage => 5,
            Self::NotSent | Self::UnknownBefore | Self::UnknownAfter | Self::BadGateway => 150,
            Self::LateEffect | Self::SpentBefore | Self::SpentAfter | Self::SpentThenDone => 80,
            Self::Garbled | Self::Limited | Self::InUse => 80,
            Self::GatewaySlow => 150,
            Self::Untrue => 20,
            Self::WebhookLost | Self::WebhookDoubled | Self::WebhookDelayed => 300,
            Self::WebhookLate | Self::WebhookResent | Self::WebhookOutdated => 150,
            Self::WebhookForged | Self::WebhookUnknown | Self::WebhookStale => 60,
            Self::AnswerLost | Self::AskedTwice => 200,
            Self::TwoTabs | Self::DashboardRefund | Self::DashboardTouch | Self::Dispute => 300,
            Self::RefundFails | Self::PayoutFails | Self::AtOnce => 300,
        }
    }
}

/// One number for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Each<T>([T; Fault::COUNT]);

impl<T: Default + Copy> Default for Each<T> {
    fn default() -> Self {
        Self([T::default(); Fault::COUNT])
    }
}

impl<T: Copy> Each<T> {
    /// That of a class.
    pub fn of(&self, fault: Fault) -> T {
        self.0[fault as usize]
    }

    /// That of a class, to be changed.
    pub fn of_mut(&mut self, fault: Fault) -> &mut T {
        &mut self.0[fault as usize]
    }
}
