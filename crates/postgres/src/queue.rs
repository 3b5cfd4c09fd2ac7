//! The inbox and the jobs. Times are the database's own.

use async_trait::async_trait;
use paywright_domain::{
    Id, JobId, Lease, Mode,
    ports::{InboxEvent, Job, Queue, QueueName, Received, StoreError, Task},
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    Postgres,
    error::store_error,
    rows::Reading,
    text::{clean, clean_opt, micros, named_id, note},
};

struct EventRow {
    id: String,
    kind: String,
    mode: String,
    account: Option<String>,
    api_version: Option<String>,
    object: Option<String>,
    created_at: OffsetDateTime,
    body: Vec<u8>,
    ignored: Option<String>,
}

struct JobRow {
    id: Uuid,
    kind: String,
    payload: Option<String>,
    attempts: i64,
    lease_token: i64,
}

#[async_trait]
impl Queue for Postgres {
    #[tracing::instrument(name = "queue.receive", skip_all, fields(event.id = %event.id))]
    async fn receive(&self, event: InboxEvent) -> Result<Received, StoreError> {
        // The job's id follows from the event's, so that this needs no entropy.
        let job: JobId = named_id(event.created_at, &event.id);
        let insert = sqlx::query!(
            "WITH event AS (
                 INSERT INTO inbox_events (id, kind, mode, account, api_version, object, created_at, body, ignored)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT ON CONSTRAINT inbox_events_pkey DO NOTHING
                 RETURNING id, ignored
             ), job AS (
                 INSERT INTO jobs (id, queue, kind, payload, due_at)
                 SELECT $10::uuid, 'webhooks', 'read_event', event.id, now() FROM event WHERE event.ignored IS NULL
             )
             SELECT FROM event",
            &clean(&event.id),
            &clean(&event.kind),
            <&str>::from(event.mode),
            clean_opt(event.account.as_deref()),
            clean_opt(event.api_version.as_deref()),
            clean_opt(event.object.as_deref()),
            event.created_at,
            event.body,
            clean_opt(event.ignored.as_deref()),
            job.uuid(),
        );
        if insert.execute(&self.pool).await.map_err(store_error)?.rows_affected() == 0 {
            return Ok(Received::Known);
        }
        if event.ignored.is_none() {
            self.bell.ring();
        }
        Ok(Received::New)
    }

    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError> {
        let row = sqlx::query_as!(
            EventRow,
            "SELECT id, kind, mode, account, api_version, object, created_at, body, ignored
             FROM inbox_events WHERE id = $1",
            &clean(id)
        );
        row.fetch_optional(&self.pool).await.map_err(store_error)?.map(EventRow::event).transpose()
    }

    #[tracing::instrument(name = "queue.claim", skip_all, fields(queue = %queue))]
    async fn claim(&self, queue: QueueName, limit: u32, lease: Duration) -> Result<Vec<Job>, StoreError> {
        // MATERIALIZED: the rows are picked once, whatever plan joins them, so that never more than $2 are taken.
        let rows = sqlx::query_as!(
            JobRow,
            r#"WITH due AS MATERIALIZED (
                   SELECT id, due_at FROM jobs
                   WHERE queue = $1 AND state = 'ready' AND due_at <= now()
                   ORDER BY due_at, id
                   LIMIT $2
                   FOR UPDATE SKIP LOCKED
               ), claimed AS (
                   UPDATE jobs
                   SET lease_token = lease_token + 1, attempts = attempts + 1,
                       due_at = now() + $3::bigint * interval '1 microsecond',
                       leased_until = now() + $3::bigint * interval '1 microsecond'
                   FROM due WHERE jobs.id = due.id
                   RETURNING jobs.id, kind, payload, attempts, lease_token, due.due_at AS was_due
               )
               SELECT id AS "id!", kind AS "kind!", payload, attempts AS "attempts!", lease_token AS "lease_token!"
               FROM claimed ORDER BY was_due, id"#,
            <&str>::from(queue),
            i64::from(limit),
            micros(lease),
        );
        rows.fetch_all(&self.pool).await.map_err(store_error)?.into_iter().map(JobRow::job).collect()
    }

    #[tracing::instrument(name = "queue.retry", skip_all, fields(job.id = %lease.job))]
    async fn retry(&self, lease: Lease, delay: Duration, reason: &str) -> Result<(), StoreError> {
        let update = sqlx::query!(
            "UPDATE jobs
             SET due_at = now() + $3::bigint * interval '1 microsecond', leased_until = NULL, last_error = $4
             WHERE id = $1 AND lease_token = $2 AND state = 'ready' AND leased_until IS NOT NULL",
            lease.job.uuid(),
            i64::from(lease.token),
            micros(delay),
            &note(reason),
        );
        update.execute(&self.pool).await.map(drop).map_err(store_error)
    }

    #[tracing::instrument(name = "queue.bury", skip_all, fields(job.id = %lease.job))]
    async fn bury(&self, lease: Lease, reason: &str) -> Result<(), StoreError> {
        let update = sqlx::query!(
            "UPDATE jobs SET state = 'dead', leased_until = NULL, finished_at = now(), last_error = $3
             WHERE id = $1 AND lease_token = $2 AND state = 'ready' AND leased_until IS NOT NULL",
            lease.job.uuid(),
            i64::from(lease.token),
            &note(reason),
        );
        update.execute(&self.pool).await.map(drop).map_err(store_error)
    }
}

impl Postgres {
    /// Makes void every lease and lock that is held. Only for whoever is alone with the database, at its start: what is
    /// held then is held by the dead.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; the leases then end by themselves.
    pub async fn release_leases(&self) -> Result<(), StoreError> {
        let jobs = sqlx::query!(
            "UPDATE jobs SET due_at = now(), leased_until = NULL, lease_token = lease_token + 1
             WHERE state = 'ready' AND leased_until IS NOT NULL"
        );
        jobs.execute(&self.pool).await.map_err(store_error)?;
        let keys =
            sqlx::query!("UPDATE idempotency_keys SET locked_until = NULL WHERE locked_until IS NOT NULL");
        keys.execute(&self.pool).await.map(drop).map_err(store_error)
    }
}

impl EventRow {
    fn event(self) -> Result<InboxEvent, StoreError> {
        let mode: Mode = Reading { table: "inbox_events", id: &self.id }.word("mode", &self.mode)?;
        let Self { id, kind, account, api_version, object, created_at, body, ignored, mode: _ } = self;
        Ok(InboxEvent { id, kind, mode, account, api_version, object, created_at, body, ignored })
    }
}

impl JobRow {
    fn job(self) -> Result<Job, StoreError> {
        let (row, id) = (Reading { table: "jobs", id: self.id }, Id::from_uuid(self.id));
        let task = match (self.kind.as_str(), self.payload) {
            ("read_event", Some(event)) => Task::ReadEvent(event),
            ("perform_call", None) => Task::PerformCall(id),
            ("watch_order", Some(order)) => Task::WatchOrder(row.word("payload", &order)?),
            _ => return Err(row.impossible("kind")),
        };
        let lease = Lease { job: id, token: row.number("lease_token", self.lease_token)? };
        Ok(Job { lease, task, attempts: row.number("attempts", self.attempts)? })
    }
}
