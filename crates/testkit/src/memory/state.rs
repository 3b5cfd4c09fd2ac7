use std::collections::{BTreeMap, BTreeSet};

use paywright_domain::{
    Break, BreakId, Cause, Customer, CustomerId, Decline, Dispute, DisputeId, GatewayCall, JobId, Journal,
    Lease, Meter, Network, Order, OrderId, Payment, PaymentId, PayoutId, PayoutRecord, Product, ProductId,
    Refund, RefundId, Run, RunId, Section,
    ports::{InboxEvent, Priority, QueueName, Task, TimelineEntry},
};
use time::OffsetDateTime;

/// A promise of the ports that a store breaks on purpose: whoever checks something that rests on it must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A step is written over whatever version there is.
    StaleVersions,
    /// Whoever ever held a job may complete it.
    AnyHolder,
    /// A cause is taken as often as it comes.
    CauseTwice,
    /// A movement of money is booked as often as it is told.
    BookedTwice,
    /// An order has as many live payments as it likes.
    SeveralLive,
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) flaw: Option<Flaw>,
    pub(super) causes: BTreeSet<String>,
    pub(super) orders: BTreeMap<OrderId, Order>,
    pub(super) payments: BTreeMap<PaymentId, Payment>,
    pub(super) refunds: BTreeMap<RefundId, Refund>,
    pub(super) disputes: BTreeMap<DisputeId, Dispute>,
    pub(super) products: BTreeMap<ProductId, Product>,
    pub(super) customers: BTreeMap<CustomerId, Customer>,
    pub(super) calls: BTreeMap<JobId, GatewayCall>,
    pub(super) declines: Vec<Decline>,
    /// In the order in which they were found first.
    pub(super) breaks: Vec<StoredBreak>,
    /// In the order in which they were booked.
    pub(super) journals: Vec<Journal>,
    pub(super) events: BTreeMap<String, InboxEvent>,
    /// In the order in which they were born.
    pub(super) jobs: Vec<StoredJob>,
    /// Places that were claimed since the backlog had one of its own.
    pub(super) places: u32,
    /// In the order in which they were written.
    pub(super) audit: Vec<AuditRow>,
    /// By the mode's name.
    pub(super) cursors: BTreeMap<(&'static str, Section), OffsetDateTime>,
    pub(super) looked: BTreeMap<PaymentId, OffsetDateTime>,
    pub(super) payouts: BTreeMap<PayoutId, PayoutRecord>,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// By rule and who.
    pub(super) meters: BTreeMap<String, Meter>,
    /// From where orders were tried to be paid.
    pub(super) origins: BTreeSet<(Network, OrderId)>,
}

/// A job with everything that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Its identity.
    pub id: JobId,
    /// Where it waits.
    pub queue: QueueName,
    /// What is to be done.
    pub task: Task,
    /// What goes first.
    pub priority: Priority,
    /// What it is about, if others may be about the same.
    pub about: Option<String>,
    /// How far it has come.
    pub state: JobState,
    /// When it may be claimed first.
    pub due_at: OffsetDateTime,
    /// The token of its newest lease; 0 before the first.
    pub token: u32,
    /// How often it was claimed; being held from birth counts.
    pub attempts: u32,
    /// Why it was given back or buried, or what came of it.
    pub note: Option<String>,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// For its time.
    Waiting,
    /// Leased; from then on anybody may claim it.
    Held {
        /// When the lease ends, by the store's clock.
        until: OffsetDateTime,
    },
    /// Completed by a commit.
    Done,
    /// Ended without success.
    Buried,
}

/// A difference with everything that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBreak {
    /// Its identity.
    pub id: BreakId,
    /// What was found.
    pub found: Break,
    /// When it was found; anew, if it was opened again.
    pub found_at: OffsetDateTime,
    /// How it ended, unless it is open.
    pub end: Option<BreakEnd>,
}

/// How a difference ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakEnd {
    /// When.
    pub at: OffsetDateTime,
    /// By whom.
    pub by: String,
    /// Why it is none any more.
    pub reason: String,
}

/// One line of the audit trail and the order it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The order.
    pub order: OrderId,
    /// The line.
    pub entry: TimelineEntry,
}

impl StoredBreak {
    pub(super) fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

impl StoredJob {
    pub(super) fn claimable(&self, now: OffsetDateTime) -> bool {
        match self.state {
            JobState::Waiting => self.due_at <= now,
            JobState::Held { until } => until <= now,
            JobState::Done | JobState::Buried => false,
        }
    }

    /// When it can be claimed, unless others about the same keep it back.
    pub(super) fn claimable_at(&self) -> Option<OffsetDateTime> {
        match self.state {
            JobState::Waiting => Some(self.due_at),
            JobState::Held { until } => Some(until),
            JobState::Done | JobState::Buried => None,
        }
    }

    /// Whether it waits for somebody to end it, held or not.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, JobState::Waiting | JobState::Held { .. })
    }
}

impl State {
    pub(super) fn knows(&self, cause: Cause) -> bool {
        self.causes.contains(&cause.to_string())
    }

    pub(super) fn job(&mut self, id: JobId) -> Option<&mut StoredJob> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    /// The job, if `lease` is its newest. The lease's time may be over: while nobody else claims it, it stands.
    pub(super) fn held(&mut self, lease: Lease) -> Option<&mut StoredJob> {
        let any = self.flaw == Some(Flaw::AnyHolder);
        self.job(lease.job)
            .filter(|job| matches!(job.state, JobState::Held { .. }) && (any || job.token == lease.token))
    }

    /// Oldest first.
    pub(super) fn payments_of(&self, order: OrderId) -> impl Iterator<Item = &Payment> {
        self.payments.values().filter(move |payment| payment.order == order)
    }

    /// Those that `own` names, oldest first, which is by when the gateway made them.
    pub(super) fn refunds_of(&self, own: impl Fn(&Refund) -> bool) -> Vec<Refund> {
        let mut refunds: Vec<_> = self.refunds.values().filter(|refund| own(refund)).cloned().collect();
        refunds.sort_by_key(|refund| (refund.created_at, refund.id));
        refunds
    }

    /// Those that `own` names, oldest first, which is by when the gateway opened them.
    pub(super) fn disputes_of(&self, own: impl Fn(&Dispute) -> bool) -> Vec<Dispute> {
        let mut disputes: Vec<_> = self.disputes.values().filter(|dispute| own(dispute)).cloned().collect();
        disputes.sort_by_key(|dispute| (dispute.created_at, dispute.id));
        disputes
    }

    pub(super) fn live_payments(&self, order: OrderId) -> impl Iterator<Item = &Payment> {
        self.payments_of(order).filter(|payment| payment.state.is_live())
    }
}
