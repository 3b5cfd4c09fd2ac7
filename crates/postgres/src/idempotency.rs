//! Requests that carry an idempotency key: one of parallel ones runs, later ones get its answer.

use std::time::Duration;

use paywright_domain::{Id, OperationId, ports::StoreError};
use serde_json::Value;

use crate::{Postgres, bounded::Pool, error::store_error, rows::Reading, text::micros};

/// The idempotency keys of clients.
///
/// One request is one operation, however often it is run: its commits carry the operation as their cause, so that
/// even two runs at once (one outlived its lock) change things once.
#[derive(Debug, Clone)]
pub struct IdempotencyKeys {
    pool: Pool,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Began {
    /// Run it: it is new.
    Fresh(OperationId),
    /// Run it: an earlier run of the same request died, gave up, or is past its lock. Its operation is this one.
    Resumed(OperationId),
    /// Do not run it: this was answered.
    Replay(Answered),
    /// Refuse it: the key belongs to another request.
    Mismatch,
    /// Refuse it for now: it is running.
    InFlight {
        /// When its lock ends at the latest.
        retry_after: Duration,
    },
}

/// An answer to be repeated to the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The headers that belong to the answer: names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl IdempotencyKeys {
    /// The idempotency keys in this database.
    pub fn new(postgres: &Postgres) -> Self {
        Self { pool: postgres.pool.clone() }
    }

    /// Asks whether to run a request. `scope` says whose key it is; `fingerprint` is a digest of everything that
    /// makes the request what it is; `candidate` becomes its operation when it is new. A run holds its lock for
    /// `lock_for`.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; do not run the request then.
    pub async fn begin(
        &self,
        scope: &str,
        key: &str,
        fingerprint: [u8; 32],
        candidate: OperationId,
        lock_for: Duration,
    ) -> Result<Began, StoreError> {
        // Between its two statements the row may be pruned; then it is simply new.
        for _ in 0..3 {
            if let Some(operation) = self.lock(scope, key, fingerprint, candidate, lock_for).await? {
                let fresh = operation == candidate;
                return Ok(if fresh { Began::Fresh(operation) } else { Began::Resumed(operation) });
            }
            if let Some(began) = self.standing(scope, key, fingerprint).await? {
                return Ok(began);
            }
        }
        Err(StoreError::Conflict)
    }

    /// Stores the answer, for ever the same. When another run of the same operation was faster, its answer counts,
    /// and is returned to be given instead.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; the request may be run again.
    pub async fn finish(
        &self,
        scope: &str,
        key: &str,
        operation: OperationId,
        answer: &Answered,
    ) -> Result<Option<Answered>, StoreError> {
        let headers = serde_json::to_value(&answer.headers).map_err(|error| StoreError::Bug(error.into()))?;
        let update = sqlx::query!(
            "UPDATE idempotency_keys SET status = $4, headers = $5, body = $6, locked_until = NULL
             WHERE scope = $1 AND key = $2 AND operation = $3 AND status IS NULL",
            scope,
            key,
            operation.uuid(),
            i64::from(answer.status),
            headers,
            answer.body,
        );
        if update.execute(&self.pool).await.map_err(store_error)?.rows_affected() == 1 {
            return Ok(None);
        }
        self.answered(scope, key, operation).await
    }

    /// Ends a run without an answer worth keeping, such as a 5xx: the next one of the same request resumes the
    /// operation at once.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; the next run then waits for the lock to end.
    pub async fn abandon(&self, scope: &str, key: &str, operation: OperationId) -> Result<(), StoreError> {
        let update = sqlx::query!(
            "UPDATE idempotency_keys SET locked_until = NULL
             WHERE scope = $1 AND key = $2 AND operation = $3 AND status IS NULL",
            scope,
            key,
            operation.uuid(),
        );
        update.execute(&self.pool).await.map(drop).map_err(store_error)
    }

    /// Ends a run that did nothing, such as one that found the request wrong: the key is free for another request.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; the key then stays bound to this request.
    pub async fn forget(&self, scope: &str, key: &str, operation: OperationId) -> Result<(), StoreError> {
        let delete = sqlx::query!(
            "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND operation = $3 AND status IS NULL",
            scope,
            key,
            operation.uuid(),
        );
        delete.execute(&self.pool).await.map(drop).map_err(store_error)
    }

    /// Forgets up to `limit` keys older than `age` that no run holds. Returns how many; call again while it is
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn prune(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query!(
            "DELETE FROM idempotency_keys WHERE (scope, key) IN (
                 SELECT scope, key FROM idempotency_keys
                 WHERE created_at < now() - $1::bigint * interval '1 microsecond'
                   AND (locked_until IS NULL OR locked_until < now())
                 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            micros(long(age)),
            i64::from(limit),
        );
        Ok(delete.execute(&self.pool).await.map_err(store_error)?.rows_affected())
    }

    /// Takes the lock of a request that is new or that nobody runs; its operation, or `None` when that cannot be.
    async fn lock(
        &self,
        scope: &str,
        key: &str,
        fingerprint: [u8; 32],
        candidate: OperationId,
        lock_for: Duration,
    ) -> Result<Option<OperationId>, StoreError> {
        let upsert = sqlx::query_scalar!(
            "INSERT INTO idempotency_keys AS known (scope, key, fingerprint, operation, locked_until)
             VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 microsecond')
             ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE SET locked_until = excluded.locked_until
             WHERE known.status IS NULL AND known.fingerprint = excluded.fingerprint
               AND (known.locked_until IS NULL OR known.locked_until <= now())
             RETURNING operation",
            scope,
            key,
            &fingerprint[..],
            candidate.uuid(),
            micros(long(lock_for)),
        );
        Ok(upsert.fetch_optional(&self.pool).await.map_err(store_error)?.map(Id::from_uuid))
    }

    /// Why a request cannot be run.
    async fn standing(
        &self,
        scope: &str,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Option<Began>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT fingerprint = $3 AS "same!", status, headers, body,
                      greatest(0, extract(epoch FROM locked_until - now()) * 1000)::bigint AS wait_ms
               FROM idempotency_keys WHERE scope = $1 AND key = $2"#,
            scope,
            key,
            &fingerprint[..],
        );
        let Some(row) = row.fetch_optional(&self.pool).await.map_err(store_error)? else { return Ok(None) };
        if !row.same {
            return Ok(Some(Began::Mismatch));
        }
        if let Some(answered) = answered(key, row.status, row.headers, row.body)? {
            return Ok(Some(Began::Replay(answered)));
        }
        let wait_ms = u64::try_from(row.wait_ms.unwrap_or(0)).unwrap_or(0);
        Ok(Some(Began::InFlight { retry_after: Duration::from_millis(wait_ms) }))
    }

    async fn answered(
        &self,
        scope: &str,
        key: &str,
        operation: OperationId,
    ) -> Result<Option<Answered>, StoreError> {
        let row = sqlx::query!(
            "SELECT status, headers, body FROM idempotency_keys WHERE scope = $1 AND key = $2 AND operation = $3",
            scope,
            key,
            operation.uuid(),
        );
        match row.fetch_optional(&self.pool).await.map_err(store_error)? {
            Some(row) => answered(key, row.status, row.headers, row.body),
            None => Ok(None),
        }
    }
}

fn answered(
    key: &str,
    status: Option<i64>,
    headers: Option<Value>,
    body: Option<Vec<u8>>,
) -> Result<Option<Answered>, StoreError> {
    let (Some(status), Some(headers), Some(body)) = (status, headers, body) else { return Ok(None) };
    let row = Reading { table: "idempotency_keys", id: key };
    Ok(Some(Answered { status: row.number("status", status)?, headers: row.json("headers", headers)?, body }))
}

fn long(duration: Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}
