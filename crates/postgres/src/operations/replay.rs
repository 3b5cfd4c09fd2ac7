use std::collections::HashMap;

use paywright_domain::{
    Id, JobId, Lease, Mode,
    ports::{Job, Page, StoreError, Task},
};
use time::{Duration, OffsetDateTime};

use super::{EventFilter, EventState, EventView, JobState, Operations, replay_job, replay_key};
use crate::{error::store_error, rows::Reading, text::micros};

/// What came of the wish to read an event once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The right to read it now, by a job that waited or was given up, or by a new one.
    Held(Job),
    /// This very wish was fulfilled before, by this job.
    Before(JobId),
    /// There is no such event.
    Unknown,
    /// It was not for us, for this reason.
    Ignored(String),
    /// Somebody reads it, or another event about the same payment, at this moment; until then at the latest, as far as
    /// that is known.
    Busy(Option<OffsetDateTime>),
}

/// Events that the worker will read once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requeued {
    /// Each with the job that does it, the newest first.
    pub events: Vec<(String, JobId)>,
    /// Where the next part begins, if there is more.
    pub after: Option<String>,
}

impl Operations {
    /// Takes the right to read an event once more, for `lease`. What was processed is read by a new job, `fresh`, since
    /// a job's effects are committed once; whatever follows that is so already then changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; do it again then.
    pub async fn take_event(
        &self,
        mode: Mode,
        id: &str,
        fresh: JobId,
        lease: Duration,
    ) -> Result<Taken, StoreError> {
        let Some(event) = self.event(mode, id).await? else { return Ok(Taken::Unknown) };
        if event.state == EventState::Ignored {
            return Ok(Taken::Ignored(event.conclusion.unwrap_or_default()));
        }
        match self.take_open(&event, lease).await {
            Ok(Some(job)) => return Ok(Taken::Held(job)),
            Ok(None) => {}
            Err(StoreError::Conflict) => return Ok(Taken::Busy(None)),
            Err(error) => return Err(error),
        }
        let jobs = self.jobs_of(&event).await?;
        if let Some(running) = jobs.iter().find(|job| job.state == JobState::Running) {
            return Ok(Taken::Busy(Some(running.due_at)));
        }
        if jobs.iter().any(|job| job.id == fresh && job.state == JobState::Done) {
            return Ok(Taken::Before(fresh));
        }
        Ok(self.take_fresh(&event, fresh, lease).await?.map_or(Taken::Busy(None), Taken::Held))
    }

    /// By the job that waits, or by one that was given up; its attempts count anew.
    async fn take_open(&self, event: &EventView, lease: Duration) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query!(
            "UPDATE jobs
             SET state = 'ready', finished_at = NULL, lease_token = lease_token + 1, attempts = 1,
                 due_at = now() + $3::bigint * interval '1 microsecond',
                 leased_until = now() + $3::bigint * interval '1 microsecond'
             WHERE id = (
                 SELECT id FROM jobs
                 WHERE (id = $1 OR (kind = 'read_event' AND unique_key IS NOT NULL AND payload = $2))
                   AND (state = 'dead' OR state = 'ready' AND (leased_until IS NULL OR leased_until <= now()))
                 ORDER BY state = 'ready' DESC, id
                 LIMIT 1
                 FOR UPDATE
             )
             RETURNING id, lease_token",
            event.first_job.uuid(),
            event.id,
            micros(lease),
        );
        let Some(row) = row.fetch_optional(&self.store.pool).await.map_err(store_error)? else {
            return Ok(None);
        };
        let reading = Reading { table: "jobs", id: row.id };
        Ok(Some(Job {
            lease: Lease {
                job: Id::from_uuid(row.id),
                token: reading.number("lease_token", row.lease_token)?,
            },
            task: Task::ReadEvent(event.id.clone()),
            attempts: 1,
        }))
    }

    /// By a new job, held from its birth. `None`: somebody was faster.
    async fn take_fresh(
        &self,
        event: &EventView,
        fresh: JobId,
        lease: Duration,
    ) -> Result<Option<Job>, StoreError> {
        let insert = sqlx::query!(
            "INSERT INTO jobs (id, queue, kind, payload, about, unique_key, attempts, lease_token, due_at, leased_until)
             VALUES ($1, 'webhooks', 'read_event', $2, $3, $4, 1, $5, now() + $6::bigint * interval '1 microsecond',
                     now() + $6::bigint * interval '1 microsecond')
             ON CONFLICT DO NOTHING",
            fresh.uuid(),
            event.id,
            event.about,
            replay_key(&event.id),
            i64::from(Lease::FROM_BIRTH),
            micros(lease),
        );
        let inserted = insert.execute(&self.store.pool).await.map_err(store_error)?.rows_affected() == 1;
        Ok(inserted.then(|| Job {
            lease: Lease { job: fresh, token: Lease::FROM_BIRTH },
            task: Task::ReadEvent(event.id.clone()),
            attempts: 1,
        }))
    }

    /// Lets the worker read a page of events once more, behind everything that is new. Those that somebody reads at
    /// this moment are left out. The same `operation` again starts nothing that it started before and that is done.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; do it again then.
    pub async fn requeue_events(
        &self,
        mode: Mode,
        filter: &EventFilter,
        page: &Page<String>,
        operation: &str,
    ) -> Result<Requeued, StoreError> {
        let found = self.events(mode, filter, page).await?;
        let after = found.rows.last().filter(|_| found.has_more).map(|event| event.id.clone());
        let readable = || found.rows.iter().filter(|event| event.state != EventState::Ignored);
        let (read, unread): (Vec<_>, Vec<_>) =
            readable().partition(|event| event.state == EventState::Processed);
        let open: Vec<_> = unread.iter().map(|event| event.first_job.uuid()).collect();
        let new: Vec<_> = read.iter().map(|event| replay_job(event, operation).uuid()).collect();
        let ids: Vec<_> = read.iter().map(|event| event.id.clone()).collect();
        let about: Vec<_> = read.iter().map(|event| event.about.clone()).collect();
        let keys: Vec<_> = read.iter().map(|event| replay_key(&event.id)).collect();
        let rows = sqlx::query!(
            r#"WITH again AS (
                   UPDATE jobs
                   SET state = 'ready', priority = 'backlog', due_at = now(), leased_until = NULL, finished_at = NULL,
                       attempts = 0
                   WHERE id = ANY ($1)
                     AND (state = 'dead' OR state = 'ready' AND (leased_until IS NULL OR leased_until <= now()))
                   RETURNING id, payload
               ), fresh AS (
                   INSERT INTO jobs (id, queue, kind, payload, about, priority, unique_key, due_at)
                   SELECT new.id, 'webhooks', 'read_event', new.event, new.about, 'backlog', new.key, now()
                   FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) AS new (id, event, about, key)
                   ON CONFLICT DO NOTHING
                   RETURNING id, payload
               )
               SELECT id AS "id!", payload AS "event!" FROM again
               UNION ALL SELECT id, payload FROM fresh"#,
            &open,
            &new,
            &ids,
            about as _,
            &keys,
        );
        let rows = rows.fetch_all(&self.store.pool).await.map_err(store_error)?;
        if !rows.is_empty() {
            self.store.bell.ring();
        }
        let mut started: HashMap<_, _> = rows.into_iter().map(|row| (row.event, row.id)).collect();
        let in_order = found.rows.into_iter().filter_map(|event| started.remove_entry(&event.id));
        let events = in_order.map(|(event, job)| (event, Id::from_uuid(job))).collect();
        Ok(Requeued { events, after })
    }
}
