use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use paywright_domain::{JobId, OperationId, ports::Page};
use paywright_postgres::{EventFilter, EventState, Operations};

use super::{
    super::{operating, serve},
    changed, table,
};
use crate::{
    config::Settings,
    http::present::{ReplayJson, rfc3339},
    replay::{Replay, Replayed, replay},
    wiring::App,
};

/// How many events are started by one statement.
const STARTED_AT_ONCE: u32 = 1_000;
/// How many a dry run names.
const NAMED: u32 = 100;

/// Reads named events, in this process.
pub(super) async fn here(settings: Settings, events: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let store = serve::prepared(&settings).await?;
    let app = App::new(settings, store, String::new())?;
    let mut failed = 0;
    for id in events {
        let fresh: JobId = app.ports.new_id();
        let refused = match replay(&app, id, fresh).await? {
            Replay::Read(replayed) => {
                failed += usize::from(!replayed.is_processed());
                tell_replayed(&replayed, json)?;
                continue;
            }
            Replay::Ignored(why) => format!("it was not for us: {why}"),
            Replay::Unknown => format!("no such event in {} mode", app.settings.mode),
            Replay::Busy(_) => {
                "it, or another event about the same payment, is being read; try again".to_owned()
            }
        };
        anyhow::ensure!(events.len() > 1, "{id}: {refused}");
        failed += 1;
        eprintln!("paywright: {id}: {refused}");
    }
    app.store.close().await;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_replayed(replayed: &Replayed, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&ReplayJson::from(replayed))?)?;
        return Ok(());
    }
    let Replayed { event, job, changes } = replayed;
    let state = EventState::of(job);
    let why = if replayed.is_processed() { &job.conclusion } else { &job.last_error };
    writeln!(out, "{event}: {state}: {}", why.as_deref().unwrap_or_default())?;
    match state {
        EventState::Waiting | EventState::Failing => {
            writeln!(out, "the worker tries it again at {}", rfc3339(job.due_at))?;
        }
        EventState::Dead | EventState::Processed | EventState::Ignored => {}
    }
    if replayed.is_processed() {
        writeln!(out, "{}", changed(changes))?;
    }
    Ok(())
}

/// How many there are, and the first of them.
pub(super) async fn tell(
    operations: &Operations,
    settings: &Settings,
    filter: &EventFilter,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let matching = operations.count_events(settings.mode, filter).await?;
    let first = operations.events(settings.mode, filter, &Page { limit: NAMED, after: None }).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let events: Vec<_> = first.rows.iter().map(|event| &event.id).collect();
        let told = serde_json::json!({ "dry_run": true, "matching": matching, "events": events });
        writeln!(out, "{told}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{matching} events would be read once more")?;
    if matching > 0 {
        write!(out, "{}", table(&first.rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets the worker read what a filter finds, and waits for it.
pub(super) async fn there(
    operations: &Operations,
    settings: &Settings,
    filter: &EventFilter,
    no_wait: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let operation: OperationId = operating::new_id();
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let page = Page { limit: STARTED_AT_ONCE, after };
        let part = operations.requeue_events(settings.mode, filter, &page, &operation.to_string()).await?;
        jobs.extend(part.events.into_iter().map(|(_, job)| job));
        after = part.after;
        if after.is_none() {
            break;
        }
    }
    if !json || std::io::stderr().is_terminal() {
        eprintln!("{} events are read once more, behind everything that is new", jobs.len());
    }
    operating::follow(operations, &jobs, no_wait, json).await
}
