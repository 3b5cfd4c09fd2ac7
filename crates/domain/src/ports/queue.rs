use async_trait::async_trait;
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::{Duration, OffsetDateTime};

use super::StoreError;
use crate::{JobId, Lease, Mode, OrderId};

/// The durable inbox, and the jobs that wait to be done.
///
/// # What an implementor must guarantee
/// - [`Queue::receive`] stores an event and the job that will read it in one transaction, and an event of the same
///   id only once.
/// - [`Queue::claim`] hands a job to one caller at a time: until the lease ends nobody else gets it, and every claim
///   raises its token and its count of attempts before it returns.
/// - Of the jobs about one payment at most one is leased at a time; the others wait, and nobody waits behind them.
/// - Fresh jobs go before the backlog, and neither starves the other: of every [`BACKLOG_SHARE`] places that are claimed
///   one goes to the backlog if any of it is due, and those that no fresh job wants go to it all.
/// - Leases, and the age of events, are counted by the store's own clock.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores an event durably. Answer the sender only after it.
    async fn receive(&self, event: InboxEvent) -> Result<Received, StoreError>;
    /// An event as it was received.
    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError>;
    /// Up to `limit` jobs of a queue that are due, leased for `lease`: the fresh ones first, and of each priority the
    /// oldest due first. Some may be fewer than are due; none means that nothing is due which could be leased.
    async fn claim(&self, queue: QueueName, limit: u32, lease: Duration) -> Result<Vec<Job>, StoreError>;
    /// Gives a job back, to be tried again after `delay`. With a lost lease this does nothing.
    async fn retry(&self, lease: Lease, delay: Duration, reason: &str) -> Result<(), StoreError>;
    /// Ends a job without success; it stays visible, and can be replayed. With a lost lease this does nothing.
    async fn bury(&self, lease: Lease, reason: &str) -> Result<(), StoreError>;
}

/// Where jobs wait; each queue has its own workers, so that a slow one delays no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum QueueName {
    /// Received events.
    Webhooks,
    /// Calls to the gateway, and timers that lead to some.
    Effects,
}

/// Of how many claimed places one goes to the backlog, however many fresh jobs wait.
pub const BACKLOG_SHARE: u32 = 8;

/// What goes first when not everything can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    /// Somebody may be waiting for it right now.
    Fresh,
    /// Part of a flood of old news, after an outage for example.
    Backlog,
}

impl Priority {
    /// How old an event may be, when it is received, to be fresh.
    pub const FRESH_FOR: Duration = Duration::minutes(5);

    /// The priority of an event that is received `now`.
    pub fn of_event(created_at: OffsetDateTime, now: OffsetDateTime) -> Self {
        if created_at < now - Self::FRESH_FOR { Self::Backlog } else { Self::Fresh }
    }
}

/// An event of the gateway, exactly as the bytes came, with what a shallow look tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEvent {
    /// The gateway's id of the event.
    pub id: String,
    /// Its type, `payment_intent.succeeded` for example.
    pub kind: String,
    /// Test or live.
    pub mode: Mode,
    /// The connected account it is about, if it is about one.
    pub account: Option<String>,
    /// The API version that shaped it.
    pub api_version: Option<String>,
    /// The object it shows.
    pub object: Option<String>,
    /// What it is about in the end: the gateway's payment, where a shallow look finds one, else the object. Events about
    /// the same are read one after the other.
    pub about: Option<String>,
    /// When the gateway made it.
    pub created_at: OffsetDateTime,
    /// The bytes.
    pub body: Vec<u8>,
    /// Why it needs no reading (other mode, foreign account); such an event gets no job.
    pub ignored: Option<String>,
}

/// Whether an event was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is stored now.
    New,
    /// It was stored before; nothing was written.
    Known,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The right to complete it.
    pub lease: Lease,
    /// What is to be done.
    pub task: Task,
    /// How often it was claimed, this time included.
    pub attempts: u32,
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Read this event of the inbox.
    ReadEvent(String),
    /// Perform the recorded call that has the job's id.
    PerformCall(JobId),
    /// Look after this order.
    WatchOrder(OrderId),
}
