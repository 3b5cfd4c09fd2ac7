//! One run of reconciliation, whoever asks for it, and the sign of life that it gives meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use paywright_domain::{
    Counts, Run, RunId, RunState, Section, Trigger,
    ports::{Books as _, StoreError, Window},
    usecase::{Ask, ReconcileError, Watch},
};
use strum::IntoEnumIterator as _;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::{http::problem::chain, wiring::App};

/// How often a run that is under way says so.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// A run that said nothing for so long is not under way any more.
const SILENCE: Duration = Duration::from_secs(60);

/// What somebody asks for: everything, as far back as the cursors stand, unless told otherwise.
pub fn ask(app: &App, trigger: Trigger, since: Option<OffsetDateTime>) -> Ask {
    Ask { id: app.ports.new_id(), trigger, since, sections: Section::iter().collect() }
}

/// Runs it to its end. What its sections have come to can be seen meanwhile, by `watch` and in its row.
///
/// # Errors
/// Those of the use case: the run itself could not be recorded.
pub async fn run(app: &App, ask: Ask, watch: Watch<'_>) -> Result<Run, ReconcileError> {
    let id = ask.id;
    let seen = Mutex::new(BTreeMap::new());
    let note = |section: Section, counts: &Counts| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(section, counts.clone());
        watch(section, counts);
    };
    let mut running = std::pin::pin!(app.reconcile.run(ask, &note));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = tokio::time::sleep(SIGN_OF_LIFE) => {}
        }
        let counts = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let alive = app.store.run_goes_on(app.settings.mode, id, &counts);
        tokio::select! {
            ended = &mut running => break ended,
            told = alive => if let Err(error) = told {
                tracing::warn!(run.id = %id, error = chain(&error), "a run cannot give a sign of life");
            }
        }
    };
    ended.inspect(log)
}

/// The run of somebody else that is under way, as far as anybody can tell.
///
/// # Errors
/// Those of the store.
pub async fn under_way(app: &App) -> Result<Option<RunId>, StoreError> {
    let run = app.store.run_under_way(app.settings.mode, SILENCE).await?;
    Ok(run.map(|run| run.id))
}

/// Records a run that is about to begin, so that it can be shown before it has come to anything.
///
/// # Errors
/// Those of the store.
pub async fn announce(app: &App, ask: &Ask) -> Result<Run, StoreError> {
    let run = Run {
        id: ask.id,
        mode: app.settings.mode,
        trigger: ask.trigger,
        since: ask.since,
        state: RunState::Running,
        counts: BTreeMap::new(),
        opened: 0,
        resolved: 0,
        error: None,
        started_at: app.ports.clock.now(),
        finished_at: None,
    };
    app.store.begin(&run).await?;
    Ok(run)
}

/// A day in UTC.
pub fn day(date: Date) -> Window {
    let midnight = |date: Date| date.midnight().assume_offset(UtcOffset::UTC);
    // After the last day of the calendar comes nothing.
    Window { from: midnight(date), before: date.next_day().map_or(midnight(Date::MAX), midnight) }
}

fn log(run: &Run) {
    let sum = |count: fn(&Counts) -> u64| run.counts.values().map(count).sum::<u64>();
    let (compared, repaired) = (sum(|one| one.compared), sum(|one| one.repaired));
    let (broken, unknown) = (sum(|one| one.broken), sum(|one| one.unknown));
    let (id, trigger) = (run.id, run.trigger);
    match run.state {
        RunState::Failed => {
            let error = run.error.as_deref().unwrap_or_default();
            tracing::error!(run.id = %id, %trigger, compared, error, "reconciliation stopped");
        }
        RunState::Incomplete => {
            let problem = run.counts.values().find_map(|one| one.problems.first()).map_or("", String::as_str);
            tracing::warn!(run.id = %id, %trigger, compared, repaired, broken, unknown, problem,
                "reconciliation could not compare everything; the next run goes on");
        }
        RunState::Done | RunState::Running => {
            tracing::info!(run.id = %id, %trigger, compared, repaired, broken, "reconciled");
        }
    }
}
