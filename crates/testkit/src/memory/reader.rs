use async_trait::async_trait;
use paywright_domain::{
    BreakId, Dispute, DisputeId, Mode, Order, OrderId, PaymentId, Refund, RefundId,
    ports::{
        Balance, Booked, BreakView, Listed, OrderFilter, OrderView, Page, Reader, StoreError, TimelineEntry,
    },
};
use time::OffsetDateTime;

use super::{
    MemoryStore, books, page_of,
    state::{State, StoredBreak},
};

#[async_trait]
impl Reader for MemoryStore {
    async fn order_view(&self, mode: Mode, id: OrderId) -> Result<Option<OrderView>, StoreError> {
        let state = self.rows();
        Ok(state.orders.get(&id).filter(|order| order.mode == mode).map(|order| state.view(order)))
    }

    async fn list_orders(
        &self,
        mode: Mode,
        filter: OrderFilter,
        page: Page<OrderId>,
    ) -> Result<Listed<OrderView>, StoreError> {
        let state = self.rows();
        let newest_first =
            state.orders.values().rev().filter(|order| order.mode == mode && passes(&filter, order));
        Ok(page_of(newest_first.map(|order| state.view(order)), |view| view.order.id, page))
    }

    async fn timeline(&self, order: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        let state = self.rows();
        Ok(state.audit.iter().filter(|row| row.order == order).map(|row| row.entry.clone()).collect())
    }

    async fn list_refunds(
        &self,
        mode: Mode,
        payment: Option<PaymentId>,
        page: Page<RefundId>,
    ) -> Result<Listed<Refund>, StoreError> {
        let state = self.rows();
        let listed = |refund: &&Refund| refund.mode == mode && payment.is_none_or(|id| refund.payment == id);
        Ok(page_of(state.refunds.values().rev().filter(listed).cloned(), |refund| refund.id, page))
    }

    async fn list_disputes(
        &self,
        mode: Mode,
        payment: Option<PaymentId>,
        page: Page<DisputeId>,
    ) -> Result<Listed<Dispute>, StoreError> {
        let state = self.rows();
        let listed =
            |dispute: &&Dispute| dispute.mode == mode && payment.is_none_or(|id| dispute.payment == id);
        Ok(page_of(state.disputes.values().rev().filter(listed).cloned(), |dispute| dispute.id, page))
    }

    async fn list_breaks(
        &self,
        mode: Mode,
        open: Option<bool>,
        page: Page<BreakId>,
    ) -> Result<Listed<BreakView>, StoreError> {
        let state = self.rows();
        let listed =
            |row: &&StoredBreak| row.found.mode == mode && open.is_none_or(|open| row.is_open() == open);
        let mut rows: Vec<_> = state.breaks.iter().filter(listed).map(StoredBreak::view).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        Ok(page_of(rows.into_iter(), |row| row.id, page))
    }

    async fn ledger_of_order(&self, order: OrderId) -> Result<Vec<Booked>, StoreError> {
        Ok(self.rows().booked().map(|(_, line)| line).filter(|line| line.order == Some(order)).collect())
    }

    async fn ledger(
        &self,
        mode: Mode,
        from: OffsetDateTime,
        before: OffsetDateTime,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Booked>, StoreError> {
        let state = self.rows();
        let lines = state.booked_in(mode, Some(from), Some(before));
        Ok(lines.filter(|line| after.is_none_or(|after| line.id > after)).take(limit as usize).collect())
    }

    async fn balances(
        &self,
        mode: Mode,
        from: Option<OffsetDateTime>,
        before: Option<OffsetDateTime>,
    ) -> Result<Vec<Balance>, StoreError> {
        Ok(books::balances(self.rows().booked_in(mode, from, before)))
    }
}

impl State {
    fn view(&self, order: &Order) -> OrderView {
        let mut declines: Vec<_> =
            self.declines.iter().filter(|decline| decline.order == order.id).cloned().collect();
        declines.sort_by(|a, b| (a.refusal.at, &a.refusal.key).cmp(&(b.refusal.at, &b.refusal.key)));
        OrderView {
            order: order.clone(),
            payments: self.payments_of(order.id).cloned().collect(),
            declines,
            refunds: self.refunds_of(|refund| refund.order == order.id),
            disputes: self.disputes_of(|dispute| dispute.order == order.id),
        }
    }

    fn booked_in(
        &self,
        mode: Mode,
        from: Option<OffsetDateTime>,
        before: Option<OffsetDateTime>,
    ) -> impl Iterator<Item = Booked> {
        let own = self.booked().filter(move |(journal, _)| journal.mode == mode).map(|(_, line)| line);
        own.filter(move |line| {
            from.is_none_or(|from| line.at >= from) && before.is_none_or(|before| line.at < before)
        })
    }
}

impl StoredBreak {
    pub(super) fn view(&self) -> BreakView {
        let (found, end) = (self.found.clone(), self.end.clone());
        BreakView {
            id: self.id,
            kind: found.kind,
            order: found.order,
            payment: found.payment,
            object: found.object,
            detail: found.detail,
            at_risk: found.at_risk,
            found_at: self.found_at,
            resolved_at: end.as_ref().map(|end| end.at),
            resolved_by: end.as_ref().map(|end| end.by.clone()),
            resolution: end.map(|end| end.reason),
        }
    }
}

fn passes(filter: &OrderFilter, order: &Order) -> bool {
    let OrderFilter { state, customer, created_from, created_before } = filter;
    state.is_none_or(|state| order.state == state)
        && (customer.is_none() || order.customer == *customer)
        && created_from.is_none_or(|from| order.created_at >= from)
        && created_before.is_none_or(|before| order.created_at < before)
}
