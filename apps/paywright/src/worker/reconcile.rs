//! Comparing our books with Stripe's, by itself.

use std::{sync::Arc, time::Duration};

use paywright_domain::{Mode, Trigger};
use tokio_util::sync::CancellationToken;

use super::schedule;
use crate::{reconcile, wiring::App};

/// Everything, and more often the payments that are fresh, until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let wanted = &app.settings.reconciliation;
    if !wanted.enabled {
        return;
    }
    let (often, oftener) = (u64::from(wanted.every_minutes) * 60, u64::from(wanted.fresh_every_seconds));
    let (everything, fresh) = match app.settings.mode {
        Mode::Test => ("reconciliation:test", "fresh_payments:test"),
        Mode::Live => ("reconciliation:live", "fresh_payments:live"),
    };
    let all = schedule::every(
        Arc::clone(&app),
        stop.clone(),
        everything,
        Duration::from_secs(often),
        compare_everything,
    );
    let young = schedule::every(app, stop, fresh, Duration::from_secs(oftener), look_at_fresh);
    tokio::join!(all, young);
}

async fn compare_everything(app: Arc<App>) -> anyhow::Result<()> {
    let ask = reconcile::ask(&app, Trigger::Schedule, None);
    reconcile::run(&app, ask, &|_, _| {}).await?;
    Ok(())
}

async fn look_at_fresh(app: Arc<App>) -> anyhow::Result<()> {
    let counts = app.reconcile.fresh().await?;
    if let Some(problem) = counts.problems.first() {
        tracing::warn!(unknown = counts.unknown, problem, "some fresh payments could not be looked at");
    }
    Ok(())
}
