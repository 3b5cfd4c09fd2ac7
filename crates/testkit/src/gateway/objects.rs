//! The gateway's objects, and what its messages say of them.

use paywright_domain::{
    BalanceTransaction, CaptureMethod, DisputeSighting, DisputeStatus, Evidence, GatewayDisputeId,
    GatewayRefundId, IntentId, Metadata, Mode, Money, OrderId, Origin, PaymentId, RefundId, RefundSighting,
    RefundStanding, Refusal, SessionId, Sighting, Standing,
    ports::{Answer, DisputeSnapshot, RefundSnapshot, Snapshot},
};
use time::OffsetDateTime;

/// A PaymentIntent, and its charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeIntent {
    /// Its name.
    pub id: IntentId,
    /// The order that its metadata names.
    pub order: Option<OrderId>,
    /// The payment that its metadata names.
    pub payment: PaymentId,
    /// Whether it is another shop's: its metadata names nothing.
    pub foreign: bool,
    /// What it is over.
    pub amount: Money,
    /// Whether a paid amount is taken at once, or reserved first.
    pub capture: CaptureMethod,
    /// How it stands.
    pub status: IntentStatus,
    /// Minor units taken.
    pub captured: u64,
    /// Until when what is reserved can be taken.
    pub capture_before: Option<OffsetDateTime>,
    /// What the capture moved in the balance, once booked.
    pub settlement: Option<BalanceTransaction>,
    /// The hosted page that made it.
    pub session: Option<SessionId>,
    /// The last attempt, if the issuer refused it.
    pub refusal: Option<Refusal>,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// How an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// `requires_payment_method`
    AwaitingMethod,
    /// `requires_action`
    ActionRequired,
    /// `processing`
    Processing,
    /// `requires_capture`
    Authorized,
    /// `succeeded`
    Captured {
        /// Minor units given back in all, or on their way.
        refunded: u64,
    },
    /// `canceled`
    Cancelled,
}

/// A Checkout Session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeSession {
    /// Its name.
    pub id: SessionId,
    /// The order that its metadata names.
    pub order: OrderId,
    /// The payment that its metadata names.
    pub payment: PaymentId,
    /// What it is over.
    pub amount: Money,
    /// Whether a paid amount is taken at once, or reserved first.
    pub capture: CaptureMethod,
    /// How it stands.
    pub status: SessionStatus,
    /// Its intent; there is none before the customer's first attempt.
    pub intent: Option<IntentId>,
    /// When it closes by itself.
    pub expires_at: OffsetDateTime,
}

/// How a hosted page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// The customer can pay.
    Open,
    /// The customer is through; whether money came, the intent tells.
    Complete,
    /// Closed without money.
    Expired,
}

/// A Refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRefund {
    /// Its name.
    pub id: GatewayRefundId,
    /// The intent whose money goes back.
    pub intent: IntentId,
    /// How much.
    pub amount: Money,
    /// The refund that its metadata names; `None` when somebody made it at the dashboard.
    pub refund: Option<RefundId>,
    /// The payment that its metadata names.
    pub payment: Option<PaymentId>,
    /// The gateway's reason.
    pub reason: Option<String>,
    /// The rest of its metadata.
    pub metadata: Metadata,
    /// How it stands.
    pub standing: RefundStanding,
    /// Why it failed.
    pub failure: Option<String>,
    /// What it moved in the balance.
    pub settlement: Option<BalanceTransaction>,
    /// What its coming back moved.
    pub reversal: Option<BalanceTransaction>,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// A Dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeDispute {
    /// Its name.
    pub id: GatewayDisputeId,
    /// The intent that is disputed.
    pub intent: IntentId,
    /// How much is disputed; may be more than was taken.
    pub amount: Money,
    /// How it stands.
    pub status: DisputeStatus,
    /// The customer's reason.
    pub reason: String,
    /// Until when an answer is taken.
    pub due_by: OffsetDateTime,
    /// Whether an answer was submitted.
    pub submitted: bool,
    /// What was staged or submitted last.
    pub evidence: Evidence,
    /// What it moved in the balance so far.
    pub movements: Vec<BalanceTransaction>,
    /// When it was opened.
    pub created_at: OffsetDateTime,
}

impl IntentStatus {
    /// Whether an intent can be cancelled.
    pub(super) fn can_end(self) -> bool {
        match self {
            Self::AwaitingMethod | Self::ActionRequired | Self::Authorized => true,
            Self::Processing | Self::Captured { .. } | Self::Cancelled => false,
        }
    }

    /// Whether the customer can still pay it.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::AwaitingMethod | Self::ActionRequired | Self::Processing => true,
            Self::Authorized | Self::Captured { .. } | Self::Cancelled => false,
        }
    }
}

impl FakeIntent {
    /// What a look with everything expanded says of it.
    pub fn snapshot(&self, mode: Mode, at: OffsetDateTime) -> Snapshot {
        let standing = match self.status {
            IntentStatus::AwaitingMethod => Standing::AwaitingMethod,
            IntentStatus::ActionRequired => Standing::ActionRequired,
            IntentStatus::Processing => Standing::Processing,
            IntentStatus::Authorized => Standing::Authorized(self.amount.minor()),
            IntentStatus::Captured { refunded } => Standing::Captured { captured: self.captured, refunded },
            IntentStatus::Cancelled => Standing::Cancelled,
        };
        Snapshot {
            order: self.order,
            payment: (!self.foreign).then_some(self.payment),
            mode,
            amount: Some(self.amount),
            sighting: Sighting {
                standing,
                at,
                intent: Some(self.id.clone()),
                // An intent does not name its hosted page.
                session: None,
                capture_before: self.capture_before,
                settlement: self.settlement.clone(),
            },
            settled: self.settlement.is_some(),
            refusal: self.refusal.clone(),
            origin: Origin::default(),
        }
    }

    /// Minor units given back in all, or on their way.
    pub fn refunded(&self) -> u64 {
        match self.status {
            IntentStatus::Captured { refunded } => refunded,
            IntentStatus::AwaitingMethod
            | IntentStatus::ActionRequired
            | IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Cancelled => 0,
        }
    }

    pub(super) fn answer(&self, mode: Mode, now: OffsetDateTime) -> Answer {
        let client_secret = Some(format!("{}_secret_fake", self.id).into());
        Answer { snapshot: self.snapshot(mode, now), client_secret, url: None }
    }
}

impl FakeSession {
    /// What a message of the gateway says of it.
    pub fn snapshot(&self, mode: Mode, at: OffsetDateTime) -> Snapshot {
        let standing = match self.status {
            SessionStatus::Open => Standing::AwaitingMethod,
            SessionStatus::Complete => Standing::Unclear,
            SessionStatus::Expired => Standing::Cancelled,
        };
        Snapshot {
            order: Some(self.order),
            payment: Some(self.payment),
            mode,
            amount: Some(self.amount),
            sighting: Sighting {
                standing,
                at,
                intent: self.intent.clone(),
                session: Some(self.id.clone()),
                capture_before: None,
                settlement: None,
            },
            settled: false,
            refusal: None,
            origin: Origin::default(),
        }
    }

    pub(super) fn answer(&self, mode: Mode, now: OffsetDateTime) -> Answer {
        let open = self.status == SessionStatus::Open;
        let url = open.then(|| format!("https://checkout.example/{}", self.id));
        Answer { snapshot: self.snapshot(mode, now), client_secret: None, url }
    }
}

impl FakeRefund {
    /// What a look with everything expanded says of it. A refund alone does not tell its mode, an event does.
    pub fn snapshot(&self, mode: Option<Mode>) -> RefundSnapshot {
        RefundSnapshot {
            refund: self.refund,
            payment: self.payment,
            intent: Some(self.intent.clone()),
            mode,
            amount: Some(self.amount),
            reason: self.reason.clone(),
            sighting: RefundSighting {
                id: self.id.clone(),
                standing: self.standing,
                failure: self.failure.clone(),
                settlement: self.settlement.clone(),
                reversal: self.reversal.clone(),
            },
            created_at: self.created_at,
            origin: Origin::default(),
        }
    }
}

impl FakeDispute {
    /// What a message of the gateway says of it.
    pub fn snapshot(&self, mode: Mode, at: OffsetDateTime) -> DisputeSnapshot {
        DisputeSnapshot {
            id: self.id.clone(),
            intent: Some(self.intent.clone()),
            mode,
            sighting: DisputeSighting {
                status: self.status.clone(),
                amount: self.amount,
                reason: self.reason.clone(),
                due_by: Some(self.due_by),
                refundable: self.leaves_refundable(),
                submitted: self.submitted,
                at,
            },
            movements: self.movements.clone(),
            created_at: self.created_at,
            origin: Origin::default(),
        }
    }

    /// Whether the charge can be refunded in spite of it: during an inquiry, and once it was won.
    pub fn leaves_refundable(&self) -> bool {
        !self.status.withholds()
    }

    /// Whether its amount is taken just now: withdrawals and returns follow each other.
    pub(super) fn is_withdrawn(&self) -> bool {
        !self.movements.len().is_multiple_of(2)
    }
}
