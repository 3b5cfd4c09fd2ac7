use std::collections::BTreeSet;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{BreakView, Listed, Page, StoreError, Window};
use crate::{
    BreakId, BreakKind, BreakTotals, JobId, Mode, PaymentId, PayoutId, PayoutRecord, Run, RunId, RunTotals,
    Section, TransactionId,
};

/// What reconciliation asks of our side, beside what [`Store`](super::Store) loads and commits: where it stands, what
/// is worth a look, and what it has found. Nothing here decides anything about an order or a payment.
///
/// # What an implementor must guarantee
/// - A cursor never goes back, whoever moves it at the same time.
/// - Everything may be said again: [`Books::record_payout`], [`Books::begin`] and [`Books::finish`] replace what they
///   said of the same id before.
/// - Rows of another mode do not exist.
/// - Lists by `after` are in the order of ids, and complete: what is not on a page comes on a later one.
///
/// The contract suite in `paywright-testkit` holds an implementation to this.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Books: Send + Sync {
    /// Up to which moment a section has read the gateway's past, without a gap; `None` before its first time.
    async fn cursor(&self, mode: Mode, section: Section) -> Result<Option<OffsetDateTime>, StoreError>;
    /// Moves a section's cursor forward to `to`; one that stands there or further stays.
    async fn advance(&self, mode: Mode, section: Section, to: OffsetDateTime) -> Result<(), StoreError>;
    /// Up to `limit` payments in the order of their ids, those after `after`, that have not come to an end and have not
    /// been looked at since `asked.looked_before`. Not come to an end is a payment that
    /// - is live ([`PaymentState::is_live`](crate::PaymentState::is_live)) and whose intent or session is known,
    /// - or is captured, and its fee is not known, or `refunded` differs from `returned`,
    /// - or about which a dispute is open ([`DisputeStatus::is_open`](crate::DisputeStatus::is_open)).
    ///
    /// One without any name at the gateway has a call instead, see [`Books::abandoned_calls`].
    async fn unsettled(
        &self,
        mode: Mode,
        asked: Unsettled,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<PaymentId>, StoreError>;
    /// Remembers that these were looked at, whatever was seen; a later moment that is remembered already stays. This
    /// is no step of the payments: their versions stay.
    async fn looked(&self, payments: &[PaymentId], at: OffsetDateTime) -> Result<(), StoreError>;
    /// Up to `limit` calls in the order of their ids, those after `after`, that are recorded
    /// ([`CallState::Recorded`](crate::CallState::Recorded)) and that nobody will perform any more: their job is dead,
    /// done or gone.
    async fn abandoned_calls(
        &self,
        mode: Mode,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError>;
    /// Those of the movements of the gateway's balance that are booked
    /// ([`Journal::transaction`](crate::Journal::transaction)). At most [`PAGE_MAX`] are asked for at once.
    async fn booked(
        &self,
        mode: Mode,
        transactions: &[TransactionId],
    ) -> Result<BTreeSet<TransactionId>, StoreError>;
    /// Keeps a payout as it is known now, in place of what was known of it; what was seen earlier than that (by
    /// `seen_at`) changes nothing.
    async fn record_payout(&self, record: &PayoutRecord) -> Result<(), StoreError>;
    /// A payout that was recorded.
    async fn payout(&self, mode: Mode, id: &PayoutId) -> Result<Option<PayoutRecord>, StoreError>;
    /// Recorded payouts, the newest made first (of one moment, the greater id first), those after one of them.
    async fn list_payouts(
        &self,
        mode: Mode,
        limit: u32,
        after: Option<PayoutId>,
    ) -> Result<Listed<PayoutRecord>, StoreError>;
    /// Keeps a run that begins. Runs of its mode that still are [`RunState::Running`](crate::RunState::Running) and
    /// began [`RUN_DEAD_AFTER`] or more before it have died: they are ended as
    /// [`RunState::Failed`](crate::RunState::Failed), with an error that says so.
    async fn begin(&self, run: &Run) -> Result<(), StoreError>;
    /// Keeps how a run stands, while it is under way and when it has ended.
    async fn finish(&self, run: &Run) -> Result<(), StoreError>;
    /// A run.
    async fn run(&self, mode: Mode, id: RunId) -> Result<Option<Run>, StoreError>;
    /// Runs, newest first.
    async fn list_runs(&self, mode: Mode, page: Page<RunId>) -> Result<Listed<Run>, StoreError>;
    /// The runs that began within a time and have ended, summed up.
    async fn run_totals(&self, mode: Mode, window: Window) -> Result<RunTotals, StoreError>;
    /// The differences of a time: open at its end are those found before it and not resolved before it.
    async fn break_totals(&self, mode: Mode, window: Window) -> Result<BreakTotals, StoreError>;
    /// Up to `limit` breaks of a kind that are open, in the order of their ids, those after `after`.
    async fn open_breaks(
        &self,
        mode: Mode,
        kind: BreakKind,
        after: Option<BreakId>,
        limit: u32,
    ) -> Result<Vec<BreakView>, StoreError>;
}

/// The most that is asked for at once.
pub const PAGE_MAX: u32 = 100;

/// A run that began so long ago and has not ended has died: no run takes so long.
pub const RUN_DEAD_AFTER: time::Duration = time::Duration::HOUR;

/// Which of the payments that have not come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// Started within this time.
    pub started: Window,
    /// Not looked at since then; one that was never looked at counts by when it was started.
    pub looked_before: OffsetDateTime,
}
