//! One attempt at a job. What follows from it is the core's to say; here it is counted and told.

use std::time::Instant;

use futures::FutureExt as _;
use paywright_domain::{
    ports::Job,
    usecase::{Settled, Verdict},
};

use crate::{http::problem::chain, metrics::record, wiring::App};

/// Runs one job. A panic in it is one failed attempt.
pub(crate) async fn work(app: &App, job: Job) {
    let begun = Instant::now();
    let run = std::panic::AssertUnwindSafe(app.run_job.run(&job)).catch_unwind().await;
    let (result, verdict) = match run {
        Ok(Verdict::Done) => return record::done(&job, app.ports.clock.now(), begun),
        Ok(Verdict::Leave) => return record::attempt(&job.task, "lost", begun),
        Ok(verdict @ Verdict::Bury { .. }) => ("dead", verdict),
        Ok(verdict @ Verdict::Retry { .. }) => ("retry", verdict),
        Err(_) => ("panicked", Verdict::Retry { reason: "panicked".to_owned(), asked: None }),
    };
    record::attempt(&job.task, result, begun);
    match app.run_job.settle(&job, verdict).await {
        Ok(Settled::Over) => {}
        Ok(Settled::Waits { delay, reason }) => {
            tracing::warn!(job.id = %job.lease.job, attempts = job.attempts, %reason, ?delay, "job failed");
        }
        Ok(Settled::Dead { reason }) => {
            let (task, attempts) = (&job.task, job.attempts);
            tracing::error!(job.id = %job.lease.job, ?task, attempts, reason, "job is dead");
        }
        // Its lease ends by itself, and it is tried again then.
        Err(error) => {
            tracing::warn!(job.id = %job.lease.job, error = chain(&error), "cannot give a job back");
        }
    }
}
