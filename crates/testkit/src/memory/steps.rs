//! A step is written only over the version it was decided on, and only if its row can be.

use std::cmp::Ordering;

use paywright_domain::{
    Dispute, DisputeEvent, Money, Order, OrderEvent, Payment, PaymentEvent, Refund, RefundEvent, Transition,
    Version, ports::StoreError,
};

use super::{
    commit::bug,
    state::{Flaw, State},
};

impl State {
    fn is_newest(&self, stored: Option<Version>, decided: Option<Version>) -> bool {
        stored == decided || self.flaw == Some(Flaw::StaleVersions)
    }

    pub(super) fn step_order(&mut self, step: &Transition<Order, OrderEvent>) -> Result<(), StoreError> {
        let after = step.after();
        let known = self.orders.get(&after.id).map(|order| order.version);
        if !self.is_newest(known, step.before().map(|before| before.version)) {
            return Err(StoreError::Conflict);
        }
        if after.customer.is_some_and(|customer| !self.customers.contains_key(&customer)) {
            return Err(bug("an order of a customer who is not stored"));
        }
        if self.orders.values().any(|other| other.id != after.id && other.token == after.token) {
            return Err(StoreError::Conflict);
        }
        self.orders.insert(after.id, after.clone());
        Ok(())
    }

    pub(super) fn step_payment(
        &mut self,
        step: &Transition<Payment, PaymentEvent>,
    ) -> Result<(), StoreError> {
        let after = step.after();
        let of =
            |order: &&Order| order.mode == after.mode && order.total.currency() == after.amount.currency();
        if self.orders.get(&after.order).filter(of).is_none() {
            return Err(bug("a payment without an order of its mode and currency"));
        }
        if !fits(after.refunded, after.captured) || !fits(after.returned, after.refunded) {
            return Err(bug("more given back than was taken"));
        }
        let known = self.payments.get(&after.id).map(|payment| payment.version);
        if !self.is_newest(known, step.before().map(|before| before.version)) {
            return Err(StoreError::Conflict);
        }
        let same_name = |other: &Payment| {
            (after.intent.is_some() && other.intent == after.intent)
                || (after.session.is_some() && other.session == after.session)
        };
        if self.payments.values().any(|other| other.id != after.id && same_name(other)) {
            return Err(StoreError::Conflict);
        }
        self.payments.insert(after.id, after.clone());
        if self.live_payments(after.order).count() > 1 && self.flaw != Some(Flaw::SeveralLive) {
            return Err(StoreError::Conflict);
        }
        Ok(())
    }

    pub(super) fn step_refund(&mut self, step: &Transition<Refund, RefundEvent>) -> Result<(), StoreError> {
        let after = step.after();
        self.needs(after.order, after.payment)?;
        let of = |payment: &&Payment| {
            payment.mode == after.mode && payment.amount.currency() == after.amount.currency()
        };
        if self.payments.get(&after.payment).filter(of).is_none() {
            return Err(bug("a refund without a payment of its mode and currency"));
        }
        let known = self.refunds.get(&after.id).map(|refund| refund.version);
        if !self.is_newest(known, step.before().map(|before| before.version)) {
            return Err(StoreError::Conflict);
        }
        let same_name = |other: &Refund| after.gateway.is_some() && other.gateway == after.gateway;
        if self.refunds.values().any(|other| other.id != after.id && same_name(other)) {
            return Err(StoreError::Conflict);
        }
        self.refunds.insert(after.id, after.clone());
        Ok(())
    }

    pub(super) fn step_dispute(
        &mut self,
        step: &Transition<Dispute, DisputeEvent>,
    ) -> Result<(), StoreError> {
        let after = step.after();
        self.needs(after.order, after.payment)?;
        if self.payments.get(&after.payment).is_none_or(|payment| payment.mode != after.mode) {
            return Err(bug("a dispute without a payment of its mode"));
        }
        let known = self.disputes.get(&after.id).map(|dispute| dispute.version);
        if !self.is_newest(known, step.before().map(|before| before.version)) {
            return Err(StoreError::Conflict);
        }
        if self.disputes.values().any(|other| other.id != after.id && other.gateway == after.gateway) {
            return Err(StoreError::Conflict);
        }
        self.disputes.insert(after.id, after.clone());
        Ok(())
    }
}

fn fits(part: Money, whole: Money) -> bool {
    matches!(part.partial_cmp(&whole), Some(Ordering::Less | Ordering::Equal))
}
