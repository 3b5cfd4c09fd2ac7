//! The worker: claims jobs, runs the use case of each, says when to try again; and does what is done on a schedule.

mod attempt;
mod endpoint;
mod hands;
mod housekeeping;
mod reconcile;
pub(crate) mod schedule;

use std::{sync::Arc, time::Duration};

use paywright_domain::ports::{QueueName, StoreError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use attempt::work;
use hands::Hands;

use crate::{http::problem::chain, wiring::App};

/// How long a claim lasts beyond the longest call to Stripe.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How long to wait for news when there is nothing to do. A hint from the database ends it early, and so does a job that
/// is over: the next about its payment waited for it.
const IDLE: Duration = Duration::from_millis(500);
/// How long to wait after a claim that others were in the way of.
const CROWD: Duration = Duration::from_millis(20);
/// How long to wait after the database failed.
const TROUBLE: Duration = Duration::from_secs(2);

/// Runs one loop a queue, and what is done on a schedule, until `stop`; then waits for the jobs under way.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    for queue in [QueueName::Webhooks, QueueName::Effects] {
        tracker.spawn(drive(Arc::clone(&app), queue, stop.clone()));
    }
    tracker.spawn(reconcile::run(Arc::clone(&app), stop.clone()));
    tracker.spawn(endpoint::watch(Arc::clone(&app), stop.clone()));
    tracker.spawn(housekeeping::meters(Arc::clone(&app), stop.clone()));
    tracker.spawn(housekeeping::run(app, stop));
    tracker.close();
    tracker.wait().await;
}

/// Claims as many jobs as there are idle hands. Nothing that was claimed waits, so that its lease is all its own, and there
/// are never more in memory than hands.
async fn drive(app: Arc<App>, queue: QueueName, stop: CancellationToken) {
    let hands = Hands::new(match queue {
        QueueName::Webhooks => app.settings.worker.webhooks,
        QueueName::Effects => app.settings.worker.effects,
    });
    let (tracker, mut hints) = (TaskTracker::new(), app.store.listener());
    while !stop.is_cancelled() {
        let mut idle = tokio::select! {
            idle = hands.idle() => idle,
            () = stop.cancelled() => break,
        };
        let pause = match app.ports.queue.claim(queue, idle.count(), lease(&app)).await {
            Ok(jobs) if jobs.is_empty() => Some(IDLE),
            Ok(jobs) => {
                for job in jobs {
                    let (app, hand) = (Arc::clone(&app), idle.take());
                    tracker.spawn(async move {
                        work(&app, job).await;
                        drop(hand);
                    });
                }
                None
            }
            // Others are at the same payments in this moment.
            Err(StoreError::Conflict) => Some(CROWD),
            Err(error) => {
                tracing::warn!(error = chain(&error), %queue, "cannot claim jobs");
                Some(TROUBLE)
            }
        };
        drop(idle);
        if let Some(pause) = pause {
            tokio::select! {
                () = hints.wait(pause) => {}
                () = hands.let_go() => {}
                () = stop.cancelled() => {}
            }
        }
    }
    tracker.close();
    tracker.wait().await;
}

/// How long a job is held.
pub(crate) fn lease(app: &App) -> time::Duration {
    time::Duration::try_from(app.settings.stripe.call_longest() + LEASE_MARGIN)
        .unwrap_or(time::Duration::MINUTE)
}
