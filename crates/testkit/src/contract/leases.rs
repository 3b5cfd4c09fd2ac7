//! Claiming, giving back, burying.

use std::{collections::BTreeSet, sync::Arc};

use paywright_domain::{
    Cause, Effect, Lease,
    ports::{Job, QueueName, Task},
};
use time::Duration;

use super::{
    Backend,
    stage::{LONG, SHORT, Stage, at_once, pause},
};
use crate::builders::{self, ChangesExt, inbox_event};

const WEBHOOKS: QueueName = QueueName::Webhooks;

async fn receive(stage: &Stage, count: usize) {
    for n in 0..count {
        let _ = stage.receive(inbox_event(&format!("evt_{n}"))).await.unwrap();
    }
}

/// Each claim is a newer token and one more attempt, counted before anybody works on it.
///
/// Covers: I27, fault 59.
pub async fn a_claim_raises_token_and_attempts(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    let mut job = stage.take_one(WEBHOOKS, SHORT).await;
    assert_eq!((job.lease.token, job.attempts), (1, 1));
    for claim in 2..=3 {
        let Job { lease, task, .. } = job;
        job = stage.take_soon(WEBHOOKS, SHORT).await;
        assert_eq!((job.lease, &job.task), (Lease { token: claim, ..lease }, &task));
        assert_eq!(job.attempts, claim);
    }
}

/// While a lease runs nobody else gets the job.
///
/// Covers: I27.
pub async fn a_claimed_job_is_nobody_elses(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    stage.take_one(WEBHOOKS, LONG).await;
    stage.idle(WEBHOOKS).await;
}

/// Many workers at once share the jobs out; none is given twice, none is left.
///
/// Covers: I27, I28.
pub async fn concurrent_claims_give_each_job_to_one(backend: Arc<dyn Backend>) {
    const JOBS: usize = 40;
    let stage = Stage::new(backend);
    receive(&stage, JOBS).await;
    // A worker may come away empty from jobs that others have locked and then leave, so each asks as often as there
    // are jobs.
    let worker = |stage: Stage| async move {
        let mut mine = Vec::new();
        for _ in 0..JOBS {
            mine.extend(stage.claim(WEBHOOKS, 3, LONG).await.unwrap());
        }
        mine
    };
    let claimed: Vec<Job> =
        at_once((0..8).map(|_| worker(stage.clone()))).await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = claimed.iter().map(|job| job.lease.job).collect();
    assert_eq!((claimed.len(), distinct.len()), (JOBS, JOBS));
}

/// The one that waits longest comes first, and never more than asked for.
///
/// Covers: fault 35.
pub async fn the_oldest_due_come_first_up_to_the_limit(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let mut orders = Vec::new();
    for minutes in [2, 4, 1, 3] {
        let order = stage.placed().await.id;
        let (job, at) = (builders::new_id(stage.now), stage.now - Duration::minutes(minutes));
        stage.now(stage.request().effect(Effect::WatchOrder { job, order, at })).await;
        orders.push((minutes, Task::WatchOrder(order)));
    }
    orders.sort_by_key(|(minutes, _)| -minutes);
    assert_eq!(stage.claim(QueueName::Effects, 0, LONG).await.unwrap(), []);
    for expected in orders.chunks(2) {
        let claimed = stage.claim(QueueName::Effects, 2, LONG).await.unwrap();
        let tasks: Vec<_> = claimed.into_iter().map(|job| job.task).collect();
        assert_eq!(tasks, expected.iter().map(|(_, task)| task.clone()).collect::<Vec<_>>());
    }
    stage.idle(QueueName::Effects).await;
}

/// A worker of one queue is never given another queue's job.
///
/// Covers: fault 35.
pub async fn queues_do_not_see_each_others_jobs(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    let order = stage.placed().await.id;
    let (job, at) = (builders::new_id(stage.now), stage.now - Duration::MINUTE);
    stage.now(stage.request().effect(Effect::WatchOrder { job, order, at })).await;
    assert_eq!(stage.take_one(QueueName::Effects, LONG).await.task, Task::WatchOrder(order));
    assert_eq!(stage.take_one(WEBHOOKS, LONG).await.task, Task::ReadEvent("evt_0".to_owned()));
}

/// A job that was given back comes again, as the next attempt.
///
/// Covers: fault 53, fault 59.
pub async fn a_retried_job_comes_back_after_its_delay(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    let first = stage.take_one(WEBHOOKS, LONG).await;
    stage.retry(first.lease, SHORT, "the order is not there yet — später").await.unwrap();
    let second = stage.take_soon(WEBHOOKS, LONG).await;
    assert_eq!(second.lease.job, first.lease.job);
    assert!(second.lease.token > first.lease.token);
    assert_eq!(second.attempts, 2);
    stage.loses(stage.because(Cause::Job(first.lease))).await;
    stage.now(stage.because(Cause::Job(second.lease))).await;
}

/// Not before its delay, even when its lease would be over.
///
/// Covers: fault 59.
pub async fn a_retried_job_does_not_come_back_before(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    let job = stage.take_one(WEBHOOKS, SHORT).await;
    stage.retry(job.lease, LONG, "later").await.unwrap();
    pause(SHORT * 2).await;
    stage.idle(WEBHOOKS).await;
}

/// A buried job is out of the queue, and its holder's lease is worth nothing.
///
/// Covers: I20, fault 59.
pub async fn a_buried_job_does_not_come_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    let job = stage.take_one(WEBHOOKS, SHORT).await;
    stage.bury(job.lease, "not readable: 値").await.unwrap();
    pause(SHORT * 2).await;
    stage.idle(WEBHOOKS).await;
    stage.loses(stage.because(Cause::Job(job.lease))).await;
    // The event itself stays.
    assert!(stage.event("evt_0").await.unwrap().is_some());
}

/// A zombie can neither give back nor bury what somebody else holds or has done; it is told nothing.
///
/// Covers: I16, I27.
pub async fn a_lost_lease_neither_retries_nor_buries(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    receive(&stage, 1).await;
    let zombie = stage.take_one(WEBHOOKS, SHORT).await.lease;
    let holder = stage.take_soon(WEBHOOKS, LONG).await.lease;
    stage.retry(zombie, Duration::ZERO, "zombie").await.unwrap();
    stage.idle(WEBHOOKS).await;
    stage.bury(zombie, "zombie").await.unwrap();
    stage.now(stage.because(Cause::Job(holder))).await;
    stage.retry(holder, Duration::ZERO, "done already").await.unwrap();
    stage.idle(WEBHOOKS).await;
    let nowhere = Lease { job: builders::new_id(stage.now), token: 1 };
    stage.retry(nowhere, Duration::ZERO, "no such job").await.unwrap();
    stage.bury(nowhere, "no such job").await.unwrap();
}
