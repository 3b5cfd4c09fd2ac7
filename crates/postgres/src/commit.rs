//! The one transaction: everything that a decision changes, once per cause, or nothing.
//!
//! Locks are taken in one order, so that deadlocks stay rare: cause, job, inbox event, timers, customer, orders,
//! payments, refunds, disputes, calls, ledger, breaks, trail.

use std::time::Duration;

use paywright_domain::{
    Cause, Changes, Customer, Guard, Step,
    ports::{Committed, Store, StoreError},
};
use sqlx::PgConnection;
use tracing::Instrument;

use crate::{Postgres, breaks, effects, error::Failure, ledger, steps, text::note, trail};

/// Whether the cause was free, and its job ours.
enum Taken {
    Now,
    Before,
    LeaseLost,
}

impl Postgres {
    /// Runs in a task of its own: a caller who gives up leaves either the whole commit behind or none of it.
    pub(crate) async fn commit_uncancelled(&self, changes: Changes) -> Result<Committed, StoreError> {
        let store = self.clone();
        let work = async move { store.commit_with_luck(&changes).await };
        let task = tokio::spawn(work.in_current_span());
        task.await.map_err(|died| StoreError::Unavailable(died.into()))?
    }

    /// Bad luck in the order of locks earns the whole transaction one more try.
    async fn commit_with_luck(&self, changes: &Changes) -> Result<Committed, StoreError> {
        let committed = match self.attempt(changes).await {
            Err(failure) if failure.is_bad_luck() => {
                tokio::time::sleep(pause(changes.cause)).await;
                self.attempt(changes).await
            }
            outcome => outcome,
        }?;
        if effects::wants_a_worker(changes) {
            self.bell.ring();
        }
        Ok(committed)
    }

    async fn attempt(&self, changes: &Changes) -> Result<Committed, Failure> {
        let mut transaction = self.pool.begin().await?;
        match take(&mut transaction, changes).await? {
            Taken::Now => {}
            Taken::Before => {
                transaction.rollback().await.ok();
                return Ok(Committed::Before);
            }
            Taken::LeaseLost => {
                transaction.rollback().await.ok();
                return Err(StoreError::LeaseLost.into());
            }
        }
        write(&mut transaction, changes).await?;
        match transaction.commit().await {
            Ok(()) => Ok(Committed::Now),
            Err(error) => self.outcome(changes.cause, error).await,
        }
    }

    /// After an error in answer to COMMIT only the cause row tells how it ended. When it is absent, COMMIT may
    /// still be under way, but then whoever commits the same cause again waits for it and finds it there.
    async fn outcome(&self, cause: Cause, error: sqlx::Error) -> Result<Committed, Failure> {
        tracing::warn!(%error, %cause, "no answer to COMMIT; looking the cause up");
        match (self.knows(cause).await?, error) {
            (true, _) => Ok(Committed::Now),
            (false, refused @ sqlx::Error::Database(_)) => Err(Failure::Sql(refused)),
            (false, lost) => Err(StoreError::Unavailable(lost.into()).into()),
        }
    }
}

/// Lets the rival of a deadlock have the locks that we just gave up: without it we are there first again, and so is
/// the deadlock. Two commits that gave way at once wait differently long.
fn pause(cause: Cause) -> Duration {
    let spread = cause.to_string().bytes().fold(0_u64, |sum, byte| sum + u64::from(byte)) % 30;
    Duration::from_millis(20 + spread)
}

/// Everything but the cause.
async fn write(connection: &mut PgConnection, changes: &Changes) -> Result<(), Failure> {
    // Before the orders: a timer that rings holds its job, and wants its order next.
    effects::watch(connection, changes).await?;
    if let Some(customer) = &changes.customer {
        welcome(connection, customer).await?;
    }
    // Orders before payments, for the order of locks; the steps of one kind in the order of the decision, since
    // only one payment of an order may be live at a time.
    for step in &changes.steps {
        if let Step::Order(step) = step {
            steps::order(connection, step).await?;
        }
    }
    for guard in &changes.guards {
        if let Guard::Order(id, version) = *guard {
            steps::order_stays(connection, id, version).await?;
        }
    }
    for step in &changes.steps {
        if let Step::Payment(step) = step {
            steps::payment(connection, step).await?;
        }
    }
    for guard in &changes.guards {
        if let Guard::Payment(id, version) = *guard {
            steps::payment_stays(connection, id, version).await?;
        }
    }
    for step in &changes.steps {
        if let Step::Refund(step) = step {
            steps::refund(connection, step).await?;
        }
    }
    for step in &changes.steps {
        if let Step::Dispute(step) = step {
            steps::dispute(connection, step).await?;
        }
    }
    effects::answer(connection, &changes.answers).await?;
    effects::record(connection, changes).await?;
    ledger::book(connection, &changes.journals).await?;
    let mut entries = changes.entries();
    entries.extend(trail::declines(connection, &changes.declines).await?);
    entries.extend(breaks::found(connection, changes).await?);
    entries.extend(breaks::explained(connection, changes).await?);
    trail::write(connection, changes, &entries).await
}

/// Takes the cause, and completes its job if it is one, in one statement. A concurrent taker of the same cause is
/// waited for.
async fn take(connection: &mut PgConnection, changes: &Changes) -> Result<Taken, Failure> {
    let cause = changes.cause.to_string();
    let Cause::Job(lease) = changes.cause else {
        let fresh = sqlx::query!(
            "INSERT INTO commits (cause, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            cause,
            changes.at
        );
        let fresh = fresh.execute(connection).await?.rows_affected() == 1;
        return Ok(if fresh { Taken::Now } else { Taken::Before });
    };
    let taken = sqlx::query!(
        r#"WITH fresh AS (
               INSERT INTO commits (cause, at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1
           ), job AS (
               UPDATE jobs SET state = 'done', leased_until = NULL, finished_at = now(), conclusion = $5
               WHERE id = $3 AND lease_token = $4 AND state = 'ready' AND leased_until IS NOT NULL
                 AND EXISTS (SELECT FROM fresh)
               RETURNING kind, payload
           ), event AS (
               UPDATE inbox_events SET outcome = $5, processed_at = now()
               FROM job WHERE job.kind = 'read_event' AND inbox_events.id = job.payload
           )
           SELECT EXISTS (SELECT FROM fresh) AS "fresh!", EXISTS (SELECT FROM job) AS "ours!""#,
        cause,
        changes.at,
        lease.job.uuid(),
        i64::from(lease.token),
        changes.conclusion.as_deref().map(|text| note(text).into_owned()),
    );
    let taken = taken.fetch_one(connection).await?;
    Ok(match (taken.fresh, taken.ours) {
        (false, _) => Taken::Before,
        (true, false) => Taken::LeaseLost,
        (true, true) => Taken::Now,
    })
}

async fn welcome(connection: &mut PgConnection, customer: &Customer) -> Result<(), Failure> {
    let insert = sqlx::query!(
        "INSERT INTO customers (id, mode, email, created_at) VALUES ($1, $2, $3, $4)",
        customer.id.uuid(),
        <&str>::from(customer.mode),
        customer.email,
        customer.created_at,
    );
    insert.execute(connection).await?;
    Ok(())
}
