//! Runs of reconciliation, payouts, and sums of both.

use std::collections::BTreeMap;

use paywright_domain::{
    BreakTotals, Counts, Currency, Id, Money, PayoutRecord, Run, RunTotals, Section,
    ports::{Payout, StoreError},
};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Reading;

/// A run.
pub(crate) struct RunRow {
    pub(crate) id: Uuid,
    pub(crate) mode: String,
    pub(crate) trigger: String,
    pub(crate) since: Option<OffsetDateTime>,
    pub(crate) state: String,
    pub(crate) counts: Value,
    pub(crate) opened: i64,
    pub(crate) resolved: i64,
    pub(crate) error: Option<String>,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) finished_at: Option<OffsetDateTime>,
}

impl RunRow {
    pub(crate) fn run(self) -> Result<Run, StoreError> {
        let row = Reading { table: "reconciliation_runs", id: self.id };
        Ok(Run {
            id: Id::from_uuid(self.id),
            mode: row.word("mode", &self.mode)?,
            trigger: row.word("trigger", &self.trigger)?,
            since: self.since,
            state: row.word("state", &self.state)?,
            counts: row.json("counts", self.counts)?,
            opened: row.number("opened", self.opened)?,
            resolved: row.number("resolved", self.resolved)?,
            error: self.error,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}

/// The runs of one state.
pub(crate) struct RunsRow {
    pub(crate) done: i64,
    pub(crate) incomplete: i64,
    pub(crate) failed: i64,
    pub(crate) counts: Vec<Value>,
}

impl RunsRow {
    pub(crate) fn totals(self) -> Result<RunTotals, StoreError> {
        let row = Reading { table: "reconciliation_runs", id: "of a time" };
        let mut totals = RunTotals {
            done: row.number("state", self.done)?,
            incomplete: row.number("state", self.incomplete)?,
            failed: row.number("state", self.failed)?,
            counts: BTreeMap::new(),
        };
        for counts in self.counts {
            let counts: BTreeMap<Section, Counts> = row.json("counts", counts)?;
            for (section, counts) in counts {
                totals.counts.entry(section).or_default().add(&counts);
            }
        }
        Ok(totals)
    }
}

/// The differences of a time.
pub(crate) struct BreaksRow {
    pub(crate) open: i64,
    pub(crate) oldest: Option<OffsetDateTime>,
    pub(crate) opened: i64,
    pub(crate) resolved: i64,
    pub(crate) at_risk: Vec<i64>,
    pub(crate) currencies: Vec<String>,
}

impl BreaksRow {
    pub(crate) fn totals(self) -> Result<BreakTotals, StoreError> {
        let row = Reading { table: "breaks", id: "of a time" };
        let money = |(minor, currency): (i64, String)| {
            let currency: Currency = row.word("at_risk_currency", &currency)?;
            row.money("at_risk", minor, currency)
        };
        let at_risk: Vec<Money> =
            self.at_risk.into_iter().zip(self.currencies).map(money).collect::<Result<_, _>>()?;
        Ok(BreakTotals {
            open: row.number("id", self.open)?,
            oldest: self.oldest,
            at_risk,
            opened: row.number("found_at", self.opened)?,
            resolved: row.number("resolved_at", self.resolved)?,
        })
    }
}

/// A payout.
pub(crate) struct PayoutRow {
    pub(crate) id: String,
    pub(crate) mode: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) taken: bool,
    pub(crate) status: String,
    pub(crate) automatic: bool,
    pub(crate) parts: Value,
    pub(crate) remainder: Option<i64>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) arrives_at: OffsetDateTime,
    pub(crate) seen_at: OffsetDateTime,
}

impl PayoutRow {
    pub(crate) fn record(self) -> Result<PayoutRecord, StoreError> {
        let row = Reading { table: "payouts", id: &self.id };
        let currency: Currency = row.word("currency", &self.currency)?;
        Ok(PayoutRecord {
            mode: row.word("mode", &self.mode)?,
            parts: row.json("parts", self.parts)?,
            remainder: self.remainder,
            seen_at: self.seen_at,
            payout: Payout {
                amount: row.money("amount", self.amount, currency)?,
                id: self.id.clone().try_into().map_err(|_| row.impossible("id"))?,
                taken: self.taken,
                status: self.status,
                automatic: self.automatic,
                created_at: self.created_at,
                arrives_at: self.arrives_at,
            },
        })
    }
}
