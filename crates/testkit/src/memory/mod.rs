//! All storage ports in memory, with the guarantees that the ports ask for.
//!
//! A commit is one function over plain rows, never a closure of the caller's: what PostgreSQL would refuse under
//! READ COMMITTED is refused here for the same reason (a version, a unique key, a lease).

mod books;
mod catalogue;
mod commit;
mod jobs;
mod limits;
mod queue;
mod reader;
mod reconciliation;
mod saved;
mod state;
mod steps;
mod store;

use std::sync::{Arc, Mutex, MutexGuard};

use paywright_domain::{
    Break, Customer, Decline, Dispute, GatewayCall, JobId, Journal, Order, OrderId, Payment, Refund,
    ports::{Clock, InboxEvent, Listed, Page, QueueName},
};
use time::OffsetDateTime;

pub use state::{AuditRow, BreakEnd, Flaw, JobState, StoredBreak, StoredJob};

use crate::ManualClock;

/// Store, queue, catalogue and reader in memory. Share it in an [`Arc`].
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<state::State>,
}

impl MemoryStore {
    /// An empty store; leases and due times are counted by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// The same, but that it breaks one promise: for checking those who check.
    pub fn flawed(clock: Arc<dyn Clock>, flaw: Flaw) -> Self {
        Self { clock, state: Mutex::new(state::State { flaw: Some(flaw), ..state::State::default() }) }
    }

    /// Every order, oldest first.
    pub fn orders(&self) -> Vec<Order> {
        self.rows().orders.values().cloned().collect()
    }

    /// Every payment, oldest first.
    pub fn payments(&self) -> Vec<Payment> {
        self.rows().payments.values().cloned().collect()
    }

    /// Every refund, oldest first.
    pub fn refunds(&self) -> Vec<Refund> {
        self.rows().refunds.values().cloned().collect()
    }

    /// Every dispute, in the order in which they became known.
    pub fn disputes(&self) -> Vec<Dispute> {
        self.rows().disputes.values().cloned().collect()
    }

    /// Every movement of money, in the order in which they were booked.
    pub fn journals(&self) -> Vec<Journal> {
        self.rows().journals.clone()
    }

    /// Every customer.
    pub fn customers(&self) -> Vec<Customer> {
        self.rows().customers.values().cloned().collect()
    }

    /// Every recorded call, oldest first.
    pub fn calls(&self) -> Vec<GatewayCall> {
        self.rows().calls.values().cloned().collect()
    }

    /// Every refused attempt, in the order in which they became known.
    pub fn declines(&self) -> Vec<Decline> {
        self.rows().declines.clone()
    }

    /// Every difference found, resolved ones included.
    pub fn breaks(&self) -> Vec<Break> {
        self.rows().breaks.iter().map(|row| row.found.clone()).collect()
    }

    /// Every difference that no rule and nobody has explained yet.
    pub fn open_breaks(&self) -> Vec<Break> {
        let state = self.rows();
        state.breaks.iter().filter(|row| row.is_open()).map(|row| row.found.clone()).collect()
    }

    /// Every difference with everything that is kept of it.
    pub fn stored_breaks(&self) -> Vec<StoredBreak> {
        self.rows().breaks.clone()
    }

    /// Every job, done and buried ones included, in the order of their births.
    pub fn jobs(&self) -> Vec<StoredJob> {
        self.rows().jobs.clone()
    }

    /// A job with everything that is kept of it.
    pub fn job(&self, id: JobId) -> Option<StoredJob> {
        self.rows().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// A person has a dead job tried again, as if for the first time.
    pub fn revive(&self, id: JobId) {
        let now = self.clock.now();
        if let Some(job) = self.rows().job(id).filter(|job| job.state == JobState::Buried) {
            (job.state, job.due_at, job.attempts) = (JobState::Waiting, now, 0);
        }
    }

    /// When the first job of a queue can be claimed; `None` while nothing waits.
    pub fn next_due(&self, queue: QueueName) -> Option<OffsetDateTime> {
        let state = self.rows();
        let waits = state.jobs.iter().filter(|job| job.queue == queue);
        waits.filter_map(|job| job.claimable_at()).min()
    }

    /// How many lines the audit trails of all orders have.
    pub fn trail_len(&self) -> usize {
        self.rows().audit.len()
    }

    /// The recorded calls of an order, oldest first.
    pub fn calls_of(&self, order: OrderId) -> Vec<GatewayCall> {
        self.rows().calls.values().filter(|call| call.order == order).cloned().collect()
    }

    /// Every received event.
    pub fn events(&self) -> Vec<InboxEvent> {
        self.rows().events.values().cloned().collect()
    }

    /// The audit trail of all orders, as it was written.
    pub fn audit(&self) -> Vec<AuditRow> {
        self.rows().audit.clone()
    }

    fn rows(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap()
    }
}

/// By a [`ManualClock`] that nobody moves.
impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Arc::new(ManualClock::default()))
    }
}

/// A page of rows that come newest first, which is by id: ids sort by time, and an id that is gone still has its
/// place among the others.
fn page_of<T, Id: Ord + Copy>(
    newest_first: impl Iterator<Item = T>,
    id: impl Fn(&T) -> Id,
    page: Page<Id>,
) -> Listed<T> {
    let mut rest = newest_first.filter(|row| page.after.is_none_or(|after| id(row) < after));
    let rows = rest.by_ref().take(page.limit as usize).collect();
    Listed { rows, has_more: rest.next().is_some() }
}
