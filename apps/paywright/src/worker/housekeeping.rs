//! Forgetting what is over: a few rows a statement, with room for others in between.

use std::{future::Future, sync::Arc, time::Duration};

use paywright_domain::ports::StoreError;
use tokio_util::sync::CancellationToken;

use super::schedule;
use crate::wiring::App;

/// How long a client's idempotency key gives the same answer.
const ANSWERS_KEPT: Duration = Duration::from_secs(72 * 3600);
const PERIOD: Duration = Duration::from_secs(3600);
const METERS: Duration = Duration::from_secs(300);
/// Rows a statement: milliseconds each.
const AT_ONCE: u32 = 1_000;
/// How long everybody else has the database in between.
const BREATH: Duration = Duration::from_millis(50);

/// Does it once an hour until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    schedule::every(app, stop, "housekeeping", PERIOD, tidy).await;
}

/// Forgets which limits were used and are free again until `stop`: as many rows as there were shoppers.
pub(super) async fn meters(app: Arc<App>, stop: CancellationToken) {
    schedule::every(app, stop, "meters", METERS, tidy_meters).await;
}

async fn tidy_meters(app: Arc<App>) -> anyhow::Result<()> {
    forget("meters", || app.store.forget_meters(AT_ONCE)).await?;
    Ok(())
}

/// Jobs before causes, which stay as long as their job does.
async fn tidy(app: Arc<App>) -> anyhow::Result<()> {
    let (store, keep) = (&app.store, &app.settings.retention);
    let days = |days: u32| time::Duration::days(i64::from(days));
    forget("jobs", || store.forget_jobs(days(keep.jobs_days), AT_ONCE)).await?;
    forget("events", || store.forget_events(days(keep.events_days), AT_ONCE)).await?;
    forget("causes", || store.forget_causes(days(keep.commits_days), AT_ONCE)).await?;
    forget("origins", || store.forget_origins(AT_ONCE)).await?;
    forget("answers", || app.idempotency_keys.prune(ANSWERS_KEPT, AT_ONCE)).await?;
    Ok(())
}

async fn forget<R>(what: &'static str, batch: impl Fn() -> R) -> Result<(), StoreError>
where
    R: Future<Output = Result<u64, StoreError>>,
{
    let mut forgotten = 0;
    loop {
        let count = batch().await?;
        forgotten += count;
        if count < u64::from(AT_ONCE) {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    if forgotten > 0 {
        tracing::info!(what, forgotten, "forgot what is over");
    }
    Ok(())
}
