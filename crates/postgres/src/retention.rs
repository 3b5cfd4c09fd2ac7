//! Forgetting what is over, a few rows a statement, each found by an index: no long lock, and nothing to undo.

use paywright_domain::{JobId, ports::StoreError};
use time::Duration;
use uuid::Uuid;

use crate::{Postgres, error::store_error, text::micros};

impl Postgres {
    /// Forgets up to `limit` jobs that were completed longer ago than `age`, the oldest first; how many it were. Dead jobs
    /// stay until a person says what becomes of them. A completed job is not needed to know its event or its call again:
    /// those have rows of their own.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn forget_jobs(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query!(
            "DELETE FROM jobs WHERE id IN (
                 SELECT id FROM jobs
                 WHERE state = 'done' AND finished_at < now() - $1::bigint * interval '1 microsecond'
                 ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            micros(age),
            i64::from(limit),
        );
        Ok(delete.execute(&self.pool).await.map_err(store_error)?.rows_affected())
    }

    /// Forgets up to `limit` events that were received longer ago than `age` and have been processed, or needed no
    /// processing, the oldest first; how many it were. One that waits, or was given up, stays however old it is. `age` must
    /// be at least the 30 days for which Stripe lists an event: one that came again would be a new one.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn forget_events(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query!(
            "DELETE FROM inbox_events WHERE id IN (
                 SELECT id FROM inbox_events
                 WHERE received_at < now() - $1::bigint * interval '1 microsecond'
                   AND (processed_at IS NOT NULL OR ignored IS NOT NULL)
                 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            micros(age),
            i64::from(limit),
        );
        Ok(delete.execute(&self.pool).await.map_err(store_error)?.rows_affected())
    }

    /// Forgets up to `limit` causes that were committed longer ago than `age`, the oldest first; how many it were, and
    /// none of which the job is still there.
    ///
    /// A cause is kept so that it is not taken twice, so it may go when it cannot come again. A job's cannot once the job is
    /// gone: a commit that names it finds no lease to complete, and is refused. A request's cannot once the answer to its
    /// idempotency key is forgotten, from where a repetition would have it; `age` must be more than those answers are kept
    /// for. What became of the cause stays in the audit trail, which names it for ever.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn forget_causes(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let old = sqlx::query_scalar!(
            "SELECT cause FROM commits WHERE at < now() - $1::bigint * interval '1 microsecond' ORDER BY at LIMIT $2",
            micros(age),
            i64::from(limit),
        );
        let causes = old.fetch_all(&self.pool).await.map_err(store_error)?;
        let jobs: Vec<Option<Uuid>> =
            causes.iter().map(|cause| cause.parse().ok().map(|job: JobId| job.uuid())).collect();
        let delete = sqlx::query!(
            "DELETE FROM commits
             USING unnest($1::text[], $2::uuid[]) AS old (cause, job)
             WHERE commits.cause = old.cause AND NOT EXISTS (SELECT FROM jobs WHERE jobs.id = old.job)",
            &causes,
            jobs as _,
        );
        Ok(delete.execute(&self.pool).await.map_err(store_error)?.rows_affected())
    }
}
