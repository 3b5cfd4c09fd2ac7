//! A shop that reconciles, with ports under a fate.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use paywright_domain::{ports::*, usecase::*, *};
use strum::IntoEnumIterator;
use time::{Duration, OffsetDateTime};

use crate::{fate::Fragile, support::Shop};

impl Shop {
    pub(crate) fn reconciler(&self, pace: Pace) -> Reconcile {
        let (store, gateway, fate) = (self.store.clone(), self.gateway.clone(), self.fate.clone());
        let fragile = Arc::new(Fragile { store, gateway, fate });
        Reconcile::new(self.ports.clone(), self.policy.clone(), pace, fragile.clone(), fragile)
    }

    pub(crate) fn ask(&self, trigger: Trigger, sections: &[Section]) -> Ask {
        Ask { id: self.ports.new_id(), trigger, since: None, sections: sections.to_vec() }
    }

    /// A run by the schedule.
    pub(crate) async fn reconcile(&self, sections: &[Section]) -> Run {
        let ask = self.ask(Trigger::Schedule, sections);
        self.reconciler(Pace::default()).run(ask, &|_, _| {}).await.unwrap()
    }

    /// A run of everything, and what the inbox makes of it.
    pub(crate) async fn reconcile_all(&self) -> Run {
        let run = self.reconcile(&Section::iter().collect::<Vec<_>>()).await;
        self.work().await;
        run
    }

    /// An order of two hats with an intent that nobody has paid yet.
    pub(crate) async fn waiting_order(&self) -> (Order, IntentId) {
        let order = self.place().await;
        let payment = self.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
        (order, payment.intent.unwrap())
    }

    pub(crate) fn mark(&self, section: Section) -> Option<OffsetDateTime> {
        crate::support::ready(self.store.cursor(Mode::Test, section)).unwrap()
    }

    /// All webhooks are lost from here on: what the gateway made before is known, what comes is not.
    pub(crate) async fn hear_so_far(&self) {
        self.receive(self.gateway.events());
        self.work().await;
        self.clock.advance(Duration::minutes(2));
    }
}

/// Everything that was compared is in one of the heaps.
pub(crate) fn assert_adds_up(run: &Run) {
    for (section, counts) in &run.counts {
        let Counts { compared, matched, repaired, broken, foreign, unknown, .. } = counts;
        assert_eq!(*compared, matched + repaired + broken + foreign + unknown, "{section}: {counts:#?}");
    }
}

#[async_trait]
impl Archive for Fragile {
    async fn events(&self, window: Window, after: Option<String>) -> Result<Shelf<InboxEvent>, GatewayError> {
        self.asked(Archive::events(&*self.gateway, window, after)).await
    }
    async fn payments(&self, window: Window, after: Option<String>) -> Result<Shelf<Snapshot>, GatewayError> {
        self.asked(self.gateway.payments(window, after)).await
    }
    async fn refunds(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<RefundSnapshot>, GatewayError> {
        self.asked(Archive::refunds(&*self.gateway, window, after)).await
    }
    async fn disputes(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<DisputeSnapshot>, GatewayError> {
        self.asked(Archive::disputes(&*self.gateway, window, after)).await
    }
    async fn transactions(
        &self,
        window: Window,
        after: Option<String>,
    ) -> Result<Shelf<BookEntry>, GatewayError> {
        self.asked(self.gateway.transactions(window, after)).await
    }
    async fn payouts(&self, window: Window, after: Option<String>) -> Result<Shelf<Payout>, GatewayError> {
        self.asked(self.gateway.payouts(window, after)).await
    }
    async fn paid_out(&self, id: &PayoutId, after: Option<String>) -> Result<Shelf<BookEntry>, GatewayError> {
        self.asked(self.gateway.paid_out(id, after)).await
    }
}

#[async_trait]
impl Books for Fragile {
    async fn cursor(&self, mode: Mode, section: Section) -> Result<Option<OffsetDateTime>, StoreError> {
        self.stored(self.store.cursor(mode, section)).await
    }
    async fn advance(&self, mode: Mode, section: Section, to: OffsetDateTime) -> Result<(), StoreError> {
        self.written(|| self.store.advance(mode, section, to)).await
    }
    async fn unsettled(
        &self,
        mode: Mode,
        asked: Unsettled,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        self.stored(self.store.unsettled(mode, asked, after, limit)).await
    }
    async fn looked(&self, payments: &[PaymentId], at: OffsetDateTime) -> Result<(), StoreError> {
        self.written(|| self.store.looked(payments, at)).await
    }
    async fn abandoned_calls(
        &self,
        mode: Mode,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        self.stored(self.store.abandoned_calls(mode, after, limit)).await
    }
    async fn booked(&self, mode: Mode, ids: &[TransactionId]) -> Result<BTreeSet<TransactionId>, StoreError> {
        self.stored(self.store.booked(mode, ids)).await
    }
    async fn record_payout(&self, record: &PayoutRecord) -> Result<(), StoreError> {
        self.written(|| self.store.record_payout(record)).await
    }
    async fn payout(&self, mode: Mode, id: &PayoutId) -> Result<Option<PayoutRecord>, StoreError> {
        self.stored(self.store.payout(mode, id)).await
    }
    async fn list_payouts(
        &self,
        mode: Mode,
        limit: u32,
        after: Option<PayoutId>,
    ) -> Result<Listed<PayoutRecord>, StoreError> {
        self.stored(self.store.list_payouts(mode, limit, after)).await
    }
    async fn begin(&self, run: &Run) -> Result<(), StoreError> {
        self.written(|| self.store.begin(run)).await
    }
    async fn finish(&self, run: &Run) -> Result<(), StoreError> {
        self.written(|| self.store.finish(run)).await
    }
    async fn run(&self, mode: Mode, id: RunId) -> Result<Option<Run>, StoreError> {
        self.stored(Books::run(&*self.store, mode, id)).await
    }
    async fn list_runs(&self, mode: Mode, page: Page<RunId>) -> Result<Listed<Run>, StoreError> {
        self.stored(self.store.list_runs(mode, page)).await
    }
    async fn run_totals(&self, mode: Mode, window: Window) -> Result<RunTotals, StoreError> {
        self.stored(self.store.run_totals(mode, window)).await
    }
    async fn break_totals(&self, mode: Mode, window: Window) -> Result<BreakTotals, StoreError> {
        self.stored(self.store.break_totals(mode, window)).await
    }
    async fn open_breaks(
        &self,
        mode: Mode,
        kind: BreakKind,
        after: Option<BreakId>,
        limit: u32,
    ) -> Result<Vec<BreakView>, StoreError> {
        self.stored(Books::open_breaks(&*self.store, mode, kind, after, limit)).await
    }
}
