//! One attempt at a job, and what follows from it.

use std::time::Instant;

use futures::FutureExt as _;
use paywright_domain::{
    ports::{GatewayError, Job, StoreError, Task},
    usecase::{CancelOrderError, ErrorKind, PerformCallError, RecordEventError, WatchOrderError},
};

use super::backoff;
use crate::{http::problem::chain, metrics::record, wiring::App};

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
pub(crate) async fn work(app: &App, job: Job) {
    let begun = Instant::now();
    // Its attempts are counted before they begin, so this is how one that takes the whole process with it ends.
    if backoff::is_spent(&job.task, job.attempts) {
        record::attempt(&job.task, "dead", begun);
        return settled(&job, bury(app, &job, "none of its attempts came to an end").await);
    }
    let run = std::panic::AssertUnwindSafe(perform(app, &job)).catch_unwind().await;
    let (result, verdict) = match run {
        Ok(Ok(())) => return record::done(&job, app.ports.clock.now(), begun),
        Ok(Err(Verdict::Leave)) => return record::attempt(&job.task, "lost", begun),
        Ok(Err(Verdict::Bury(reason))) => ("dead", Err(reason)),
        Ok(Err(Verdict::Retry(reason, asked))) => ("retry", Ok((reason, asked))),
        Err(_) => ("panicked", Ok(("panicked".to_owned(), None))),
    };
    record::attempt(&job.task, result, begun);
    let given_back = match verdict {
        Err(reason) => bury(app, &job, &reason).await,
        Ok((reason, asked)) => match backoff::delay(&job.task, job.attempts, jitter(app)) {
            Some(delay) => {
                let delay = delay.max(asked.unwrap_or(delay));
                tracing::warn!(job.id = %job.lease.job, attempts = job.attempts, %reason, ?delay, "job failed");
                app.ports.queue.retry(job.lease, delay, &reason).await
            }
            None => bury(app, &job, &reason).await,
        },
    };
    settled(&job, given_back);
}

/// Where the store was away, the job's lease ends by itself, and it is tried again then.
fn settled(job: &Job, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(job.id = %job.lease.job, error = chain(&error), "cannot give a job back");
    }
}

async fn bury(app: &App, job: &Job, reason: &str) -> Result<(), StoreError> {
    tracing::error!(job.id = %job.lease.job, task = ?job.task, attempts = job.attempts, reason, "job is dead");
    app.ports.queue.bury(job.lease, reason).await
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
    use std::time::Duration;

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
