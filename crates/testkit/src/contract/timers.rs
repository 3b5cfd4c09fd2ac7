//! The timer of an order: one an order, moved rather than doubled, never lost.

use std::sync::Arc;

use paywright_domain::{
    Cause, Effect, JobId, OrderId,
    ports::{QueueName, Task},
};
use time::Duration;

use super::{
    Backend,
    stage::{LONG, SHORT, Stage, pause},
};
use crate::builders::{self, ChangesExt};

/// Sets the order's timer to `after` from when the stage was set.
fn expiry(stage: &Stage, order: OrderId, after: Duration) -> (JobId, Effect) {
    let job = builders::new_id(stage.now);
    (job, Effect::WatchOrder { job, order, at: stage.now + after })
}

async fn set(stage: &Stage, order: OrderId, after: Duration) -> JobId {
    let (job, effect) = expiry(stage, order, after);
    stage.now(stage.request().effect(effect)).await;
    job
}

/// A timer is not claimable before its time, and is after.
///
/// Covers: I13, fault 77.
pub async fn a_timer_rings_at_its_time(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (today, tomorrow) = (stage.placed().await, stage.placed().await);
    set(&stage, tomorrow.id, Duration::DAY).await;
    stage.idle(QueueName::Effects).await;
    let id = set(&stage, today.id, SHORT).await;
    let job = stage.take_soon(QueueName::Effects, LONG).await;
    assert_eq!((job.lease.job, job.task), (id, Task::WatchOrder(today.id)));
    stage.idle(QueueName::Effects).await;
}

/// A committer whose clock is wrong by hours says when by that clock; the timer counts from the commit.
///
/// Covers: I13, fault 77.
pub async fn a_wrong_clock_does_not_move_a_timer(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    for hours in [-7, 7] {
        let order = stage.placed().await.id;
        let (_, effect) = expiry(&stage, order, Duration::hours(hours) + SHORT);
        let mut changes = stage.request().effect(effect);
        changes.at += Duration::hours(hours);
        stage.now(changes).await;
        let job = stage.take_soon(QueueName::Effects, LONG).await;
        assert_eq!(job.task, Task::WatchOrder(order), "{hours}");
    }
}

/// Setting it again moves it to the earlier of both times; it rings once.
///
/// Covers: I13, I15.
pub async fn a_timer_is_moved_to_the_earlier_of_both_times(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    set(&stage, order.id, Duration::DAY).await;
    stage.idle(QueueName::Effects).await;
    set(&stage, order.id, -Duration::MINUTE).await;
    set(&stage, order.id, Duration::DAY * 2).await;
    let job = stage.take_one(QueueName::Effects, LONG).await;
    assert_eq!(job.task, Task::WatchOrder(order.id));
    stage.now(stage.because(Cause::Job(job.lease))).await;
    stage.idle(QueueName::Effects).await;
    // The one before is done, so this is a new one.
    set(&stage, order.id, -Duration::MINUTE).await;
    let next = stage.take_one(QueueName::Effects, LONG).await;
    assert_ne!(next.lease.job, job.lease.job);
}

/// Somebody looks at the order just when its timer is moved: whatever comes of that look, the timer rings again.
///
/// Covers: I13.
pub async fn a_timer_moved_while_it_is_held_rings_again(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    set(&stage, order.id, -Duration::MINUTE).await;
    let held = stage.take_one(QueueName::Effects, SHORT).await;
    set(&stage, order.id, SHORT).await;
    // The store may accept the holder's end of the old timer, or say that it was taken away.
    let _ = stage.commit(stage.because(Cause::Job(held.lease))).await;
    let again = stage.take_soon(QueueName::Effects, LONG).await;
    assert_eq!(again.task, Task::WatchOrder(order.id));
    stage.now(stage.because(Cause::Job(again.lease))).await;
    pause(SHORT * 2).await;
    stage.idle(QueueName::Effects).await;
}

/// The commit that ends a timer's job can set the order's next timer.
///
/// Covers: I13.
pub async fn a_timer_may_set_the_next_one(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let order = stage.placed().await;
    set(&stage, order.id, -Duration::MINUTE).await;
    let first = stage.take_one(QueueName::Effects, LONG).await;
    let (next, effect) = expiry(&stage, order.id, -Duration::SECOND);
    stage.now(stage.because(Cause::Job(first.lease)).effect(effect)).await;
    let second = stage.take_one(QueueName::Effects, LONG).await;
    assert_eq!((second.lease.job, second.task), (next, Task::WatchOrder(order.id)));
    assert_eq!(second.attempts, 1);
}
