use paywright_domain::{
    JobId,
    ports::{Listed, Page, StoreError},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{JobFilter, JobState, JobView, Operations, rows::JobRow};
use crate::{
    catalogue::{listed, one_more},
    error::store_error,
};

/// What came of the wish to try a job again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// It is due now; its attempts count anew.
    Ready(Box<JobView>),
    /// There is no such job.
    Unknown,
    /// Somebody is at it, until then at the latest.
    Running(OffsetDateTime),
    /// It is done.
    Done,
    /// Another job does the same already: a later timer of the same order, a later replay of the same event.
    Replaced,
}

/// Jobs, with the call that each performs.
macro_rules! jobs {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            JobRow,
            "SELECT j.id AS \"id!\", j.queue AS \"queue!\", j.kind AS \"kind!\", j.payload, j.state AS \"state!\",
                    coalesce(j.leased_until > now(), false) AS \"running!\", j.attempts AS \"attempts!\",
                    j.created_at AS \"created_at!\", j.due_at AS \"due_at!\", j.finished_at, j.last_error, j.conclusion,
                    c.operation AS \"operation?\", c.order_id AS \"order_id?\", c.payment_id AS \"payment_id?\",
                    c.idempotency_key AS \"idempotency_key?\"
             FROM jobs AS j LEFT JOIN gateway_calls AS c ON c.id = j.id
             WHERE "
                + $rest,
            $($argument),*
        )
    };
}
pub(super) use jobs;

impl Operations {
    /// Jobs, newest first.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn jobs(&self, filter: JobFilter, page: Page<JobId>) -> Result<Listed<JobView>, StoreError> {
        let rows = jobs!(
            "($1::text IS NULL OR j.queue = $1) AND ($2::text IS NULL OR j.kind = $2)
             AND ($3::text IS NULL
                  OR $3 = 'done' AND j.state = 'done'
                  OR $3 = 'dead' AND j.state = 'dead'
                  OR $3 = 'running' AND j.state = 'ready' AND j.leased_until > now()
                  OR $3 = 'ready' AND j.state = 'ready' AND (j.leased_until IS NULL OR j.leased_until <= now()))
             AND ($4::uuid IS NULL OR j.id < $4)
             ORDER BY j.id DESC LIMIT $5",
            filter.queue.map(<&str>::from),
            filter.kind.map(<&str>::from),
            filter.state.map(<&str>::from),
            page.after.map(|id| id.uuid()),
            one_more(page.limit)
        );
        let rows = rows.fetch_all(&self.store.pool).await.map_err(store_error)?;
        listed(rows, page.limit, JobRow::view)
    }

    /// How many jobs a filter finds.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn count_jobs(&self, filter: JobFilter) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM jobs
               WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR kind = $2)
                 AND ($3::text IS NULL
                      OR $3 = 'done' AND state = 'done'
                      OR $3 = 'dead' AND state = 'dead'
                      OR $3 = 'running' AND state = 'ready' AND leased_until > now()
                      OR $3 = 'ready' AND state = 'ready' AND (leased_until IS NULL OR leased_until <= now()))"#,
            filter.queue.map(<&str>::from),
            filter.kind.map(<&str>::from),
            filter.state.map(<&str>::from),
        );
        Ok(count.fetch_one(&self.store.pool).await.map_err(store_error)?.unsigned_abs())
    }

    /// A job.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn job(&self, id: JobId) -> Result<Option<JobView>, StoreError> {
        let row = jobs!("j.id = $1", id.uuid()).fetch_optional(&self.store.pool).await;
        row.map_err(store_error)?.map(JobRow::view).transpose()
    }

    /// Those of these jobs of which nothing came yet since they were started again: not done, nor tried in vain.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn still_open(&self, jobs: &[JobId]) -> Result<u64, StoreError> {
        let open = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM jobs
               WHERE id = ANY ($1) AND state = 'ready' AND (attempts = 0 OR leased_until IS NOT NULL)"#,
            &uuids(jobs)
        );
        Ok(open.fetch_one(&self.store.pool).await.map_err(store_error)?.unsigned_abs())
    }

    /// These jobs, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn jobs_by_id(&self, jobs: &[JobId]) -> Result<Vec<JobView>, StoreError> {
        let rows = jobs!("j.id = ANY ($1) ORDER BY j.id", &uuids(jobs)).fetch_all(&self.store.pool).await;
        rows.map_err(store_error)?.into_iter().map(JobRow::view).collect()
    }

    /// Makes a job that waits or was given up due now. It stays the same job, so that a call goes out under the same
    /// idempotency key, and what it commits is committed once.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; do it again then.
    pub async fn retry_job(&self, id: JobId) -> Result<Retried, StoreError> {
        let retried = match self.retry(&[id]).await {
            // Its place was taken at this moment.
            Err(StoreError::Conflict) => Vec::new(),
            outcome => outcome?,
        };
        let Some(job) = self.job(id).await? else { return Ok(Retried::Unknown) };
        Ok(match job.state {
            _ if !retried.is_empty() => Retried::Ready(Box::new(job)),
            JobState::Running => Retried::Running(job.due_at),
            JobState::Done => Retried::Done,
            JobState::Ready | JobState::Dead => Retried::Replaced,
        })
    }

    /// Makes up to `page.limit` jobs that wait or were given up due now, from the newest on; the page after it begins
    /// behind the last of them.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; those that were not made due are still as they were.
    pub async fn retry_jobs(
        &self,
        filter: JobFilter,
        page: Page<JobId>,
    ) -> Result<(Vec<JobId>, Option<JobId>), StoreError> {
        let found = self.jobs(filter, page).await?;
        let last = found.rows.last().filter(|_| found.has_more).map(|job| job.id);
        let ids: Vec<_> = found.rows.iter().map(|job| job.id).collect();
        Ok((self.retry(&ids).await?, last))
    }

    async fn retry(&self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        // Of several that do the same the newest, and none where one is waiting already.
        let retried = sqlx::query_scalar!(
            "WITH chosen AS (
                 SELECT DISTINCT ON (coalesce(unique_key, id::text)) id FROM jobs
                 WHERE id = ANY ($1)
                   AND (state = 'dead' AND NOT EXISTS (
                            SELECT FROM jobs AS other
                            WHERE other.unique_key = jobs.unique_key AND other.state = 'ready')
                        OR state = 'ready' AND (leased_until IS NULL OR leased_until <= now()))
                 ORDER BY coalesce(unique_key, id::text), id DESC
             )
             UPDATE jobs
             SET state = 'ready', due_at = now(), leased_until = NULL, finished_at = NULL, attempts = 0
             FROM chosen
             WHERE jobs.id = chosen.id
               AND (state = 'dead' OR state = 'ready' AND (leased_until IS NULL OR leased_until <= now()))
             RETURNING jobs.id",
            &uuids(jobs)
        );
        let retried: Vec<Uuid> = retried.fetch_all(&self.store.pool).await.map_err(store_error)?;
        if !retried.is_empty() {
            self.store.bell.ring();
        }
        Ok(retried.into_iter().map(JobId::from_uuid).collect())
    }
}

fn uuids(jobs: &[JobId]) -> Vec<Uuid> {
    jobs.iter().map(|id| id.uuid()).collect()
}
