use paywright_domain::{BreakTotals, Counts, Money, RunTotals, Statement};
use serde::Serialize;
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;

use super::{reconciliation::SectionJson, rfc3339};
use crate::http::openapi::words;

/// What reconciliation came to on a day in UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub struct StatementJson {
    #[schema(schema_with = words::statement)]
    object: &'static str,
    #[schema(format = "date", examples("2026-11-21"))]
    day: String,
    /// The same in words, for people.
    summary: String,
    /// Looked at.
    compared: u64,
    /// The same on both sides.
    matched: u64,
    /// Different, and the same now.
    repaired: u64,
    /// Could not be compared when a run tried.
    unknown: u64,
    /// Each part, all runs of the day together.
    sections: Vec<SectionJson>,
    runs: StatementRunsJson,
    breaks: StatementBreaksJson,
}

/// How many runs of the day ended, and how.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementRuns)]
struct StatementRunsJson {
    /// Compared everything.
    done: u64,
    /// Did not.
    incomplete: u64,
    /// Stopped.
    failed: u64,
}

/// The breaks of the day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementBreaks)]
struct StatementBreaksJson {
    /// Open at its end, or now if it has not ended.
    open: u64,
    /// When the oldest of those was found.
    #[schema(required, format = DateTime)]
    oldest_found_at: Option<String>,
    /// How old that one is at the end of the day, or now.
    #[schema(required, minimum = 0)]
    oldest_age_seconds: Option<i64>,
    /// Found on the day.
    opened: u64,
    /// Resolved on the day.
    resolved: u64,
    /// How much money is in the wrong place, one sum a currency.
    at_risk: Vec<AtRiskJson>,
}

/// Money in the wrong place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AtRisk)]
struct AtRiskJson {
    /// In minor units.
    amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
}

impl StatementJson {
    /// The statement as it is read at `now`.
    pub fn new(day: Date, statement: &Statement, now: OffsetDateTime) -> Self {
        let Statement { window, runs, breaks } = statement;
        let total = runs.counts.values().fold(Counts::default(), |mut total, counts| {
            total.add(counts);
            total
        });
        Self {
            object: "statement",
            day: day.to_string(),
            summary: summary(statement, now),
            compared: total.compared,
            matched: total.matched,
            repaired: total.repaired,
            unknown: total.unknown,
            sections: SectionJson::all(&runs.counts),
            runs: StatementRunsJson::new(runs),
            breaks: StatementBreaksJson::new(breaks, now.min(window.before)),
        }
    }

    /// The same in words.
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

impl StatementRunsJson {
    fn new(runs: &RunTotals) -> Self {
        Self { done: runs.done, incomplete: runs.incomplete, failed: runs.failed }
    }
}

impl StatementBreaksJson {
    fn new(breaks: &BreakTotals, at: OffsetDateTime) -> Self {
        Self {
            open: breaks.open,
            oldest_found_at: breaks.oldest.map(rfc3339),
            oldest_age_seconds: breaks.oldest.map(|oldest| (at - oldest).whole_seconds().max(0)),
            opened: breaks.opened,
            resolved: breaks.resolved,
            at_risk: breaks.at_risk.iter().map(AtRiskJson::new).collect(),
        }
    }
}

impl AtRiskJson {
    fn new(amount: &Money) -> Self {
        Self { amount: amount.minor(), currency: amount.currency().to_string() }
    }
}

/// A statement in one sentence: `1204 compared, 1203 matched, 1 open break, the oldest for 2 h, at risk: 19.99 USD`.
fn summary(statement: &Statement, now: OffsetDateTime) -> String {
    let Statement { window, runs, breaks } = statement;
    let sum = |count: fn(&Counts) -> u64| runs.counts.values().map(count).sum::<u64>();
    let mut text = format!("{} compared, {} matched", sum(|one| one.compared), sum(|one| one.matched));
    for (count, word) in [
        (sum(|one| one.repaired), "repaired"),
        (sum(|one| one.unknown), "could not be compared"),
        (sum(|one| one.foreign), "not ours"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    match (breaks.open, breaks.oldest) {
        (0, _) => text.push_str("; no open breaks"),
        (1, Some(oldest)) => {
            text.push_str(&format!("; 1 open break, for {}", age(now.min(window.before) - oldest)));
        }
        (open, Some(oldest)) => {
            let age = age(now.min(window.before) - oldest);
            text.push_str(&format!("; {open} open breaks, the oldest for {age}"));
        }
        (open, None) => text.push_str(&format!("; {open} open breaks")),
    }
    if !breaks.at_risk.is_empty() {
        let sums: Vec<_> = breaks.at_risk.iter().map(ToString::to_string).collect();
        text.push_str(&format!("; at risk: {}", sums.join(", ")));
    }
    text
}

/// As people say it, in the greatest unit of which there are two or more.
pub fn age(age: time::Duration) -> String {
    let seconds = age.whole_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use paywright_domain::{Section, ports::Window};
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn statement(counts: Counts, breaks: BreakTotals) -> Statement {
        let window =
            Window { from: datetime!(2026-11-21 00:00 UTC), before: datetime!(2026-11-22 00:00 UTC) };
        let counts = BTreeMap::from([(Section::Gateway, counts.clone()), (Section::Books, counts)]);
        Statement { window, runs: RunTotals { counts, ..RunTotals::default() }, breaks }
    }

    #[test]
    fn a_statement_reads_as_a_sentence() {
        let counts = Counts { compared: 600, matched: 600, ..Counts::default() };
        let clean = statement(counts, BreakTotals::default());
        assert_eq!(summary(&clean, NOON), "1200 compared, 1200 matched; no open breaks");

        let counts =
            Counts { compared: 9, matched: 5, repaired: 2, unknown: 1, foreign: 1, ..Counts::default() };
        let money = |minor, currency: &str| Money::from_minor(minor, currency.parse().unwrap()).unwrap();
        let breaks = BreakTotals {
            open: 2,
            oldest: Some(datetime!(2026-11-21 09:00 UTC)),
            at_risk: vec![money(500, "jpy"), money(1999, "usd")],
            ..BreakTotals::default()
        };
        assert_eq!(
            summary(&statement(counts, breaks), NOON),
            "18 compared, 10 matched, 4 repaired, 2 could not be compared, 2 not ours; 2 open breaks, the oldest for \
             3 h; at risk: 500 JPY, 19.99 USD"
        );
    }

    #[test]
    fn of_a_day_that_is_over_its_end_counts() {
        let oldest = Some(datetime!(2026-11-21 23:59 UTC));
        let breaks = BreakTotals { open: 1, oldest, ..BreakTotals::default() };
        let later = datetime!(2026-12-24 00:00 UTC);
        let shown = StatementJson::new(NOON.date(), &statement(Counts::default(), breaks), later);
        assert_eq!((shown.breaks.oldest_age_seconds, shown.day.as_str()), (Some(60), "2026-11-21"));
        assert_eq!(shown.summary, "0 compared, 0 matched; 1 open break, for 60 s");
    }

    #[test]
    fn an_age_is_said_in_its_greatest_unit() {
        for (seconds, said) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h")]
        {
            assert_eq!(age(time::Duration::seconds(seconds)), said);
        }
        assert_eq!(age(time::Duration::days(2)), "2 days");
    }
}
