use async_trait::async_trait;
use paywright_domain::{
    Mode, Order, OrderId,
    ports::{Listed, OrderFilter, OrderView, Page, Reader, StoreError, TimelineEntry},
};

use super::{MemoryStore, page_of, state::State};

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
}

impl State {
    fn view(&self, order: &Order) -> OrderView {
        let mut declines: Vec<_> =
            self.declines.iter().filter(|decline| decline.order == order.id).cloned().collect();
        declines.sort_by(|a, b| (a.refusal.at, &a.refusal.key).cmp(&(b.refusal.at, &b.refusal.key)));
        OrderView {
            order: order.clone(),
            payments: self.payments.values().filter(|payment| payment.order == order.id).cloned().collect(),
            declines,
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
