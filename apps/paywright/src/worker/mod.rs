//! The worker: claims jobs, runs the use case of each, and says when to try again.

mod backoff;

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use paywright_domain::{
    Lease,
    ports::{GatewayError, Job, QueueName, StoreError, Task},
    usecase::{CancelOrderError, ErrorKind, PerformCallError, RecordEventError, WatchOrderError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{http::problem::chain, wiring::App};

/// How long a claim lasts beyond the longest call to Stripe.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How long to wait for news when there is nothing to do. A hint from the database ends it early.
const IDLE: Duration = Duration::from_millis(500);
/// How long a client's idempotency key gives the same answer.
const ANSWERS_KEPT: Duration = Duration::from_secs(72 * 3600);
const PRUNED_AT_ONCE: u32 = 1_000;
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How long to wait after the database failed.
const TROUBLE: Duration = Duration::from_secs(2);

/// Runs one loop a queue until `stop`, then waits for the jobs under way.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    for queue in [QueueName::Webhooks, QueueName::Effects] {
        tracker.spawn(drive(Arc::clone(&app), queue, stop.clone()));
    }
    tracker.spawn(housekeep(app, stop));
    tracker.close();
    tracker.wait().await;
}

/// Forgets answers to clients that are past their time, a few at a time.
async fn housekeep(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match app.idempotency_keys.prune(ANSWERS_KEPT, PRUNED_AT_ONCE).await {
            Ok(pruned) if pruned == u64::from(PRUNED_AT_ONCE) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "cannot forget old idempotency keys"),
        }
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Claims as many jobs as there are idle hands.
async fn drive(app: Arc<App>, queue: QueueName, stop: CancellationToken) {
    let hands = match queue {
        QueueName::Webhooks => app.settings.worker.webhooks,
        QueueName::Effects => app.settings.worker.effects,
    };
    let idle_hands = Arc::new(Semaphore::new(hands as usize));
    let (tracker, mut hints) = (TaskTracker::new(), app.store.listener());
    while !stop.is_cancelled() {
        let free = free_hands(&idle_hands).await;
        let limit = u32::try_from(free.len()).unwrap_or(u32::MAX);
        let pause = match app.ports.queue.claim(queue, limit, lease(&app)).await {
            Ok(jobs) if jobs.is_empty() => Some(IDLE),
            Ok(jobs) => {
                for (job, hand) in jobs.into_iter().zip(free) {
                    let app = Arc::clone(&app);
                    tracker.spawn(async move {
                        work(&app, job).await;
                        drop(hand);
                    });
                }
                None
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), %queue, "cannot claim jobs");
                Some(TROUBLE)
            }
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = hints.wait(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    tracker.close();
    tracker.wait().await;
}

/// At least one, and all others that have nothing to do.
async fn free_hands(hands: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let one = Arc::clone(hands).acquire_owned().await.expect("the semaphore is never closed");
    let mut free = vec![one];
    while let Ok(another) = Arc::clone(hands).try_acquire_owned() {
        free.push(another);
    }
    free
}

fn lease(app: &App) -> time::Duration {
    time::Duration::try_from(app.settings.stripe.call_longest() + LEASE_MARGIN)
        .unwrap_or(time::Duration::MINUTE)
}

/// What a failed job comes to.
enum Verdict {
    /// Try again later; not before so long as the gateway asks us to wait.
    Retry(String, Option<time::Duration>),
    /// Trying again cannot help: keep it for a person.
    Bury(String),
    /// Somebody else has it.
    Leave,
}

/// Runs one job. A panic in it is one failed attempt.
async fn work(app: &App, job: Job) {
    let run = std::panic::AssertUnwindSafe(perform(app, &job)).catch_unwind().await;
    let verdict = match run {
        Ok(Ok(())) => return,
        Ok(Err(verdict)) => verdict,
        Err(_) => Verdict::Retry("panicked".to_owned(), None),
    };
    let settled = match verdict {
        Verdict::Leave => return,
        Verdict::Bury(reason) => bury(app, job.lease, &job, &reason).await,
        Verdict::Retry(reason, asked) => match backoff::delay(&job.task, job.attempts, jitter(app)) {
            Some(delay) => {
                let delay = delay.max(asked.unwrap_or(delay));
                tracing::warn!(job.id = %job.lease.job, attempts = job.attempts, %reason, ?delay, "job failed");
                app.ports.queue.retry(job.lease, delay, &reason).await
            }
            None => bury(app, job.lease, &job, &reason).await,
        },
    };
    // Its lease ends by itself, and it is tried again then.
    if let Err(error) = settled {
        tracing::warn!(job.id = %job.lease.job, error = chain(&error), "cannot give a job back");
    }
}

async fn bury(app: &App, lease: Lease, job: &Job, reason: &str) -> Result<(), StoreError> {
    tracing::error!(job.id = %lease.job, task = ?job.task, attempts = job.attempts, reason, "job is dead");
    app.ports.queue.bury(lease, reason).await
}

async fn perform(app: &App, job: &Job) -> Result<(), Verdict> {
    match &job.task {
        Task::ReadEvent(event) => app.record_event.run(job.lease, event).await.map(drop).map_err(|error| {
            match (&error, error.kind()) {
                (RecordEventError::Store(StoreError::LeaseLost), _) => Verdict::Leave,
                (_, ErrorKind::Invalid) => Verdict::Bury(chain(&error)),
                _ => retry(&error),
            }
        }),
        Task::PerformCall(_) => {
            app.perform_call.run(job.lease).await.map(drop).map_err(|error| match error {
                PerformCallError::Store(StoreError::LeaseLost) => Verdict::Leave,
                PerformCallError::Gateway(GatewayError::KeyReused { .. }) => Verdict::Bury(chain(&error)),
                error => retry(&error),
            })
        }
        Task::WatchOrder(order) => {
            app.watch_order.run(job.lease, *order).await.map_err(|error| match error {
                WatchOrderError::Store(StoreError::LeaseLost)
                | WatchOrderError::Cancel(CancelOrderError::Store(StoreError::LeaseLost)) => Verdict::Leave,
                error => retry(&error),
            })
        }
    }
}

/// Try again later, when the gateway asks for it if it does.
fn retry(error: &(dyn std::error::Error + 'static)) -> Verdict {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let asked = causes.find_map(|error| match error.downcast_ref::<GatewayError>() {
        Some(GatewayError::NotDone { after, .. }) => after.map(time::Duration::try_from),
        Some(_) | None => None,
    });
    Verdict::Retry(chain(error), asked.and_then(Result::ok))
}

/// A number from 0 to 999.
fn jitter(app: &App) -> u32 {
    let mut bytes = [0; 4];
    app.ports.entropy.fill(&mut bytes);
    u32::from_le_bytes(bytes) % 1000
}

#[cfg(test)]
mod tests {
    use paywright_domain::usecase::PerformCallError;

    use super::*;

    /// Covers: fault 11.
    #[test]
    fn the_gateways_wish_to_wait_is_heard() {
        let limited = |after| GatewayError::NotDone { after, source: "429".into() };
        let wait = |error: PerformCallError| match retry(&error) {
            Verdict::Retry(_, asked) => asked,
            Verdict::Bury(_) | Verdict::Leave => unreachable!("it is to be tried again"),
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(wait(PerformCallError::Gateway(limited(minute))), Some(time::Duration::MINUTE));
        assert_eq!(wait(PerformCallError::Gateway(limited(None))), None);
        assert_eq!(wait(PerformCallError::Gateway(GatewayError::Unknown("reset".into()))), None);
    }
}
