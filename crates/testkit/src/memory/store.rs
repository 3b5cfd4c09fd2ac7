use async_trait::async_trait;
use paywright_domain::{
    Cause, Changes, Customer, CustomerId, Dispute, DisputeId, GatewayCall, GatewayDisputeId, GatewayRefundId,
    IntentId, JobId, Mode, Order, OrderId, Payment, PaymentId, Product, ProductId, Refund, RefundId,
    SessionId,
    ports::{Committed, Store, StoreError},
};

use super::{MemoryStore, commit, saved::Saved};

#[async_trait]
impl Store for MemoryStore {
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        Ok(self.rows().orders.get(&id).cloned())
    }

    async fn order_by_token(&self, token: &str) -> Result<Option<Order>, StoreError> {
        Ok(self.rows().orders.values().find(|order| order.token == token).cloned())
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        Ok(self.rows().payments.get(&id).cloned())
    }

    async fn payment_by_intent(&self, id: &IntentId) -> Result<Option<Payment>, StoreError> {
        Ok(self.rows().payments.values().find(|payment| payment.intent.as_ref() == Some(id)).cloned())
    }

    async fn payment_by_session(&self, id: &SessionId) -> Result<Option<Payment>, StoreError> {
        Ok(self.rows().payments.values().find(|payment| payment.session.as_ref() == Some(id)).cloned())
    }

    async fn live_payment(&self, order: OrderId) -> Result<Option<Payment>, StoreError> {
        Ok(self.rows().live_payments(order).next().cloned())
    }

    async fn payments(&self, order: OrderId) -> Result<Vec<Payment>, StoreError> {
        Ok(self.rows().payments_of(order).cloned().collect())
    }

    async fn refund(&self, id: RefundId) -> Result<Option<Refund>, StoreError> {
        Ok(self.rows().refunds.get(&id).cloned())
    }

    async fn refund_by_gateway(&self, id: &GatewayRefundId) -> Result<Option<Refund>, StoreError> {
        Ok(self.rows().refunds.values().find(|refund| refund.gateway.as_ref() == Some(id)).cloned())
    }

    async fn refunds(&self, payment: PaymentId) -> Result<Vec<Refund>, StoreError> {
        Ok(self.rows().refunds_of(|refund| refund.payment == payment))
    }

    async fn dispute(&self, id: DisputeId) -> Result<Option<Dispute>, StoreError> {
        Ok(self.rows().disputes.get(&id).cloned())
    }

    async fn dispute_by_gateway(&self, id: &GatewayDisputeId) -> Result<Option<Dispute>, StoreError> {
        Ok(self.rows().disputes.values().find(|dispute| dispute.gateway == *id).cloned())
    }

    async fn disputes(&self, payment: PaymentId) -> Result<Vec<Dispute>, StoreError> {
        Ok(self.rows().disputes_of(|dispute| dispute.payment == payment))
    }

    async fn call(&self, id: JobId) -> Result<Option<GatewayCall>, StoreError> {
        Ok(self.rows().calls.get(&id).cloned())
    }

    async fn products(&self, mode: Mode, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        let state = self.rows();
        let found =
            state.products.values().filter(|product| product.mode == mode && ids.contains(&product.id));
        Ok(found.cloned().collect())
    }

    async fn customer(&self, mode: Mode, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        Ok(self.rows().customers.get(&id).filter(|customer| customer.mode == mode).cloned())
    }

    async fn customer_by_email(&self, mode: Mode, email: &str) -> Result<Option<Customer>, StoreError> {
        let state = self.rows();
        Ok(state
            .customers
            .values()
            .find(|customer| customer.mode == mode && customer.email == email)
            .cloned())
    }

    async fn knows(&self, cause: Cause) -> Result<bool, StoreError> {
        Ok(self.rows().knows(cause))
    }

    async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
        let now = self.clock.now();
        let mut state = self.rows();
        let before = Saved::of(&state, &changes);
        let committed = commit::write(&mut state, changes, now);
        if !matches!(committed, Ok(Committed::Now)) {
            before.restore(&mut state);
        }
        committed
    }
}
