use std::{io::Write as _, process::ExitCode};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use paywright_domain::{
    Counts, Run, RunState, Section, Trigger,
    ports::{BreakView, Page, Reader as _},
    usecase::Ask,
};
use serde_json::json;
use strum::IntoEnumIterator as _;
use time::{
    Date, Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339,
    macros::format_description,
};

use super::serve;
use crate::{
    config::Settings,
    http::present::{RunJson, StatementJson, age},
    reconcile,
    wiring::App,
};

/// Some breaks are open.
const BREAKS_OPEN: u8 = 2;
/// The most open breaks that are shown.
const SHOWN: u32 = 10;

/// `paywright reconcile`
#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// Look back at least so far: `72h`, `3d`, `2026-11-18`, `2026-11-18T12:00:00Z`; by default to where the runs before
    /// have come.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only this part, of catch_up, local, gateway and books; may be given several times.
    #[arg(long, value_name = "SECTION", value_parser = section)]
    section: Vec<Section>,
    /// Compare nothing: only show the day's statement.
    #[arg(long, conflicts_with_all = ["since", "section"])]
    statement: bool,
    /// The day of the statement in UTC, `2026-11-21`; by default today.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "statement")]
    day: Option<Date>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How far to look back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(OffsetDateTime),
}

impl Since {
    fn moment(self, now: OffsetDateTime) -> anyhow::Result<OffsetDateTime> {
        let at = match self {
            Self::Ago(duration) => now.checked_sub(duration),
            Self::At(at) => Some(at),
        };
        at.filter(|at| *at <= now).ok_or_else(|| anyhow::anyhow!("--since must be in the past"))
    }
}

fn since(text: &str) -> Result<Since, String> {
    let wrong = || "not a time such as 72h, 3d, 2026-11-18 or 2026-11-18T12:00:00Z".to_owned();
    if let Ok(day) = date(text) {
        return Ok(Since::At(day.midnight().assume_offset(UtcOffset::UTC)));
    }
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return at.checked_to_offset(UtcOffset::UTC).map(Since::At).ok_or_else(wrong);
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Since::Ago(Duration::seconds(i64::from(number) * seconds)))
}

fn section(text: &str) -> Result<Section, String> {
    let all: Vec<_> = Section::iter().map(<&str>::from).collect();
    text.parse().map_err(|_| format!("not one of {}", all.join(", ")))
}

fn date(text: &str) -> Result<Date, String> {
    let format = format_description!("[year]-[month]-[day]");
    Date::parse(text, format).map_err(|_| "not a day such as 2026-11-21".to_owned())
}

impl Reconcile {
    pub(crate) async fn run(self, mut settings: Settings) -> anyhow::Result<ExitCode> {
        // Somebody waits for it to be through.
        settings.reconciliation.asks_max = u32::MAX;
        let store = serve::prepared(&settings).await?;
        let public_url = settings.http.public_url.clone().unwrap_or_default();
        let app = App::new(settings, store, public_url)?;
        let run = if self.statement { None } else { Some(self.compare(&app).await?) };
        let code = self.tell(&app, run.as_ref()).await?;
        app.store.close().await;
        match run {
            Some(run) => judge(&run).map(|()| code),
            None => Ok(code),
        }
    }

    async fn compare(&self, app: &App) -> anyhow::Result<Run> {
        let since = self.since.map(|since| since.moment(app.ports.clock.now())).transpose()?;
        let everything = reconcile::ask(app, Trigger::Command, since);
        let ask = match self.section.is_empty() {
            true => everything,
            false => Ask { sections: self.section.clone(), ..everything },
        };
        let progress = Progress::new();
        let run = reconcile::run(app, ask, &|section, counts| progress.show(section, counts)).await;
        progress.end();
        Ok(run?)
    }

    /// Prints what it came to, and says by the code whether breaks are open.
    async fn tell(&self, app: &App, run: Option<&Run>) -> anyhow::Result<ExitCode> {
        let now = app.ports.clock.now();
        let day = self.day.unwrap_or(now.date());
        let statement = app.reconcile.statement(reconcile::day(day)).await?;
        let shown = StatementJson::new(day, &statement, now);
        let mut out = std::io::stdout().lock();
        if self.json {
            let told = match run {
                Some(run) => json!({"run": RunJson::from(run), "statement": shown}),
                None => json!(shown),
            };
            writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
        } else {
            if let Some(run) = run {
                writeln!(out, "{}", in_words(run))?;
            }
            writeln!(out, "{day}: {}", shown.summary())?;
            // The breaks of another day may be resolved by now, and those of today are not its.
            if day == now.date() {
                let page = Page { after: None, limit: SHOWN };
                let open = app.store.list_breaks(app.settings.mode, Some(true), page).await?;
                for found in &open.rows {
                    writeln!(out, "  {}", in_line(found, now))?;
                }
                if open.has_more {
                    writeln!(out, "  and more: GET /v1/breaks?open=true")?;
                }
            }
        }
        let open = statement.breaks.open > 0;
        Ok(if open { ExitCode::from(BREAKS_OPEN) } else { ExitCode::SUCCESS })
    }
}

/// What was not compared is not known to be right.
fn judge(run: &Run) -> anyhow::Result<()> {
    let first = run.counts.values().find_map(|counts| counts.problems.first());
    match (run.state, &run.error, first) {
        (RunState::Done, ..) => Ok(()),
        (_, Some(error), _) => Err(anyhow::anyhow!("the reconciliation stopped: {error}")),
        (_, None, Some(problem)) => Err(anyhow::anyhow!("not everything could be compared: {problem}")),
        (_, None, None) => Err(anyhow::anyhow!("not everything was compared; run it again")),
    }
}

/// A run, one line a section, with what could not be compared.
fn in_words(run: &Run) -> String {
    let mut text = String::new();
    for (section, counts) in &run.counts {
        text.push_str(&format!("{:<9} {}\n", section.to_string(), numbers(counts)));
        for problem in &counts.problems {
            text.push_str(&format!("          {problem}\n"));
        }
    }
    let took =
        run.finished_at.map_or_else(String::new, |end| format!(" after {}", age(end - run.started_at)));
    let (opened, resolved) = (run.opened, run.resolved);
    text.push_str(&format!("{} {}{took}; breaks: {opened} found, {resolved} resolved\n", run.id, run.state));
    text
}

/// The numbers that are not zero; those that are always of interest in any case.
fn numbers(counts: &Counts) -> String {
    let mut text = format!("{} compared, {} matched", counts.compared, counts.matched);
    for (count, word) in [
        (counts.repaired, "repaired"),
        (counts.adopted, "of them new here"),
        (counts.broken, "broken"),
        (counts.foreign, "not ours"),
        (counts.unknown, "could not be compared"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    text
}

fn in_line(found: &BreakView, now: OffsetDateTime) -> String {
    let risk = found.at_risk.map_or_else(String::new, |amount| format!(", {amount} at risk"));
    format!("{} {}, for {}{risk}: {}", found.id, found.kind, age(now - found.found_at), found.detail)
}

/// What is going on, on a terminal; silent elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner().with_message("looking");
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self(bar)
    }

    fn show(&self, section: Section, counts: &Counts) {
        self.0.set_message(format!("{section}: {}", numbers(counts)));
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use paywright_domain::{Mode, RunId};
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    #[test]
    fn a_time_is_read_as_people_write_it() {
        for (text, at) in [
            ("72h", datetime!(2026-11-18 12:00 UTC)),
            ("3d", datetime!(2026-11-18 12:00 UTC)),
            ("90m", datetime!(2026-11-21 10:30 UTC)),
            ("2026-11-18", datetime!(2026-11-18 00:00 UTC)),
            ("2026-11-18T02:00:00+02:00", datetime!(2026-11-18 00:00 UTC)),
        ] {
            assert_eq!(since(text).unwrap().moment(NOON).unwrap(), at, "{text}");
        }
        for wrong in ["", "h", "72", "-3d", "3 days", "2026-11-31", "yesterday", "é", "99999999999h"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        assert!(since("2026-11-22").unwrap().moment(NOON).is_err());
        assert_eq!(since("0m").unwrap().moment(NOON).unwrap(), NOON);
    }

    #[test]
    fn a_section_is_named_as_it_is_shown() {
        for one in Section::iter() {
            assert_eq!(section(&one.to_string()), Ok(one));
        }
        assert_eq!(section("all").unwrap_err(), "not one of catch_up, local, gateway, books");
    }

    fn run(state: RunState, error: Option<&str>, counts: Counts) -> Run {
        Run {
            id: RunId::from_uuid(uuid::Uuid::nil()),
            mode: Mode::Test,
            trigger: Trigger::Command,
            since: None,
            state,
            counts: BTreeMap::from([(Section::CatchUp, counts)]),
            opened: 1,
            resolved: 0,
            error: error.map(str::to_owned),
            started_at: NOON,
            finished_at: Some(NOON + Duration::seconds(9)),
        }
    }

    #[test]
    fn what_was_not_compared_is_no_success() {
        let mut counts = Counts { compared: 3, matched: 1, repaired: 1, adopted: 1, ..Counts::default() };
        let done = run(RunState::Done, None, counts.clone());
        assert!(judge(&done).is_ok());
        assert_eq!(
            in_words(&done),
            "catch_up  3 compared, 1 matched, 1 repaired, 1 of them new here\n\
             run_00000000000000000000000000 done after 9 s; breaks: 1 found, 0 resolved\n"
        );
        let complaint = |run: &Run| judge(run).unwrap_err().to_string();
        let stopped = run(RunState::Failed, Some("books: the store is not available"), counts.clone());
        assert_eq!(complaint(&stopped), "the reconciliation stopped: books: the store is not available");
        let too_much = run(RunState::Incomplete, None, counts.clone());
        assert_eq!(complaint(&too_much), "not everything was compared; run it again");
        counts.problem("pi_1", &"no answer");
        let partly = run(RunState::Incomplete, None, counts);
        assert_eq!(complaint(&partly), "not everything could be compared: pi_1: no answer");
        assert!(in_words(&partly).contains("1 could not be compared\n          pi_1: no answer\n"));
    }
}
