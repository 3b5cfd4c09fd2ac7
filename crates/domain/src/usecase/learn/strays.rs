//! Objects of the gateway that claim to be a payment of ours and are not the one that is here.

use super::{Pair, has_ended, name_origin};
use crate::{
    CancelReason, Changes, Channel, IllegalTransition, Money, Order, Payment, PaymentEvent, PaymentId,
    PaymentState, Standing, Step, Transition, ports::Snapshot, usecase::Ports,
};

impl Pair {
    /// A second object that claims to be this payment: a creation was repeated under another key after all. It becomes
    /// a payment of its own that does not come to life here: open, it is ended; captured, it is given back.
    pub(super) fn take_in(
        &mut self,
        changes: &mut Changes,
        snapshot: &Snapshot,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        let seen = &snapshot.sighting;
        let (intent, session) = (&self.payment.intent, &self.payment.session);
        let known =
            intent.is_some() && *intent == seen.intent || session.is_some() && *session == seen.session;
        let another = !known
            && (intent.is_some() && seen.intent.is_some() || session.is_some() && seen.session.is_some());
        let ours = snapshot.payment == Some(self.payment.id)
            && snapshot.mode == self.payment.mode
            && snapshot.amount == Some(self.payment.amount);
        if !another || !ours || seen.standing == Standing::Unclear {
            return Ok(());
        }
        let birth = self.payment.found(ports.new_id(), seen, changes.at);
        self.order = Self::come_in(self.order.clone(), birth, changes, snapshot, ports)?.order;
        Ok(())
    }

    /// An object that names a payment which is not here, of an order that is: a backup from before it was restored. It
    /// becomes that payment again, captured if it was, else ended. `None`: it is not what the order would have asked
    /// for.
    pub(in crate::usecase) fn found_again(
        order: Order,
        named: PaymentId,
        changes: &mut Changes,
        snapshot: &Snapshot,
        ports: &Ports,
    ) -> Result<Option<Self>, IllegalTransition> {
        let asked = snapshot.mode == order.mode && snapshot.amount == Some(order.total);
        if !asked || snapshot.sighting.standing == Standing::Unclear {
            return Ok(None);
        }
        name_origin(changes, &snapshot.origin);
        let (capture, at) = (order.capture, changes.at);
        // Whether it was made on a hosted page is lost.
        let way = Channel::PaymentIntent;
        let lost = Payment::start(named, order.id, order.mode, way, capture, order.total, at);
        let birth = lost.after().found(named, &snapshot.sighting, at);
        Self::come_in(order, birth, changes, snapshot, ports).map(Some)
    }

    fn come_in(
        order: Order,
        birth: Transition<Payment, PaymentEvent>,
        changes: &mut Changes,
        snapshot: &Snapshot,
        ports: &Ports,
    ) -> Result<Self, IllegalTransition> {
        let mut stray = Self { order, payment: birth.after().clone() };
        let nothing =
            Payment { captured: Money::zero(stray.payment.amount.currency()), ..stray.payment.clone() };
        changes.steps.push(Step::Payment(Box::new(birth)));
        stray.book(changes, &Payment { fee: None, ..nothing }, snapshot);
        // That it ended says nothing about an order whose own payment may still be paid.
        if stray.payment.state == PaymentState::Captured {
            stray.follow(changes, ports)?;
        }
        if stray.payment.state == PaymentState::Failed && !has_ended(snapshot) {
            stray.end(changes, ports, CancelReason::Duplicate, None)?;
        }
        Ok(stray)
    }
}
