//! What a reconciliation is and what it comes to: runs, counts, payouts and what they are made of, the statement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use crate::{Mode, Money, RunId, ports::Payout, ports::Window};

/// A part of a reconciliation. Each can run alone.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// The gateway's events that no webhook brought.
    CatchUp,
    /// Our payments, refunds, disputes and calls that have not come to an end.
    Local,
    /// The gateway's payments, refunds and disputes.
    Gateway,
    /// The movements of the gateway's balance, and its payouts.
    Books,
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Trigger {
    /// The worker's schedule.
    Schedule,
    /// A client of the API.
    Api,
    /// Somebody at the command line.
    Command,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// Under way, or its process died.
    Running,
    /// Everything was compared.
    Done,
    /// Something could not be compared, or there was too much for one run: the next one goes on.
    Incomplete,
    /// It stopped; the error says why. The next one begins where this one stopped.
    Failed,
}

/// One reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// Test or live.
    pub mode: Mode,
    /// Who asked for it.
    pub trigger: Trigger,
    /// As far back as it was asked to look, if it was asked to look further back than its cursors stand.
    pub since: Option<OffsetDateTime>,
    /// How it stands.
    pub state: RunState,
    /// What each of its sections came to, as far as they have come.
    pub counts: BTreeMap<Section, Counts>,
    /// Differences that were found meanwhile, by this run or beside it.
    pub opened: u64,
    /// Differences that were explained meanwhile, by this run or beside it.
    pub resolved: u64,
    /// Why it stopped.
    pub error: Option<String>,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
}

/// What a section came to. Everything that was compared is matched, repaired, a difference, foreign or unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Looked at.
    pub compared: u64,
    /// The same on both sides.
    pub matched: u64,
    /// Different, and the same now: the gateway told, and we learned.
    pub repaired: u64,
    /// Of those that were repaired, the ones that were not here at all.
    pub adopted: u64,
    /// Different, and no rule explains it: a break.
    pub broken: u64,
    /// Not ours: the account has other uses.
    pub foreign: u64,
    /// Could not be compared now; the next run tries again.
    pub unknown: u64,
    /// Movements of the balance that are not ours, by the gateway's word for their kind.
    pub foreign_kinds: BTreeMap<String, u64>,
    /// Why something could not be compared: the first few reasons.
    pub problems: Vec<String>,
    /// Whether there was too much for one run: the next one goes on where this one stopped.
    pub more: bool,
}

impl Counts {
    /// How many reasons are kept.
    pub const PROBLEMS_KEPT: usize = 20;

    /// Counts something that could not be compared.
    pub fn problem(&mut self, what: &str, why: &dyn std::fmt::Display) {
        self.unknown += 1;
        self.note(what, why);
    }

    /// Keeps a reason why there may be more than was compared.
    pub fn note(&mut self, what: &str, why: &dyn std::fmt::Display) {
        if self.problems.len() < Self::PROBLEMS_KEPT {
            self.problems.push(format!("{what}: {why}"));
        }
    }

    /// Whether everything was compared.
    pub fn is_complete(&self) -> bool {
        self.unknown == 0 && self.problems.is_empty() && !self.more
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.compared += other.compared;
        self.matched += other.matched;
        self.repaired += other.repaired;
        self.adopted += other.adopted;
        self.broken += other.broken;
        self.foreign += other.foreign;
        self.unknown += other.unknown;
        for (kind, count) in &other.foreign_kinds {
            *self.foreign_kinds.entry(kind.clone()).or_default() += count;
        }
        let room = Self::PROBLEMS_KEPT.saturating_sub(self.problems.len());
        self.problems.extend(other.problems.iter().take(room).cloned());
        self.more |= other.more;
    }
}

/// A payout, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutRecord {
    /// Test or live.
    pub mode: Mode,
    /// As the gateway shows it.
    pub payout: Payout,
    /// What it paid out, by kind. Nothing as long as it was not looked into: it is not paid yet, or was made by hand.
    pub parts: Vec<PayoutPart>,
    /// Its amount less what it is made of, in minor units; anything but zero is a break. `None`: it was not looked
    /// into.
    pub remainder: Option<i64>,
    /// When it was looked at last.
    pub seen_at: OffsetDateTime,
}

impl PayoutRecord {
    /// Whether it is explained to the cent.
    pub fn is_explained(&self) -> bool {
        self.remainder == Some(0)
    }
}

/// The movements of one kind in a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutPart {
    /// The gateway's word for the kind: `charge`, `refund`, `adjustment`. Any other may come.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Their sum before fees, in minor units of the payout's currency; negative when it leaves the balance.
    pub amount: i64,
    /// What the gateway kept of them. They added `amount - fee` to the payout.
    pub fee: i64,
}

/// The differences of a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakTotals {
    /// Open at its end.
    pub open: u64,
    /// When the oldest of those was found.
    pub oldest: Option<OffsetDateTime>,
    /// How much money they hold, one sum a currency, by the currency's code.
    pub at_risk: Vec<Money>,
    /// Found, or found again, within it.
    pub opened: u64,
    /// Explained within it.
    pub resolved: u64,
}

/// The finished runs of a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// How many compared everything.
    pub done: u64,
    /// How many did not.
    pub incomplete: u64,
    /// How many stopped.
    pub failed: u64,
    /// The sums of their counts.
    pub counts: BTreeMap<Section, Counts>,
}

/// What reconciliation came to over a time: a day, for example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The time.
    pub window: Window,
    /// Its runs.
    pub runs: RunTotals,
    /// Its differences.
    pub breaks: BreakTotals,
}
