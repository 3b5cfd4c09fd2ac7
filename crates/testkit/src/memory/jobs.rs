//! What is to be done later: calls and timers.

use paywright_domain::{
    GatewayCall, JobId, Lease, OrderId,
    ports::{QueueName, StoreError, Task},
};
use time::{Duration, OffsetDateTime};

use super::{
    commit::bug,
    state::{JobState, State, StoredJob},
};

impl State {
    pub(super) fn record(
        &mut self,
        call: GatewayCall,
        held_for: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.needs(call.order, call.payment)?;
        if self.calls.values().any(|known| known.id == call.id || known.key() == call.key()) {
            return Err(StoreError::Conflict);
        }
        let (state, token) = match held_for {
            Some(time) => (JobState::Held { until: now + time }, Lease::FROM_BIRTH),
            None => (JobState::Waiting, 0),
        };
        self.jobs.push(StoredJob {
            id: call.id,
            queue: QueueName::Effects,
            task: Task::PerformCall(call.id),
            state,
            due_at: now,
            token,
            attempts: token,
            note: None,
        });
        self.calls.insert(call.id, call);
        Ok(())
    }

    /// Moves the order's timer, if it has one, to the earlier of both times. One that rings just now is taken from
    /// whoever holds it, since they looked at the order as it was before, and rings again at the end of their lease.
    pub(super) fn watch(&mut self, id: JobId, order: OrderId, at: OffsetDateTime) -> Result<(), StoreError> {
        if !self.orders.contains_key(&order) {
            return Err(bug("a timer of an order that is not stored"));
        }
        let task = Task::WatchOrder(order);
        if let Some(open) = self.jobs.iter_mut().find(|job| job.task == task && job.is_open()) {
            let rings = match open.state {
                JobState::Held { until } => until,
                JobState::Waiting | JobState::Done | JobState::Buried => open.due_at,
            };
            open.due_at = rings.min(at);
            open.state = JobState::Waiting;
            return Ok(());
        }
        self.jobs.push(StoredJob {
            id,
            queue: QueueName::Effects,
            task,
            state: JobState::Waiting,
            due_at: at,
            token: 0,
            attempts: 0,
            note: None,
        });
        Ok(())
    }
}
