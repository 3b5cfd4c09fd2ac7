//! The inbox and the jobs. Times are the database's own.

use async_trait::async_trait;
use paywright_domain::{
    Id, Lease, Mode,
    ports::{BACKLOG_SHARE, InboxEvent, Job, Queue, QueueName, Received, StoreError, Task},
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    Postgres,
    error::store_error,
    keyed::Lent,
    rows::Reading,
    text::{clean, micros, note},
};

/// Events by their ids.
pub(crate) async fn events(mut lent: Lent, ids: Vec<String>) -> (Lent, sqlx::Result<Vec<EventRow>>) {
    let events = sqlx::query_as!(
        EventRow,
        "SELECT id, kind, mode, account, api_version, object, about, created_at, body, ignored
         FROM inbox_events WHERE id = ANY($1)",
        &ids
    );
    let rows = events.fetch_all(&mut *lent.connection).await;
    (lent, rows)
}

/// How often a claim is tried that meets others.
const CLAIMS_MAX: u32 = 4;

#[derive(Clone)]
pub(crate) struct EventRow {
    pub(crate) id: String,
    kind: String,
    mode: String,
    account: Option<String>,
    api_version: Option<String>,
    object: Option<String>,
    about: Option<String>,
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
        self.intake.ask(event).await
    }

    async fn event(&self, id: &str) -> Result<Option<InboxEvent>, StoreError> {
        self.loads.event.ask(clean(id).into_owned()).await?.map(EventRow::event).transpose()
    }

    #[tracing::instrument(name = "queue.claim", skip_all, fields(queue = %queue))]
    async fn claim(&self, queue: QueueName, limit: u32, lease: Duration) -> Result<Vec<Job>, StoreError> {
        let mut rows = self.lease_due(queue, limit, lease).await;
        // Somebody leased another job about one of these payments in the same moment, and has committed since: now we
        // see theirs and pass it over.
        for _ in 1..CLAIMS_MAX {
            match rows {
                Err(StoreError::Conflict) => rows = self.lease_due(queue, limit, lease).await,
                Ok(_) | Err(_) => break,
            }
        }
        let mut jobs = Vec::new();
        for row in rows? {
            let lease = row.lease()?;
            match row.task() {
                Ok(task) => jobs.push(Job { lease, task, attempts: row.attempts()? }),
                // One row that nobody can read must not hold up those that were claimed with it.
                Err(error) => {
                    tracing::error!(%error, job.id = %lease.job, "job is dead");
                    self.bury(lease, &error.to_string()).await?;
                }
            }
        }
        Ok(jobs)
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
    /// Leases what may be claimed.
    ///
    /// `reserved` is the share of the backlog, by chance where it is less than one place; `fresh` has what is left, and
    /// what that does not need goes to the backlog again. A job whose payment is busy is passed over by one look into
    /// `jobs_one_leased_per_about`; of two about the same payment `picked` keeps the older. `MATERIALIZED`: rows are picked
    /// once, whatever plan joins them, so that never more than `limit` are taken. The inner `LIMIT`s, as numbers that the
    /// planner sees, and `coalesce`, of which it expects that every other row passes, keep its estimate small: beside a
    /// million due jobs it would compile the statement for most of a second each time.
    ///
    /// It waits for nobody but those who lease, or complete, another job about one of these payments in the same moment,
    /// and for them not long: a claim may hold on to rows that it found leased, which a commit of several jobs waits for.
    async fn lease_due(
        &self,
        queue: QueueName,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<JobRow>, StoreError> {
        let rows = sqlx::query_as!(
            JobRow,
            r#"WITH reserved AS MATERIALIZED (
                   SELECT id, about, due_at FROM (
                       SELECT id, about, due_at FROM jobs
                       WHERE queue = $1 AND priority = 'backlog' AND state = 'ready' AND due_at <= now()
                         AND coalesce((SELECT false FROM jobs AS busy
                              WHERE busy.about = jobs.about AND busy.state = 'ready' AND busy.leased_until IS NOT NULL
                                AND busy.id <> jobs.id), true)
                       ORDER BY due_at, id LIMIT 1000 FOR UPDATE SKIP LOCKED) AS due
                   LIMIT CASE WHEN set_config('lock_timeout', '20ms', true) IS NOT NULL
                              THEN floor($2::bigint / $4::double precision + random())::bigint END
               ), fresh AS MATERIALIZED (
                   SELECT id, about, due_at FROM (
                       SELECT id, about, due_at FROM jobs
                       WHERE queue = $1 AND priority = 'fresh' AND state = 'ready' AND due_at <= now()
                         AND coalesce((SELECT false FROM jobs AS busy
                              WHERE busy.about = jobs.about AND busy.state = 'ready' AND busy.leased_until IS NOT NULL
                                AND busy.id <> jobs.id), true)
                       ORDER BY due_at, id LIMIT 1000 FOR UPDATE SKIP LOCKED) AS due
                   LIMIT $2 - (SELECT count(*) FROM reserved)
               ), rest AS MATERIALIZED (
                   SELECT id, about, due_at FROM (
                       SELECT id, about, due_at FROM jobs
                       WHERE queue = $1 AND priority = 'backlog' AND state = 'ready' AND due_at <= now()
                         AND coalesce((SELECT false FROM jobs AS busy
                              WHERE busy.about = jobs.about AND busy.state = 'ready' AND busy.leased_until IS NOT NULL
                                AND busy.id <> jobs.id), true)
                         AND id NOT IN (SELECT id FROM reserved)
                       ORDER BY due_at, id LIMIT 1000 FOR UPDATE SKIP LOCKED) AS due
                   LIMIT $2 - (SELECT count(*) FROM reserved) - (SELECT count(*) FROM fresh)
               ), picked AS MATERIALIZED (
                   SELECT DISTINCT ON (coalesce(about, id::text)) id, due_at
                   FROM (SELECT * FROM reserved UNION ALL SELECT * FROM fresh UNION ALL SELECT * FROM rest) AS due
                   ORDER BY coalesce(about, id::text), due_at, id
               ), claimed AS (
                   UPDATE jobs
                   SET lease_token = lease_token + 1, attempts = attempts + 1,
                       due_at = now() + $3::bigint * interval '1 microsecond',
                       leased_until = now() + $3::bigint * interval '1 microsecond'
                   FROM picked WHERE jobs.id = picked.id
                   RETURNING jobs.id, kind, payload, attempts, lease_token, priority, picked.due_at AS was_due
               )
               SELECT id AS "id!", kind AS "kind!", payload, attempts AS "attempts!", lease_token AS "lease_token!"
               FROM claimed ORDER BY priority = 'backlog', was_due, id"#,
            <&str>::from(queue),
            i64::from(limit),
            micros(lease),
            f64::from(BACKLOG_SHARE),
        );
        rows.fetch_all(&self.pool).await.map_err(store_error)
    }

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
        let Self { id, kind, account, api_version, object, about, created_at, body, ignored, mode: _ } = self;
        Ok(InboxEvent { id, kind, mode, account, api_version, object, about, created_at, body, ignored })
    }
}

impl JobRow {
    fn reading(&self) -> Reading<Uuid> {
        Reading { table: "jobs", id: self.id }
    }

    fn lease(&self) -> Result<Lease, StoreError> {
        let token = self.reading().number("lease_token", self.lease_token)?;
        Ok(Lease { job: Id::from_uuid(self.id), token })
    }

    fn attempts(&self) -> Result<u32, StoreError> {
        self.reading().number("attempts", self.attempts)
    }

    fn task(&self) -> Result<Task, StoreError> {
        match (self.kind.as_str(), &self.payload) {
            ("read_event", Some(event)) => Ok(Task::ReadEvent(event.clone())),
            ("perform_call", None) => Ok(Task::PerformCall(Id::from_uuid(self.id))),
            ("watch_order", Some(order)) => Ok(Task::WatchOrder(self.reading().word("payload", order)?)),
            _ => Err(self.reading().impossible("kind")),
        }
    }
}
