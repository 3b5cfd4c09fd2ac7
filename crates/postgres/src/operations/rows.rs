use paywright_domain::{Id, JobId, ports::StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{EventState, EventView, JobKind, JobState, JobView};
use crate::rows::Reading;

/// A received event without its bytes.
pub(super) struct EventRow {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) mode: String,
    pub(super) account: Option<String>,
    pub(super) api_version: Option<String>,
    pub(super) object: Option<String>,
    pub(super) about: Option<String>,
    pub(super) created_at: OffsetDateTime,
    pub(super) received_at: OffsetDateTime,
    pub(super) bytes: i32,
    pub(super) ignored: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) processed_at: Option<OffsetDateTime>,
}

impl EventRow {
    /// How far it has come is known once its job is, see [`EventView::follow`].
    pub(super) fn view(self) -> Result<EventView, StoreError> {
        let row = Reading { table: "inbox_events", id: &self.id };
        let state = match (&self.ignored, self.processed_at) {
            (Some(_), _) => EventState::Ignored,
            (None, Some(_)) => EventState::Processed,
            (None, None) => EventState::Waiting,
        };
        Ok(EventView {
            mode: row.word("mode", &self.mode)?,
            bytes: row.number("body", i64::from(self.bytes))?,
            id: self.id,
            kind: self.kind,
            account: self.account,
            api_version: self.api_version,
            object: self.object,
            about: self.about,
            created_at: self.created_at,
            received_at: self.received_at,
            state,
            conclusion: self.ignored.or(self.outcome),
            processed_at: self.processed_at,
            job: None,
        })
    }
}

impl EventView {
    /// Takes from the job that reads it how far it has come.
    pub(super) fn follow(&mut self, job: JobView) {
        self.state = EventState::of(&job);
        self.job = Some(job);
    }
}

/// A job, with the call that it performs.
pub(super) struct JobRow {
    pub(super) id: Uuid,
    pub(super) queue: String,
    pub(super) kind: String,
    pub(super) payload: Option<String>,
    pub(super) state: String,
    pub(super) running: bool,
    pub(super) attempts: i64,
    pub(super) created_at: OffsetDateTime,
    pub(super) due_at: OffsetDateTime,
    pub(super) finished_at: Option<OffsetDateTime>,
    pub(super) last_error: Option<String>,
    pub(super) conclusion: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) order_id: Option<Uuid>,
    pub(super) payment_id: Option<Uuid>,
    pub(super) idempotency_key: Option<String>,
}

impl JobRow {
    pub(super) fn view(self) -> Result<JobView, StoreError> {
        let row = Reading { table: "jobs", id: self.id };
        let kind: JobKind = row.word("kind", &self.kind)?;
        let (event, order) = match (kind, self.payload) {
            (JobKind::ReadEvent, Some(event)) => (Some(event), None),
            (JobKind::PerformCall, None) => (None, self.order_id.map(Id::from_uuid)),
            (JobKind::WatchOrder, Some(order)) => (None, Some(row.word("payload", &order)?)),
            (JobKind::ReadEvent | JobKind::WatchOrder, None) | (JobKind::PerformCall, Some(_)) => {
                return Err(row.impossible("payload"));
            }
        };
        Ok(JobView {
            id: JobId::from_uuid(self.id),
            queue: row.word("queue", &self.queue)?,
            kind,
            state: match self.state.as_str() {
                "ready" if self.running => JobState::Running,
                state => row.word("state", state)?,
            },
            event,
            order,
            payment: self.payment_id.map(Id::from_uuid),
            operation: self.operation,
            key: self.idempotency_key,
            attempts: row.number("attempts", self.attempts)?,
            created_at: self.created_at,
            due_at: self.due_at,
            finished_at: self.finished_at,
            last_error: self.last_error,
            conclusion: self.conclusion,
        })
    }
}
