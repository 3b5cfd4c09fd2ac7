//! What is to be done later: events, calls and timers, and who gets them when.

use std::collections::BTreeSet;

use paywright_domain::{
    GatewayCall, JobId, Lease, OrderId,
    ports::{BACKLOG_SHARE, Job, Priority, QueueName, StoreError, Task},
};
use time::{Duration, OffsetDateTime};

use super::{
    commit::bug,
    state::{JobState, State, StoredJob},
};

impl State {
    /// Leases up to `limit` jobs that are due, at most one about each payment. What is less than one place of the
    /// backlog's share adds up from claim to claim.
    pub(super) fn claim(
        &mut self,
        queue: QueueName,
        limit: u32,
        lease: Duration,
        now: OffsetDateTime,
    ) -> Vec<Job> {
        let places = self.places + limit;
        self.places = places % BACKLOG_SHARE;
        let (fresh, backlog) =
            (self.due(queue, Priority::Fresh, now), self.due(queue, Priority::Backlog, now));
        let limit = limit as usize;
        let reserved = backlog.len().min((places / BACKLOG_SHARE) as usize).min(limit);
        let passing = fresh.len().min(limit - reserved);
        let picked: Vec<JobId> =
            fresh.into_iter().take(passing).chain(backlog.into_iter().take(limit - passing)).collect();
        let mut jobs: Vec<_> = self.jobs.iter_mut().filter(|job| picked.contains(&job.id)).collect();
        jobs.sort_by_key(|job| job.due_at);
        let mut busy = BTreeSet::new();
        jobs.retain(|job| job.about.is_none() || busy.insert(job.about.clone()));
        jobs.sort_by_key(|job| job.priority != Priority::Fresh);
        jobs.into_iter().map(|job| job.claim(now + lease)).collect()
    }

    /// What of a priority can be leased now, the oldest due first.
    fn due(&self, queue: QueueName, priority: Priority, now: OffsetDateTime) -> Vec<JobId> {
        let of_it = |job: &&StoredJob| job.queue == queue && job.priority == priority && job.claimable(now);
        let mut due: Vec<_> = self.jobs.iter().filter(of_it).collect();
        due.retain(|job| !self.jobs.iter().any(|other| other.keeps_back(job)));
        due.sort_by_key(|job| job.due_at);
        due.into_iter().map(|job| job.id).collect()
    }

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
            priority: Priority::Fresh,
            about: None,
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
            priority: Priority::Fresh,
            about: None,
            state: JobState::Waiting,
            due_at: at,
            token: 0,
            attempts: 0,
            note: None,
        });
        Ok(())
    }
}

impl StoredJob {
    /// Whether it is held, and about the same as `other`.
    fn keeps_back(&self, other: &Self) -> bool {
        let held = matches!(self.state, JobState::Held { .. });
        held && self.id != other.id && self.about.is_some() && self.about == other.about
    }

    fn claim(&mut self, until: OffsetDateTime) -> Job {
        self.token += 1;
        self.attempts += 1;
        self.state = JobState::Held { until };
        Job {
            lease: Lease { job: self.id, token: self.token },
            task: self.task.clone(),
            attempts: self.attempts,
        }
    }
}
