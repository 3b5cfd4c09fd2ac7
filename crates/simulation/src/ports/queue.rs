//! The inbox and the jobs, as a process reaches them.

use async_trait::async_trait;
use paywright_domain::{
    Lease,
    ports::{InboxEvent, Job, Queue, QueueName, Received, StoreError},
};
use time::Duration;

use super::{Line, through};

#[async_trait]
impl Queue for Line {
    async fn receive(&self, event: InboxEvent) -> Result<Received, StoreError> {
        self.to_store("receive").await?;
        let event = match self.world.knobs.bug {
            Some(bug) => bug.receive(event, self),
            None => event,
        };
        let received = self.world.rows.receive(event).await;
        self.world.rouse();
        self.back_from_store().await?;
        received
    }

    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError> {
        through!(self, "load", self.world.rows.event(id))
    }

    async fn claim(&self, queue: QueueName, limit: u32, lease: Duration) -> Result<Vec<Job>, StoreError> {
        through!(self, "claim", self.world.rows.claim(queue, limit, lease))
    }

    async fn retry(&self, lease: Lease, delay: Duration, reason: &str) -> Result<(), StoreError> {
        self.to_store("retry").await?;
        self.world.note("because", || format!("{} {reason}", lease.job));
        let outcome = match self.world.knobs.bug.filter(|bug| bug.buries(reason)) {
            Some(_) => self.world.rows.bury(lease, reason).await,
            None => self.world.rows.retry(lease, delay, reason).await,
        };
        self.world.rouse();
        self.back_from_store().await?;
        outcome
    }

    async fn bury(&self, lease: Lease, reason: &str) -> Result<(), StoreError> {
        self.world.note("dead", || format!("{} {reason}", lease.job));
        through!(self, "bury", self.world.rows.bury(lease, reason))
    }
}
