//! The inbox and the jobs, as operators see and restart them. Nothing here decides: what is started again goes the way
//! that everything goes, under a lease and a cause of its own.

mod changes;
mod events;
mod jobs;
mod replay;
mod rows;

use paywright_domain::{JobId, Mode, OrderId, PaymentId, ports::QueueName};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{Postgres, text::named_id};

pub use jobs::Retried;
pub use replay::{Requeued, Taken};

/// Reads and restarts what waits, what failed and what was done.
#[derive(Debug, Clone)]
pub struct Operations {
    store: Postgres,
}

/// How far a received event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EventState {
    /// It waits for its first attempt, or is in it.
    Waiting,
    /// It failed, and is tried again.
    Failing,
    /// It was given up; only a person starts it again.
    Dead,
    /// What follows from it is stored.
    Processed,
    /// It was not for us: kept, and never read.
    Ignored,
}

impl EventState {
    /// How far an event has come by the job that reads it.
    pub fn of(job: &JobView) -> Self {
        match job.state {
            JobState::Dead => Self::Dead,
            JobState::Done => Self::Processed,
            JobState::Ready | JobState::Running if job.has_failed() => Self::Failing,
            JobState::Ready | JobState::Running => Self::Waiting,
        }
    }
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// In this state.
    pub state: Option<EventState>,
    /// Of this type; one that ends in `*` stands for all that begin so.
    pub kind: Option<String>,
    /// About this object of the gateway; about a payment is also what was told of its refunds and disputes.
    pub object: Option<String>,
    /// Received at or after.
    pub received_from: Option<OffsetDateTime>,
    /// Received before.
    pub received_before: Option<OffsetDateTime>,
}

/// A received event without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventView {
    /// The gateway's id of it.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Test or live.
    pub mode: Mode,
    /// The connected account it is about, if it is about one.
    pub account: Option<String>,
    /// The API version that shaped it.
    pub api_version: Option<String>,
    /// The object it shows.
    pub object: Option<String>,
    /// What it is about in the end: a payment, where one is known.
    pub about: Option<String>,
    /// When the gateway made it.
    pub created_at: OffsetDateTime,
    /// When it was stored.
    pub received_at: OffsetDateTime,
    /// How many bytes it has.
    pub bytes: u32,
    /// How far it has come.
    pub state: EventState,
    /// What came of it when it was read first, or why it was ignored. What came of a replay is told by its job.
    pub conclusion: Option<String>,
    /// When what follows from it was first stored.
    pub processed_at: Option<OffsetDateTime>,
    /// The job that it got when it was received; it may be forgotten by now, and what was ignored never had it.
    pub first_job: JobId,
    /// The job that reads it, while it is not processed.
    pub job: Option<JobView>,
}

impl EventView {
    /// Whether it is still to be read.
    pub fn is_open(&self) -> bool {
        match self.state {
            EventState::Waiting | EventState::Failing | EventState::Dead => true,
            EventState::Processed | EventState::Ignored => false,
        }
    }

    /// The gateway's names of what it is about, see [`Operations::changes`].
    pub fn names(&self) -> Vec<String> {
        self.about.iter().chain(&self.object).cloned().collect()
    }

    /// The jobs that read it: these, and the one that it got when it was received, which may be forgotten by now.
    pub fn causes(&self, jobs: &[JobView]) -> Vec<JobId> {
        let later = jobs.iter().map(|job| job.id).filter(|id| *id != self.first_job);
        std::iter::once(self.first_job).chain(later).collect()
    }
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum JobState {
    /// It waits for its moment.
    Ready,
    /// Somebody is at it.
    Running,
    /// It was given up; only a person starts it again.
    Dead,
    /// It is done.
    Done,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum JobKind {
    /// Reads a received event.
    ReadEvent,
    /// Calls the gateway.
    PerformCall,
    /// Looks after an order.
    WatchOrder,
}

/// Which jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In this queue.
    pub queue: Option<QueueName>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// In this state.
    pub state: Option<JobState>,
}

/// A job, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Its identity.
    pub id: JobId,
    /// Where it waits.
    pub queue: QueueName,
    /// What it does.
    pub kind: JobKind,
    /// How far it has come.
    pub state: JobState,
    /// The event that it reads.
    pub event: Option<String>,
    /// The order that it is about.
    pub order: Option<OrderId>,
    /// The payment that its call is about.
    pub payment: Option<PaymentId>,
    /// The operation that it calls.
    pub operation: Option<String>,
    /// The idempotency key of its call, the same at every attempt.
    pub key: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it is tried next; of one that runs, when its lease ends.
    pub due_at: OffsetDateTime,
    /// When it was done or given up.
    pub finished_at: Option<OffsetDateTime>,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// What came of it.
    pub conclusion: Option<String>,
}

impl JobView {
    /// Whether it was tried in vain since it was made, or since a person started it again.
    pub fn has_failed(&self) -> bool {
        match self.state {
            JobState::Ready | JobState::Running => self.attempts > 0 && self.last_error.is_some(),
            JobState::Dead => true,
            JobState::Done => false,
        }
    }
}

/// A line of an order's audit trail that a job wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which order.
    pub order: OrderId,
    /// The payment it is about.
    pub payment: Option<PaymentId>,
    /// What kind of thing.
    pub subject: String,
    /// What happened.
    pub event: String,
    /// The state before.
    pub from: Option<String>,
    /// The state after.
    pub to: Option<String>,
    /// When.
    pub at: OffsetDateTime,
}

impl Operations {
    /// What is in this database.
    pub fn new(postgres: &Postgres) -> Self {
        Self { store: postgres.clone() }
    }
}

/// What makes a replay the only one that is under way of its event.
fn replay_key(event: &str) -> String {
    format!("replay:{event}")
}

/// The job of an event's replay by this operation, the same when the operation is run again.
fn replay_job(event: &EventView, operation: &str) -> JobId {
    named_id(event.created_at, &format!("{operation} of {}", event.id))
}
