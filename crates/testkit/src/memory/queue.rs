use async_trait::async_trait;
use paywright_domain::{
    JobId, Lease,
    ports::{InboxEvent, Job, Priority, Queue, QueueName, Received, StoreError, Task},
};
use time::Duration;

use super::{JobState, MemoryStore, StoredJob};

#[async_trait]
impl Queue for MemoryStore {
    async fn receive(&self, event: InboxEvent) -> Result<Received, StoreError> {
        let now = self.clock.now();
        let mut state = self.rows();
        if state.events.contains_key(&event.id) {
            return Ok(Received::Known);
        }
        if event.ignored.is_none() {
            let mut entropy = [0xee; 10];
            entropy[2..].copy_from_slice(&(state.jobs.len() as u64).to_be_bytes());
            state.jobs.push(StoredJob {
                id: JobId::from_parts(now, &entropy),
                queue: QueueName::Webhooks,
                task: Task::ReadEvent(event.id.clone()),
                priority: Priority::of_event(event.created_at, now),
                about: event.about.clone(),
                state: JobState::Waiting,
                due_at: now,
                token: 0,
                attempts: 0,
                note: None,
            });
        }
        state.events.insert(event.id.clone(), event);
        Ok(Received::New)
    }

    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError> {
        Ok(self.rows().events.get(id).cloned())
    }

    async fn claim(&self, queue: QueueName, limit: u32, lease: Duration) -> Result<Vec<Job>, StoreError> {
        Ok(self.rows().claim(queue, limit, lease, self.clock.now()))
    }

    async fn retry(&self, lease: Lease, delay: Duration, reason: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        if let Some(job) = self.rows().held(lease) {
            job.state = JobState::Waiting;
            job.due_at = now + delay;
            job.note = Some(reason.to_owned());
        }
        Ok(())
    }

    async fn bury(&self, lease: Lease, reason: &str) -> Result<(), StoreError> {
        if let Some(job) = self.rows().held(lease) {
            job.state = JobState::Buried;
            job.note = Some(reason.to_owned());
        }
        Ok(())
    }
}
