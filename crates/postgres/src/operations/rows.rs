use paywright_domain::{Id, JobId, ports::StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{EventState, EventView, JobKind, JobState, JobView};
use crate::{rows::Reading, text::named_id};

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
    pub(super) job_id: Option<Uuid>,
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
        let first_job = self.job_id.map_or_else(|| named_id(self.created_at, &self.id), Id::from_uuid);
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
            first_job,
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

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::uuid;

    use super::*;

    #[test]
    fn an_event_names_its_job_and_one_of_before_had_a_job_named_after_it() {
        let stored = Uuid::from_u128(7);
        for (job_id, expected) in
            [(Some(stored), stored), (None, uuid!("01a1fdfa-4600-7d4e-9a76-eae6d8c16541"))]
        {
            let row = EventRow {
                id: "evt_1".to_owned(),
                kind: "payment_intent.succeeded".to_owned(),
                mode: "test".to_owned(),
                account: None,
                api_version: None,
                object: None,
                about: None,
                created_at: datetime!(2026-11-21 12:00:00 UTC),
                received_at: datetime!(2026-11-21 12:00:01 UTC),
                bytes: 2,
                ignored: None,
                outcome: None,
                processed_at: None,
                job_id,
            };
            assert_eq!(row.view().unwrap().first_job.uuid(), expected);
        }
    }
}
