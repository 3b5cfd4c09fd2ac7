//! Whether Stripe calls us, asked again and again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use paywright_domain::Mode;
use tokio_util::sync::CancellationToken;

use super::schedule;
use crate::{
    doctor::{self, Check, Grade, Problem, endpoint},
    wiring::App,
};

/// A process that was just started looks a little later: its own server may not be reached yet.
const FIRST: Duration = Duration::from_secs(30);
/// A problem that stays is told again after this.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);

/// Checks the endpoint on its schedule until `stop`; with a period of 0, never.
pub(super) async fn watch(app: Arc<App>, stop: CancellationToken) {
    let period = Duration::from_secs(app.settings.worker.check_endpoint_every_seconds);
    if period.is_zero() {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(FIRST.min(period)) => {}
        () = stop.cancelled() => return,
    }
    // The gauge `paywright_endpoint_problem` is read from the schedule's row.
    let name = match app.settings.mode {
        Mode::Test => "endpoint:test",
        Mode::Live => "endpoint:live",
    };
    let told = Arc::new(Told::default());
    schedule::every(app, stop, name, period, |app| check(app, Arc::clone(&told))).await;
}

/// One check; what it found is its failure, and so noted for all processes.
async fn check(app: Arc<App>, told: Arc<Told>) -> anyhow::Result<()> {
    let url = doctor::webhook_url(&app.settings);
    let checks = endpoint::look(&app.stripe, Some(&app.store), app.settings.mode, url).await;
    checks.iter().for_each(|check| told.tell(check));
    match Problem::note(&checks) {
        None => Ok(()),
        Some(note) => Err(anyhow::anyhow!(note)),
    }
}

/// When each problem was told last.
#[derive(Default)]
struct Told(Mutex<HashMap<Problem, Instant>>);

impl Told {
    fn tell(&self, check: &Check) {
        let Some(problem) = check.problem.filter(|problem| self.is_news(*problem)) else { return };
        let (found, remedy) = (&check.found, check.remedy.as_deref());
        match check.grade {
            Grade::Fail => tracing::error!(%problem, found, remedy, "Stripe cannot tell us what happens"),
            Grade::Ok | Grade::Warn => {
                tracing::warn!(%problem, found, remedy, "look at the webhook endpoint")
            }
        }
    }

    fn is_news(&self, problem: Problem) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = told.get(&problem).is_none_or(|at| at.elapsed() >= TOLD_AGAIN);
        if news {
            told.insert(problem, Instant::now());
        }
        news
    }
}
