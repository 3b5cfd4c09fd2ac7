//! What the commands for operators share: connecting, times, tables, and waiting for the worker.

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use paywright_domain::{
    Id, JobId,
    ports::{Clock as _, Entropy as _},
};
use paywright_postgres::{JobState, JobView, Operations};
use serde::Serialize;
use time::{
    Date, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description,
};

use super::{report, serve};
use crate::{
    config::Settings,
    system::{OsEntropy, SystemClock},
};

/// How wide a table may be.
const WIDTH: usize = 100;
/// How often the jobs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long nothing may move before we say so.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many jobs are looked at by one statement.
const LOOKED_AT_ONCE: usize = 1_000;

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) limit: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Listing {
    /// Prints a page, and says when it is not all.
    pub(super) fn print<T: Serialize>(
        &self,
        json: &[T],
        text: impl FnOnce() -> String,
        has_more: bool,
    ) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(json)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        write!(out, "{}", text())?;
        if has_more {
            eprintln!("there are more: --after the last of these, or --limit");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What operators see of the configured database.
pub(super) async fn connect(settings: &Settings) -> anyhow::Result<Operations> {
    Ok(Operations::new(&serve::database(settings).await?))
}

/// A new id of any kind.
pub(super) fn new_id<K>() -> Id<K> {
    let mut bytes = [0; 10];
    OsEntropy.fill(&mut bytes);
    Id::from_parts(SystemClock.now(), &bytes)
}

/// A time, or the beginning of a day in UTC.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    let day = || {
        Date::parse(text, format_description!("[year]-[month]-[day]")).map(|day| day.midnight().assume_utc())
    };
    let moment = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| day());
    let moment = moment.ok().and_then(|at| at.checked_to_offset(UtcOffset::UTC));
    moment.ok_or_else(|| "not a time such as 2026-11-21 or 2026-11-21T12:00:00Z".to_owned())
}

/// Text that fits, with an ellipsis where something is missing.
pub(super) fn clipped(text: &str, width: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A table with a note under each row that has one.
pub(super) fn lines<const COLUMNS: usize>(rows: &[[String; COLUMNS]], notes: &[Option<String>]) -> String {
    let mut text = String::new();
    for (line, note) in report::table(rows, &[]).lines().zip(notes) {
        text.push_str(&clipped(line, WIDTH));
        text.push('\n');
        if let Some(note) = note {
            text.push_str(&clipped(&format!("    {note}"), WIDTH));
            text.push('\n');
        }
    }
    text
}

/// Names and values; those without a value are left out.
pub(super) fn fields(facts: &[(&str, String)]) -> String {
    let rows: Vec<_> = facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| [(*name).to_owned(), value.clone()])
        .collect();
    report::table(&rows, &[])
}

/// Waits until something came of each of these jobs, and tells what: done, or failed and tried again later, or given
/// up.
pub(super) async fn follow(
    operations: &Operations,
    jobs: &[JobId],
    no_wait: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if !no_wait {
        wait(operations, jobs).await?;
    }
    let (mut done, mut dead) = (0_usize, 0_usize);
    let mut out = std::io::stdout().lock();
    for part in jobs.chunks(LOOKED_AT_ONCE) {
        for job in operations.jobs_by_id(part).await? {
            done += usize::from(job.state == JobState::Done);
            dead += usize::from(job.state == JobState::Dead);
            if json {
                writeln!(out, "{}", line(&job))?;
            }
        }
    }
    if no_wait {
        return Ok(ExitCode::SUCCESS);
    }
    let open = jobs.len() - done - dead;
    if !json {
        writeln!(out, "{done} done, {open} failed and tried again later, {dead} given up")?;
    }
    Ok(if open + dead == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn wait(operations: &Operations, jobs: &[JobId]) -> anyhow::Result<()> {
    let bar = ProgressBar::new(jobs.len() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left")?);
    let (mut last, mut moved) = (u64::MAX, Instant::now());
    loop {
        let mut open = 0;
        for part in jobs.chunks(LOOKED_AT_ONCE) {
            open += operations.still_open(part).await?;
        }
        bar.set_position(jobs.len() as u64 - open);
        if open == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if open != last {
            (last, moved) = (open, Instant::now());
        }
        anyhow::ensure!(
            moved.elapsed() < PATIENCE,
            "{open} wait, and nothing moved for {} s: does a worker run?",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What came of a job.
fn line(job: &JobView) -> serde_json::Value {
    serde_json::json!({
        "job": job.id.to_string(),
        "event": job.event,
        "state": job.state.to_string(),
        "conclusion": job.conclusion,
        "error": job.last_error.as_ref().filter(|_| job.state != JobState::Done),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_never_wider_than_a_hundred_columns() {
        let rows = [["a", "b"], ["x", "y"]].map(|row| row.map(|cell| cell.repeat(60)));
        let shown = lines(&rows, &[None, Some("why\nnot ".repeat(30))]);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
        assert!(shown.lines().nth(2).unwrap().ends_with('…'), "{shown}");
        assert_eq!(clipped("evt_1", 5), "evt_1");
    }

    #[test]
    fn a_time_is_a_day_or_a_moment() {
        assert_eq!(moment("2026-11-21"), moment("2026-11-21T00:00:00Z"));
        assert_eq!(moment("2026-11-21T01:00:00+01:00"), moment("2026-11-21"));
        for wrong in ["", "now", "2026-11-31", "2026-11-21 12:00"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
