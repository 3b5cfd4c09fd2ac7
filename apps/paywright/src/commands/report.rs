use std::io::Write as _;

use clap::{Args, Subcommand};
use paywright_domain::{
    Currency, Money, OrderId,
    ports::{Booked, Reader as _, Store as _},
};
use time::{Date, macros::format_description};

use crate::{
    config::Settings,
    http::present::{DayReportJson, OrderReportJson, rfc3339},
    report::{Day, Sums, csv, difference},
    wiring,
};

/// `paywright report ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// Every movement of an order's money, and the sums.
    Order {
        /// Its id, `ord_...`.
        id: OrderId,
        #[command(flatten)]
        form: Form,
    },
    /// The sums of a day; as CSV all of its lines.
    Day {
        /// The day in UTC, `2026-11-21`.
        #[arg(value_parser = date)]
        date: Date,
        #[command(flatten)]
        form: Form,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Form {
    /// As CSV: the lines, without the sums.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

fn date(text: &str) -> Result<Date, String> {
    let format = format_description!("[year]-[month]-[day]");
    Date::parse(text, format).map_err(|_| "not a day such as 2026-11-21".to_owned())
}

impl Report {
    pub(crate) async fn run(self, settings: Settings) -> anyhow::Result<()> {
        let (store, mode) = (wiring::connect(&settings).await?, settings.mode);
        let mut out = std::io::stdout().lock();
        match self {
            Self::Order { id, form } => {
                let order = store.order(id).await?.filter(|order| order.mode == mode);
                anyhow::ensure!(order.is_some(), "no such order in {mode} mode");
                let lines = store.ledger_of_order(id).await?;
                let sums = Sums::of(&lines);
                if form.csv {
                    out.write_all(&csv(&lines, true)?)?;
                } else if form.json {
                    let report = OrderReportJson::new(mode, id, &lines, &sums);
                    writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
                } else {
                    writeln!(out, "{}\n{}", entries(&lines), totals(&sums))?;
                }
            }
            Self::Day { date, form } => {
                let mut day = Day::new(store, mode, date);
                if form.csv {
                    let mut first = true;
                    while let Some(lines) = day.next().await? {
                        out.write_all(&csv(&lines, std::mem::take(&mut first))?)?;
                    }
                    return Ok(());
                }
                let sums = day.sums().await?;
                if form.json {
                    let report = DayReportJson::new(mode, date, &sums);
                    writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
                } else {
                    let (movements, lines) = (sums.movements(), sums.entries());
                    writeln!(out, "{date}: {movements} movements in {lines} lines\n\n{}", totals(&sums))?;
                }
            }
        }
        Ok(())
    }
}

/// The lines of an order.
fn entries(lines: &[Booked]) -> String {
    let mut rows = vec![["date", "movement", "debit", "credit", "amount", "transaction"].map(str::to_owned)];
    rows.extend(lines.iter().map(|line| {
        [
            rfc3339(line.at),
            line.movement.to_string(),
            line.entry.debit.to_string(),
            line.entry.credit.to_string(),
            line.entry.amount.to_string(),
            line.transaction.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]
    }));
    table(&rows, &[4])
}

/// The accounts by currency, and the proof that they are zero together.
fn totals(sums: &Sums) -> String {
    let mut rows = vec![["account", "debit", "credit", "balance"].map(str::to_owned)];
    for (currency, accounts) in sums.currencies() {
        rows.extend(accounts.iter().map(|one| {
            let amount = |minor| amount(minor, currency);
            let balance = one.debit - one.credit;
            [one.account.to_string(), amount(one.debit), amount(one.credit), amount(balance)]
        }));
        let together = amount(difference(&accounts), currency);
        rows.push(["all together".to_owned(), String::new(), String::new(), together]);
    }
    let verdict = if sums.is_balanced() { "balanced" } else { "NOT BALANCED" };
    format!("{}{verdict}", table(&rows, &[1, 2, 3]))
}

/// An amount as people write it.
fn amount(minor: i64, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    Money::from_minor(minor.unsigned_abs(), currency)
        .map_or_else(|_| minor.to_string(), |amount| format!("{sign}{amount}"))
}

/// Columns under one another; those in `right` end, rather than begin, at the same place.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]], right: &[usize]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let cell =
                if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&cell);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_one_another() {
        let rows = [["account", "balance"], ["sales", "-39.98 USD"], ["gateway_balance", "0"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        let expected =
            "account             balance\nsales            -39.98 USD\ngateway_balance           0\n";
        assert_eq!(table(&rows, &[1]), expected);
    }

    #[test]
    fn amounts_carry_their_sign_and_a_day_must_be_one() {
        let usd = "usd".parse().unwrap();
        assert_eq!((amount(-1, usd), amount(3998, usd)), ("-0.01 USD".to_owned(), "39.98 USD".to_owned()));
        assert_eq!(
            date("2026-11-21"),
            Date::from_calendar_date(2026, time::Month::November, 21).map_err(|_| String::new())
        );
        for wrong in ["2026-11-31", "yesterday", "2026-1-1", ""] {
            assert!(date(wrong).is_err(), "{wrong}");
        }
    }
}
