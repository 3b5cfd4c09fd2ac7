//! A job as a cause: completed with what it came to, and only under its newest lease.

use std::sync::Arc;

use paywright_domain::{
    Cause, Lease, OrderEvent,
    ports::{Committed, Job, QueueName, StoreError},
};
use time::Duration;

use super::{
    Backend,
    stage::{LONG, SHORT, Stage, at_once, pause},
};
use crate::builders::{self, ChangesExt, Steps};

async fn job(stage: &Stage, lease: Duration) -> Job {
    let _ = stage.receive(builders::inbox_event("evt_1")).await.unwrap();
    stage.take_one(QueueName::Webhooks, lease).await
}

/// With its commit a job is done, and the same commit again is `Before`.
///
/// Covers: I20, I22, I30, fault 57.
pub async fn a_commit_completes_its_job(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let job = job(&stage, SHORT).await;
    let cause = Cause::Job(job.lease);
    let mut changes = stage.because(cause).step(order.step(OrderEvent::PaymentStarted));
    changes.conclusion = Some("a payment was started — ça va".to_owned());
    assert!(!stage.knows(cause).await.unwrap());
    stage.now(changes.clone()).await;
    assert!(stage.knows(cause).await.unwrap());
    assert_eq!(stage.commit(changes).await.unwrap(), Committed::Before);
    assert_eq!(stage.told(&order).await.len(), 2);
    pause(SHORT * 2).await;
    stage.idle(QueueName::Webhooks).await;
}

/// A zombie's result is refused, before and after the new holder is done.
///
/// Covers: I16, I27.
pub async fn only_the_newest_lease_completes_a_job(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let zombie = job(&stage, SHORT).await;
    let holder = stage.take_soon(QueueName::Webhooks, LONG).await;
    assert_eq!(holder.lease.job, zombie.lease.job);
    let step = || order.step(OrderEvent::PaymentStarted);
    stage.loses(stage.because(Cause::Job(zombie.lease)).step(step())).await;
    assert!(!stage.knows(Cause::Job(zombie.lease)).await.unwrap());
    assert_eq!(stage.order(order.id).await.unwrap().as_ref(), Some(&order));
    stage.now(stage.because(Cause::Job(holder.lease)).step(step())).await;

    let other = stage.placed().await;
    let late = stage.because(Cause::Job(zombie.lease)).step(other.step(OrderEvent::PaymentStarted));
    let outcome = stage.commit(late).await;
    assert!(matches!(outcome, Ok(Committed::Before) | Err(StoreError::LeaseLost)), "{outcome:?}");
    assert_eq!(stage.order(other.id).await.unwrap(), Some(other));
    // The job's end is known, under whatever lease one asks.
    assert!(stage.knows(Cause::Job(zombie.lease)).await.unwrap());
}

/// A lease whose time is over is still the newest until somebody else claims.
///
/// Covers: I27.
pub async fn a_lease_stands_until_somebody_else_claims(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let job = job(&stage, SHORT).await;
    pause(SHORT * 2).await;
    stage.now(stage.because(Cause::Job(job.lease))).await;
    stage.idle(QueueName::Webhooks).await;
}

/// A conflict under a job leaves the job with its holder, who decides again.
///
/// Covers: I16, I20, D-11.
pub async fn a_commit_that_fails_leaves_its_job(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let job = job(&stage, LONG).await;
    let newer = stage.go(&order, OrderEvent::PaymentStarted).await;
    let cause = Cause::Job(job.lease);
    stage.conflicts(stage.because(cause).step(order.step(OrderEvent::PaymentStarted))).await;
    assert!(!stage.knows(cause).await.unwrap());
    stage.now(stage.because(cause).step(newer.step(OrderEvent::PaymentStarted))).await;
}

/// A lease of a job that does not exist, or that was never claimed, is a lost one.
///
/// Covers: I27.
pub async fn a_job_that_is_not_there_is_lost(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let nowhere = Lease { job: builders::new_id(stage.now), token: 1 };
    stage.loses(stage.because(Cause::Job(nowhere))).await;
    let job = job(&stage, LONG).await;
    for token in [0, job.lease.token + 1] {
        stage.loses(stage.because(Cause::Job(Lease { token, ..job.lease }))).await;
    }
    stage.now(stage.because(Cause::Job(job.lease))).await;
}

/// The holder's own repetitions at once, after lost replies for example: one is `Now`, the others `Before`.
///
/// Covers: I22, I30, fault 67.
pub async fn of_many_commits_of_one_job_one_counts(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    let job = job(&stage, LONG).await;
    let changes = stage.because(Cause::Job(job.lease)).step(order.step(OrderEvent::PaymentStarted));
    let outcomes = at_once((0..8).map(|_| {
        let (stage, changes) = (stage.clone(), changes.clone());
        async move { stage.commit(changes).await.unwrap() }
    }));
    let outcomes = outcomes.await;
    let now = outcomes.iter().filter(|outcome| **outcome == Committed::Now).count();
    assert_eq!(now, 1, "{outcomes:?}");
    assert_eq!(stage.told(&order).await.len(), 2);
}
