//! What reconciliation keeps.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use paywright_domain::{
    BreakId, BreakKind, BreakTotals, CallState, JobId, Mode, Money, Payment, PaymentId, PaymentState,
    PayoutId, PayoutRecord, Run, RunId, RunState, RunTotals, Section, TransactionId,
    ports::{Books, BreakView, Listed, Page, RUN_DEAD_AFTER, StoreError, Unsettled, Window},
};
use time::OffsetDateTime;

use super::{
    MemoryStore, page_of,
    state::{State, StoredBreak, StoredJob},
};

#[async_trait]
impl Books for MemoryStore {
    async fn cursor(&self, mode: Mode, section: Section) -> Result<Option<OffsetDateTime>, StoreError> {
        Ok(self.rows().cursors.get(&(mode.into(), section)).copied())
    }

    async fn advance(&self, mode: Mode, section: Section, to: OffsetDateTime) -> Result<(), StoreError> {
        let mut state = self.rows();
        let cursor = state.cursors.entry((mode.into(), section)).or_insert(to);
        *cursor = to.max(*cursor);
        Ok(())
    }

    async fn unsettled(
        &self,
        mode: Mode,
        asked: Unsettled,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        let state = self.rows();
        let wanted = state.payments.values().filter(|payment| {
            let looked = state.looked.get(&payment.id).copied().unwrap_or(payment.created_at);
            payment.mode == mode
                && after.is_none_or(|after| payment.id > after)
                && within(asked.started, payment.created_at)
                && looked < asked.looked_before
                && state.is_unsettled(payment)
        });
        Ok(wanted.map(|payment| payment.id).take(limit as usize).collect())
    }

    async fn looked(&self, payments: &[PaymentId], at: OffsetDateTime) -> Result<(), StoreError> {
        let mut state = self.rows();
        for id in payments {
            let looked = state.looked.entry(*id).or_insert(at);
            *looked = at.max(*looked);
        }
        Ok(())
    }

    async fn abandoned_calls(
        &self,
        mode: Mode,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let state = self.rows();
        let in_hands = |id: JobId| state.jobs.iter().any(|job| job.id == id && StoredJob::is_open(job));
        let calls = state.calls.values().filter(|call| {
            call.mode == mode
                && call.state == CallState::Recorded
                && after.is_none_or(|after| call.id > after)
                && !in_hands(call.id)
        });
        Ok(calls.map(|call| call.id).take(limit as usize).collect())
    }

    async fn booked(
        &self,
        mode: Mode,
        transactions: &[TransactionId],
    ) -> Result<BTreeSet<TransactionId>, StoreError> {
        let state = self.rows();
        let booked = state.journals.iter().filter(|journal| journal.mode == mode);
        let booked = booked.filter_map(|journal| journal.transaction.clone());
        Ok(booked.filter(|id| transactions.contains(id)).collect())
    }

    async fn record_payout(&self, record: &PayoutRecord) -> Result<(), StoreError> {
        let mut state = self.rows();
        let known = state.payouts.get(&record.payout.id);
        if known.is_none_or(|known| known.seen_at <= record.seen_at) {
            state.payouts.insert(record.payout.id.clone(), record.clone());
        }
        Ok(())
    }

    async fn payout(&self, mode: Mode, id: &PayoutId) -> Result<Option<PayoutRecord>, StoreError> {
        Ok(self.rows().payouts.get(id).filter(|record| record.mode == mode).cloned())
    }

    async fn list_payouts(
        &self,
        mode: Mode,
        limit: u32,
        after: Option<PayoutId>,
    ) -> Result<Listed<PayoutRecord>, StoreError> {
        let state = self.rows();
        let place = |record: &PayoutRecord| (record.payout.created_at, record.payout.id.clone());
        let before = after.and_then(|after| state.payouts.get(&after).map(place));
        let mut rows: Vec<_> = state.payouts.values().filter(|record| record.mode == mode).cloned().collect();
        rows.retain(|record| before.as_ref().is_none_or(|before| place(record) < *before));
        rows.sort_by_key(|record| std::cmp::Reverse(place(record)));
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Ok(Listed { rows, has_more })
    }

    async fn begin(&self, run: &Run) -> Result<(), StoreError> {
        let mut state = self.rows();
        let dead = state.runs.values_mut().filter(|other| {
            other.id != run.id
                && other.mode == run.mode
                && other.state == RunState::Running
                && run.started_at - other.started_at >= RUN_DEAD_AFTER
        });
        for other in dead {
            other.state = RunState::Failed;
            other.error = Some("its process died".to_owned());
            other.finished_at = Some(run.started_at);
        }
        state.runs.insert(run.id, run.clone());
        Ok(())
    }

    async fn finish(&self, run: &Run) -> Result<(), StoreError> {
        self.rows().runs.insert(run.id, run.clone());
        Ok(())
    }

    async fn run(&self, mode: Mode, id: RunId) -> Result<Option<Run>, StoreError> {
        Ok(self.rows().runs.get(&id).filter(|run| run.mode == mode).cloned())
    }

    async fn list_runs(&self, mode: Mode, page: Page<RunId>) -> Result<Listed<Run>, StoreError> {
        let state = self.rows();
        let newest_first = state.runs.values().rev().filter(|run| run.mode == mode).cloned();
        Ok(page_of(newest_first, |run| run.id, page))
    }

    async fn run_totals(&self, mode: Mode, window: Window) -> Result<RunTotals, StoreError> {
        let mut totals = RunTotals::default();
        let state = self.rows();
        for run in state.runs.values().filter(|run| run.mode == mode && within(window, run.started_at)) {
            match run.state {
                RunState::Running => continue,
                RunState::Done => totals.done += 1,
                RunState::Incomplete => totals.incomplete += 1,
                RunState::Failed => totals.failed += 1,
            }
            for (section, counts) in &run.counts {
                totals.counts.entry(*section).or_default().add(counts);
            }
        }
        Ok(totals)
    }

    async fn break_totals(&self, mode: Mode, window: Window) -> Result<BreakTotals, StoreError> {
        let (mut totals, mut at_risk) = (BreakTotals::default(), BTreeMap::new());
        let state = self.rows();
        for row in state.breaks.iter().filter(|row| row.found.mode == mode && row.found_at < window.before) {
            totals.opened += u64::from(row.found_at >= window.from);
            totals.resolved += u64::from(row.end.as_ref().is_some_and(|end| within(window, end.at)));
            if row.end.as_ref().is_some_and(|end| end.at < window.before) {
                continue;
            }
            totals.open += 1;
            totals.oldest = Some(totals.oldest.map_or(row.found_at, |oldest| oldest.min(row.found_at)));
            if let Some(money) = row.found.at_risk {
                *at_risk.entry(money.currency()).or_insert(0) += money.minor();
            }
        }
        let sums = at_risk.into_iter().map(|(currency, minor)| Money::from_minor(minor, currency).unwrap());
        totals.at_risk = sums.collect();
        totals.at_risk.sort_by_key(|money| money.currency().code().to_owned());
        Ok(totals)
    }

    async fn open_breaks(
        &self,
        mode: Mode,
        kind: BreakKind,
        after: Option<BreakId>,
        limit: u32,
    ) -> Result<Vec<BreakView>, StoreError> {
        let state = self.rows();
        let meant = |row: &&StoredBreak| {
            row.is_open()
                && row.found.mode == mode
                && row.found.kind == kind
                && after.is_none_or(|after| row.id > after)
        };
        let mut rows: Vec<_> = state.breaks.iter().filter(meant).map(StoredBreak::view).collect();
        rows.sort_by_key(|row| row.id);
        rows.truncate(limit as usize);
        Ok(rows)
    }
}

impl State {
    fn is_unsettled(&self, payment: &Payment) -> bool {
        let named = payment.intent.is_some() || payment.session.is_some();
        let open = payment.state.is_live() && named;
        let owed = payment.state == PaymentState::Captured
            && (payment.fee.is_none() || payment.refunded != payment.returned);
        let disputed = self
            .disputes
            .values()
            .any(|dispute| dispute.payment == payment.id && dispute.seen.status.is_open());
        open || owed || disputed
    }
}

fn within(window: Window, at: OffsetDateTime) -> bool {
    (window.from..window.before).contains(&at)
}
