//! How a payment's sums follow its refunds and disputes.

use super::{Payment, PaymentEvent};
use crate::{
    Applied, Dispute, DisputeEvent, IllegalTransition, Money, Refund, RefundEvent, RefundState, Transition,
};

impl Payment {
    /// What can still be given back: neither reserved for a refund, nor withheld or taken by a dispute.
    pub fn refundable(&self) -> Money {
        let left = self.captured.minus(self.refunded).and_then(|left| left.minus(self.disputed));
        left.unwrap_or_else(|_| Money::zero(self.amount.currency()))
    }

    /// Lets the payment follow one of its refunds.
    ///
    /// # Errors
    /// [`IllegalTransition`] when more would be given back than was taken; nothing changed.
    pub fn follow_refund(
        &self,
        step: &Transition<Refund, RefundEvent>,
    ) -> Result<Applied<Self, PaymentEvent>, IllegalTransition> {
        let zero = Money::zero(self.amount.currency());
        let reserved = |refund: &Refund| if refund.state.is_reserved() { refund.amount } else { zero };
        let sent =
            |refund: &Refund| if refund.state == RefundState::Succeeded { refund.amount } else { zero };
        let change = |total: Money, part: &dyn Fn(&Refund) -> Money| {
            let more = total.plus(part(step.after()))?;
            step.before().map_or(Ok(more), |before| more.minus(part(before)))
        };
        let totals = change(self.refunded, &reserved).and_then(|refunded| {
            Ok(PaymentEvent::RefundsChanged { refunded, returned: change(self.returned, &sent)? })
        });
        match totals {
            Ok(event) => self.apply(event),
            Err(_) => Err(self.illegal("refunds_changed")),
        }
    }

    /// Lets the payment follow one of its disputes.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the sums leave all bounds; nothing changed.
    pub fn follow_dispute(
        &self,
        step: &Transition<Dispute, DisputeEvent>,
    ) -> Result<Applied<Self, PaymentEvent>, IllegalTransition> {
        let withheld = |dispute: &Dispute| dispute.withheld();
        let disputed = self.disputed.plus(withheld(step.after())).and_then(|more| match step.before() {
            Some(before) => more.minus(withheld(before)),
            None => Ok(more),
        });
        let blocks = |dispute: &Dispute| u32::from(dispute.blocks_refunds());
        let blocking =
            (self.disputes_blocking + blocks(step.after())).checked_sub(step.before().map_or(0, blocks));
        match (disputed, blocking) {
            (Ok(disputed), Some(blocking)) => {
                self.apply(PaymentEvent::DisputesChanged { disputed, blocking })
            }
            _ => Err(self.illegal("disputes_changed")),
        }
    }
}
