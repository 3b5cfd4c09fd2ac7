//! What was measured, as Markdown: the median of the runs, each row beside the limit that the same runs measured.

use std::fmt::Write as _;

/// One run of one row. Times in microseconds; what cannot be told is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) per_second: Option<u64>,
    pub(crate) p50: Option<u64>,
    pub(crate) p99: Option<u64>,
    /// Of a core, for each: the server or the worker, PostgreSQL, and this process.
    pub(crate) ours: Option<u64>,
    pub(crate) postgres: Option<u64>,
    pub(crate) load: Option<u64>,
}

/// The rows, in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    facts: Vec<Fact>,
}

struct Row {
    name: String,
    limits: Vec<String>,
    aim: &'static str,
    samples: Vec<Sample>,
}

/// Something else than a rate.
struct Fact {
    name: String,
    unit: &'static str,
    aim: &'static str,
    values: Vec<u64>,
}

impl Table {
    /// Adds a run; `limits` are the names of the rows of which the fastest is its limit.
    pub(crate) fn add(&mut self, name: &str, limits: &[&str], aim: &'static str, sample: Sample) {
        eprintln!("{name}: {}", line(&sample));
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.samples.push(sample),
            None => {
                let limits = limits.iter().map(|limit| (*limit).to_owned()).collect();
                self.rows.push(Row { name: name.to_owned(), limits, aim, samples: vec![sample] });
            }
        }
    }

    /// Adds a run of something that is one number.
    pub(crate) fn fact(&mut self, name: &str, unit: &'static str, aim: &'static str, value: u64) {
        eprintln!("{name}: {value} {unit}");
        match self.facts.iter_mut().find(|fact| fact.name == name) {
            Some(fact) => fact.values.push(value),
            None => self.facts.push(Fact { name: name.to_owned(), unit, aim, values: vec![value] }),
        }
    }

    /// The whole as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text =
            "| what | per second | p50 ms | p99 ms | us of a core for each: ours, PostgreSQL, load | \
                        of the limit | aim |\n|---|---|---|---|---|---|---|\n"
                .to_owned();
        for row in &self.rows {
            let median = row.median();
            let limits = self.rows.iter().filter(|other| row.limits.contains(&other.name)).map(Row::median);
            let limit = limits.max_by_key(|limit| limit.per_second);
            let ratio = limit.map(|limit| of_the_limit(&median, &limit)).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {}, {}, {} | {ratio} | {} |",
                row.name,
                row.rates(),
                shown(median.p50, millis),
                shown(median.p99, millis),
                shown(median.ours, |micros| micros.to_string()),
                shown(median.postgres, |micros| micros.to_string()),
                shown(median.load, |micros| micros.to_string()),
                row.aim,
            );
        }
        if !self.facts.is_empty() {
            text.push_str("\n| what | measured | aim |\n|---|---|---|\n");
        }
        for fact in &self.facts {
            let value = median(fact.values.iter().copied()).unwrap_or_default();
            let _ = writeln!(text, "| {} | {} {} | {} |", fact.name, thousands(value), fact.unit, fact.aim);
        }
        text
    }
}

impl Row {
    fn median(&self) -> Sample {
        let of = |part: fn(&Sample) -> Option<u64>| median(self.samples.iter().filter_map(part));
        Sample {
            per_second: of(|sample| sample.per_second),
            p50: of(|sample| sample.p50),
            p99: of(|sample| sample.p99),
            ours: of(|sample| sample.ours),
            postgres: of(|sample| sample.postgres),
            load: of(|sample| sample.load),
        }
    }

    /// The median, and of several runs the lowest and the highest.
    fn rates(&self) -> String {
        let rates = || self.samples.iter().filter_map(|sample| sample.per_second);
        let median = shown(median(rates()), thousands);
        match (rates().min(), rates().max()) {
            (Some(low), Some(high)) if low < high => {
                format!("{median} ({} to {})", thousands(low), thousands(high))
            }
            _ => median,
        }
    }
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(u64::midpoint(*low, *high))
}

/// The share of the limit's rate, and how many times its slowest of a hundred.
fn of_the_limit(ours: &Sample, limit: &Sample) -> String {
    let hundredths = |(a, b): (u64, u64)| {
        let parts = a.saturating_mul(100) / b.max(1);
        format!("{}.{:02}", parts / 100, parts % 100)
    };
    let rate = ours.per_second.zip(limit.per_second).map(hundredths);
    let p99 = ours.p99.zip(limit.p99).map(hundredths).map(|times| format!("p99 {times} times"));
    rate.into_iter().chain(p99).collect::<Vec<_>>().join("; ")
}

fn line(sample: &Sample) -> String {
    format!(
        "{} a second, p50 {} ms, p99 {} ms",
        shown(sample.per_second, thousands),
        shown(sample.p50, millis),
        shown(sample.p99, millis)
    )
}

fn shown(value: Option<u64>, write: impl Fn(u64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), write)
}

/// Microseconds as milliseconds, to a tenth.
pub(crate) fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
