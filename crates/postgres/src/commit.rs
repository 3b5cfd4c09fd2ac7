//! The one transaction: everything that a decision changes, once per cause, or nothing.
//!
//! Decisions that come at the same time are committed together, in one transaction with a statement for each table,
//! whatever their number. If anything is wrong with one of them, none is kept, and each gets a transaction of its own,
//! in which it is told what was wrong with it.
//!
//! Locks are taken in one order, so that deadlocks stay rare: cause, job, inbox event, timers, customer, orders,
//! payments, refunds, disputes, calls, ledger, breaks, trail.

use std::{collections::HashSet, time::Duration};

use paywright_domain::{
    Break, Cause, Changes, Customer, Effect, Guard, Lease, Step,
    ports::{Committed, StoreError},
};
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::{
    breaks, effects,
    error::Failure,
    hint::Bell,
    keyed::{Keyed, Lent},
    lane::Ticket,
    ledger, steps,
    text::note,
    trail,
};

/// A decision on its way.
type Decision = Ticket<Changes, Committed>;

/// Whether the cause was free, and its job ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Now,
    Before,
    LeaseLost,
}

impl Taken {
    fn committed(&self) -> Committed {
        match self {
            Self::Now => Committed::Now,
            Self::Before | Self::LeaseLost => Committed::Before,
        }
    }
}

/// Commits decisions.
#[derive(Clone)]
pub(crate) struct Committer {
    pub(crate) keyed: Keyed,
    pub(crate) bell: Bell,
}

impl Committer {
    /// Commits all that have nothing to do with each other together, the others alone.
    pub(crate) async fn ride(self, decisions: Vec<Decision>) {
        let (together, apart) = sort(decisions);
        self.each_alone(apart, false);
        let changes: Vec<_> = together.iter().map(|decision| &decision.question).collect();
        match self.attempt(&changes).await {
            Ok(outcomes) => {
                for (decision, outcome) in together.into_iter().zip(outcomes) {
                    self.told(decision, Ok(outcome));
                }
            }
            Err(failure) if failure.is_bad_luck() => self.each_alone(together, true),
            Err(failure) => self.failed(together, failure.into()),
        }
    }

    /// What is wrong may be wrong with one of them only; not so where the database is away.
    fn failed(&self, mut decisions: Vec<Decision>, failure: StoreError) {
        match (decisions.pop(), failure) {
            (Some(decision), failure) if decisions.is_empty() => decision.answer(Err(failure)),
            (decision, StoreError::Unavailable(source)) => {
                let said = source.to_string();
                for decision in decisions.into_iter().chain(decision) {
                    decision.answer(Err(StoreError::Unavailable(said.clone().into())));
                }
            }
            (decision, _) => self.each_alone(decisions.into_iter().chain(decision), false),
        }
    }

    fn each_alone(&self, decisions: impl IntoIterator<Item = Decision>, unlucky: bool) {
        for decision in decisions {
            let committer = self.clone();
            tokio::spawn(async move {
                if unlucky {
                    tokio::time::sleep(pause(decision.question.cause)).await;
                }
                let outcome = committer.alone(&decision.question).await;
                committer.told(decision, outcome);
            });
        }
    }

    fn told(&self, decision: Decision, outcome: Result<Committed, StoreError>) {
        if outcome.is_ok() && effects::wants_a_worker(&decision.question) {
            self.bell.ring();
        }
        decision.answer(outcome);
    }

    /// Bad luck in the order of locks earns the whole transaction one more try.
    async fn alone(&self, changes: &Changes) -> Result<Committed, StoreError> {
        let outcomes = match self.attempt(&[changes]).await {
            Err(failure) if failure.is_bad_luck() => {
                tokio::time::sleep(pause(changes.cause)).await;
                self.attempt(&[changes]).await
            }
            outcomes => outcomes,
        }?;
        outcomes.into_iter().next().ok_or_else(|| crate::error::bug("a commit without an outcome"))
    }

    async fn attempt(&self, group: &[&Changes]) -> Result<Vec<Committed>, Failure> {
        let mut lent = self.keyed.begin().await?;
        match self.keyed.answered(self.decide(&mut lent.connection, group)).await {
            Ok(Some(taken)) => match self.keyed.answered(lent.connection.execute("COMMIT")).await {
                Ok(_) => {
                    self.keyed.keep(lent);
                    Ok(taken.iter().map(Taken::committed).collect())
                }
                Err(error) => {
                    drop(lent);
                    self.outcomes(group, &taken, error).await
                }
            },
            Err(lost) if lost.is_end() => Err(lost),
            refused => {
                // Where even this fails, the connection is of no use any more.
                if self.keyed.answered(lent.connection.execute("ROLLBACK")).await.is_ok() {
                    self.keyed.keep(lent);
                }
                refused.map(|_| vec![Committed::Before; group.len()])
            }
        }
    }

    /// Everything but COMMIT. `None`: all of it was committed before.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        group: &[&Changes],
    ) -> Result<Option<Vec<Taken>>, Failure> {
        let taken = take(connection, group).await?;
        // Its cause must not be kept.
        if taken.contains(&Taken::LeaseLost) {
            return Err(StoreError::LeaseLost.into());
        }
        let fresh: Vec<_> = group
            .iter()
            .zip(&taken)
            .filter_map(|(changes, taken)| (*taken == Taken::Now).then_some(*changes))
            .collect();
        if fresh.is_empty() {
            return Ok(None);
        }
        write(connection, &fresh).await?;
        Ok(Some(taken))
    }

    /// After an error in answer to COMMIT only the cause rows tell how it ended. When they are absent, COMMIT may still
    /// be under way, but then whoever commits the same cause again waits for it and finds it there.
    async fn outcomes(
        &self,
        group: &[&Changes],
        taken: &[Taken],
        error: sqlx::Error,
    ) -> Result<Vec<Committed>, Failure> {
        let causes: Vec<_> = group.iter().map(|changes| changes.cause.to_string()).collect();
        tracing::warn!(%error, ?causes, "no answer to COMMIT; looking the causes up");
        let known = self.keyed.read(causes, known).await?;
        match (known.len() == group.len(), error) {
            (true, _) => Ok(taken.iter().map(Taken::committed).collect()),
            (false, refused @ sqlx::Error::Database(_)) => Err(Failure::Sql(refused)),
            (false, lost) => Err(StoreError::Unavailable(lost.into()).into()),
        }
    }
}

/// Those of the causes that were committed.
async fn known(mut lent: Lent, causes: Vec<String>) -> (Lent, sqlx::Result<Vec<String>>) {
    let known = sqlx::query_scalar!("SELECT cause FROM commits WHERE cause = ANY($1)", &causes);
    let rows = known.fetch_all(&mut *lent.connection).await;
    (lent, rows)
}

/// Lets the rival of a deadlock have the locks that we just gave up: without it we are there first again, and so is
/// the deadlock. Two commits that gave way at once wait differently long.
fn pause(cause: Cause) -> Duration {
    let spread = cause.to_string().bytes().fold(0_u64, |sum, byte| sum + u64::from(byte)) % 30;
    Duration::from_millis(20 + spread)
}

/// Parts the decisions into those that have nothing to do with each other, and the rest.
fn sort(decisions: Vec<Decision>) -> (Vec<Decision>, Vec<Decision>) {
    let mut touched = HashSet::new();
    decisions.into_iter().partition(|decision| {
        let touches = touches(&decision.question);
        let free = touches.iter().all(|one| !touched.contains(one));
        if free {
            touched.extend(touches);
        }
        free
    })
}

/// What a decision takes, writes or holds on to, by name.
fn touches(changes: &Changes) -> Vec<Touched> {
    let steps = changes.steps.iter().flat_map(|step| match step {
        Step::Order(step) => [step.after().id.uuid(), step.after().id.uuid()],
        Step::Payment(step) => [step.after().id.uuid(), step.after().order.uuid()],
        Step::Refund(step) => [step.after().id.uuid(), step.after().payment.uuid()],
        Step::Dispute(step) => [step.after().id.uuid(), step.after().payment.uuid()],
    });
    let guards = changes.guards.iter().map(|guard| match guard {
        Guard::Order(id, _) => id.uuid(),
        Guard::Payment(id, _) => id.uuid(),
    });
    let effects = changes.effects.iter().map(|effect| match effect {
        Effect::Call { call, .. } => call.id.uuid(),
        Effect::WatchOrder { order, .. } => order.uuid(),
    });
    let answers = changes.answers.iter().map(|(call, _)| call.id.uuid());
    let names = changes
        .breaks
        .iter()
        .map(Break::key)
        .chain(changes.journals.iter().map(|journal| journal.key.clone()));
    let customer = changes.customer.iter().map(|customer| customer.email.clone());
    let ids = steps.chain(guards).chain(effects).chain(answers).map(Touched::Id);
    let names = names.chain(customer).chain([changes.cause.to_string()]).map(Touched::Name);
    ids.chain(names).collect()
}

#[derive(PartialEq, Eq, Hash)]
enum Touched {
    Id(Uuid),
    Name(String),
}

/// Everything but the causes.
async fn write(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    // Before the orders: a timer that rings holds its job, and wants its order next.
    effects::watch(connection, group).await?;
    welcome(connection, group).await?;
    steps::orders(connection, group).await?;
    steps::payments(connection, group).await?;
    steps::refunds(connection, group).await?;
    steps::disputes(connection, group).await?;
    effects::answer(connection, group).await?;
    effects::record(connection, group).await?;
    ledger::book(connection, group.iter().flat_map(|changes| &changes.journals)).await?;
    let mut lines = trail::Lines::default();
    for changes in group {
        lines.add(changes, changes.entries());
        lines.add(changes, trail::declines(connection, &changes.declines).await?);
        lines.add(changes, breaks::found(connection, changes).await?);
        lines.add(changes, breaks::explained(connection, changes).await?);
    }
    lines.write(connection).await
}

/// Takes the causes, and completes the jobs among them. A concurrent taker of the same cause is waited for.
async fn take(connection: &mut PgConnection, group: &[&Changes]) -> Result<Vec<Taken>, Failure> {
    let causes: Vec<_> = group.iter().map(|changes| changes.cause.to_string()).collect();
    let moments: Vec<_> = group.iter().map(|changes| changes.at).collect();
    let insert = sqlx::query_scalar!(
        "INSERT INTO commits (cause, at)
         SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS told (cause, at) ORDER BY cause
         ON CONFLICT DO NOTHING RETURNING cause",
        &causes,
        &moments,
    );
    let fresh: HashSet<_> = insert.fetch_all(&mut *connection).await?.into_iter().collect();
    let is_fresh = |cause: &str| fresh.contains(cause);
    let jobs: Vec<_> = group
        .iter()
        .zip(&causes)
        .filter_map(|(changes, cause)| match changes.cause {
            Cause::Job(lease) => is_fresh(cause).then_some((lease, changes.conclusion.as_deref())),
            Cause::Request(..) => None,
        })
        .collect();
    let completed = complete(connection, &jobs).await?;
    let verdict = |(changes, cause): (&&Changes, &String)| match changes.cause {
        _ if !is_fresh(cause) => Taken::Before,
        Cause::Job(lease) if !completed.contains(&lease.job.uuid()) => Taken::LeaseLost,
        Cause::Job(_) | Cause::Request(..) => Taken::Now,
    };
    Ok(group.iter().zip(&causes).map(verdict).collect())
}

/// Completes jobs, and the events that some of them read. Returns those that were ours to complete. CASE hides the
/// indexes of open jobs from the planner, which would read all of one.
async fn complete(
    connection: &mut PgConnection,
    jobs: &[(Lease, Option<&str>)],
) -> Result<HashSet<Uuid>, Failure> {
    if jobs.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<_> = jobs.iter().map(|(lease, _)| lease.job.uuid()).collect();
    let tokens: Vec<_> = jobs.iter().map(|(lease, _)| i64::from(lease.token)).collect();
    let conclusions: Vec<_> = jobs.iter().map(|(_, why)| why.map(|why| note(why).into_owned())).collect();
    let update = sqlx::query_scalar!(
        r#"WITH done AS (
               UPDATE jobs SET state = 'done', leased_until = NULL, finished_at = now(), conclusion = told.conclusion
               FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS told (job, token, conclusion)
               WHERE jobs.id = told.job AND lease_token = told.token
                 AND CASE state WHEN 'ready' THEN leased_until IS NOT NULL ELSE false END
               RETURNING jobs.id, kind, payload, told.conclusion
           ), event AS (
               UPDATE inbox_events SET outcome = coalesce(outcome, done.conclusion), processed_at = coalesce(processed_at, now())
               FROM done WHERE done.kind = 'read_event' AND inbox_events.id = done.payload
           )
           SELECT id AS "id!" FROM done"#,
        &ids,
        &tokens,
        conclusions as _,
    );
    Ok(update.fetch_all(connection).await?.into_iter().collect())
}

async fn welcome(connection: &mut PgConnection, group: &[&Changes]) -> Result<(), Failure> {
    let new: Vec<&Customer> = group.iter().filter_map(|changes| changes.customer.as_ref()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = new.iter().map(|customer| customer.id.uuid()).collect();
    let modes: Vec<_> = new.iter().map(|customer| customer.mode.to_string()).collect();
    let emails: Vec<_> = new.iter().map(|customer| customer.email.clone()).collect();
    let moments: Vec<_> = new.iter().map(|customer| customer.created_at).collect();
    let insert = sqlx::query!(
        "INSERT INTO customers (id, mode, email, created_at)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])",
        &ids,
        &modes,
        &emails,
        &moments,
    );
    insert.execute(connection).await?;
    Ok(())
}
