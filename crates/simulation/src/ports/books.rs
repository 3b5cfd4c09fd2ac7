//! What reconciliation keeps, as a process reaches it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use paywright_domain::{
    BreakId, BreakKind, BreakTotals, JobId, Mode, PaymentId, PayoutId, PayoutRecord, Run, RunId, RunTotals,
    Section, TransactionId,
    ports::{Books, BreakView, Listed, Page, StoreError, Unsettled, Window},
};
use time::OffsetDateTime;

use super::{Line, through};

#[async_trait]
impl Books for Line {
    async fn cursor(&self, mode: Mode, section: Section) -> Result<Option<OffsetDateTime>, StoreError> {
        through!(self, "books", self.world.rows.cursor(mode, section))
    }

    async fn advance(&self, mode: Mode, section: Section, to: OffsetDateTime) -> Result<(), StoreError> {
        let to = self.world.knobs.bug.map_or(to, |bug| bug.advance(to, self));
        through!(self, "books", self.world.rows.advance(mode, section, to))
    }

    async fn unsettled(
        &self,
        mode: Mode,
        asked: Unsettled,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        through!(self, "books", self.world.rows.unsettled(mode, asked, after, limit))
    }

    async fn looked(&self, payments: &[PaymentId], at: OffsetDateTime) -> Result<(), StoreError> {
        through!(self, "books", self.world.rows.looked(payments, at))
    }

    async fn abandoned_calls(
        &self,
        mode: Mode,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        through!(self, "books", self.world.rows.abandoned_calls(mode, after, limit))
    }

    async fn booked(
        &self,
        mode: Mode,
        transactions: &[TransactionId],
    ) -> Result<BTreeSet<TransactionId>, StoreError> {
        through!(self, "books", self.world.rows.booked(mode, transactions))
    }

    async fn record_payout(&self, record: &PayoutRecord) -> Result<(), StoreError> {
        through!(self, "books", self.world.rows.record_payout(record))
    }

    async fn payout(&self, mode: Mode, id: &PayoutId) -> Result<Option<PayoutRecord>, StoreError> {
        through!(self, "books", self.world.rows.payout(mode, id))
    }

    async fn list_payouts(
        &self,
        mode: Mode,
        limit: u32,
        after: Option<PayoutId>,
    ) -> Result<Listed<PayoutRecord>, StoreError> {
        through!(self, "books", self.world.rows.list_payouts(mode, limit, after))
    }

    async fn begin(&self, run: &Run) -> Result<(), StoreError> {
        through!(self, "books", self.world.rows.begin(run))
    }

    async fn finish(&self, run: &Run) -> Result<(), StoreError> {
        through!(self, "books", self.world.rows.finish(run))
    }

    async fn run(&self, mode: Mode, id: RunId) -> Result<Option<Run>, StoreError> {
        through!(self, "books", self.world.rows.run(mode, id))
    }

    async fn list_runs(&self, mode: Mode, page: Page<RunId>) -> Result<Listed<Run>, StoreError> {
        through!(self, "books", self.world.rows.list_runs(mode, page))
    }

    async fn run_totals(&self, mode: Mode, window: Window) -> Result<RunTotals, StoreError> {
        through!(self, "books", self.world.rows.run_totals(mode, window))
    }

    async fn break_totals(&self, mode: Mode, window: Window) -> Result<BreakTotals, StoreError> {
        through!(self, "books", self.world.rows.break_totals(mode, window))
    }

    async fn open_breaks(
        &self,
        mode: Mode,
        kind: BreakKind,
        after: Option<BreakId>,
        limit: u32,
    ) -> Result<Vec<BreakView>, StoreError> {
        through!(self, "books", Books::open_breaks(&*self.world.rows, mode, kind, after, limit))
    }
}
