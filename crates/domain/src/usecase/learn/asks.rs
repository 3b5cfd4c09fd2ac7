//! What the gateway is asked to do about a payment.

use time::Duration;

use super::Pair;
use crate::{
    CallState, CancelReason, Changes, Effect, GatewayCall, IllegalTransition, Money, Operation, PaymentEvent,
    PaymentState, Subject, usecase::Ports,
};

impl Pair {
    /// Asks the gateway to end the payment of an order that shall be cancelled, or that another payment has paid, as soon
    /// as its name is known there.
    pub(in crate::usecase) fn end_if_unwanted(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        held_for: Option<Duration>,
    ) -> Result<(), IllegalTransition> {
        let paid_by_another = !self.order.state.is_unpaid() && self.order.paid_by != Some(self.payment.id);
        let unwanted = self.order.cancellation.or(paid_by_another.then_some(CancelReason::Duplicate));
        match unwanted {
            Some(reason) if self.payment.state.is_live() => self.end(changes, ports, reason, held_for),
            Some(_) | None => Ok(()),
        }
    }

    /// Asks the gateway to end the payment, once, if money may still follow and its name is known there.
    pub(in crate::usecase) fn end(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        reason: CancelReason,
        held_for: Option<Duration>,
    ) -> Result<(), IllegalTransition> {
        let may_follow = self.payment.state.is_live() || self.payment.state == PaymentState::Failed;
        if self.payment.end_requested || !may_follow {
            return Ok(());
        }
        let Some(operation) = Operation::end(&self.payment, reason) else { return Ok(()) };
        self.payment_event(changes, PaymentEvent::EndRequested)?;
        let generation = self.payment.end_generation;
        let call = self.call(changes, ports, operation, generation);
        changes.effects.push(Effect::Call { call, held_for });
        Ok(())
    }

    /// Asks the gateway to take `amount` of what is reserved.
    ///
    /// # Errors
    /// [`IllegalTransition`] when nothing, or less, is reserved.
    pub(in crate::usecase) fn capture(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        amount: Money,
        held_for: Option<Duration>,
    ) -> Result<(), IllegalTransition> {
        let before = self.payment.version;
        self.payment_event(changes, PaymentEvent::CaptureRequested(amount))?;
        let operation = Operation::capture(&self.payment, amount).filter(|_| self.payment.version != before);
        if let Some(operation) = operation {
            let call = self.call(changes, ports, operation, self.payment.capture_generation);
            changes.effects.push(Effect::Call { call, held_for });
        }
        Ok(())
    }

    /// The generation under which a call is repeated that never happened.
    pub(in crate::usecase) fn asks_again(
        &mut self,
        changes: &mut Changes,
        operation: &Operation,
        before: u32,
    ) -> Result<u32, IllegalTransition> {
        match operation {
            Operation::CancelIntent { .. } | Operation::ExpireSession { .. } => {
                self.payment_event(changes, PaymentEvent::EndRefused)?;
                self.payment_event(changes, PaymentEvent::EndRequested)?;
                Ok(self.payment.end_generation)
            }
            Operation::Capture { amount, .. } => {
                let amount = Money::from_minor(*amount, self.payment.amount.currency())
                    .unwrap_or(self.payment.capturable);
                self.payment_event(changes, PaymentEvent::CaptureRefused)?;
                self.payment_event(changes, PaymentEvent::CaptureRequested(amount))?;
                Ok(self.payment.capture_generation)
            }
            Operation::CreateIntent { .. }
            | Operation::CreateSession { .. }
            | Operation::CreateRefund { .. }
            | Operation::StageEvidence { .. }
            | Operation::SubmitEvidence { .. }
            | Operation::CloseDispute { .. } => Ok(before + 1),
        }
    }

    /// A call about the payment, to be recorded.
    pub(in crate::usecase) fn call(
        &self,
        changes: &Changes,
        ports: &Ports,
        operation: Operation,
        generation: u32,
    ) -> GatewayCall {
        self.call_about(changes, ports, Subject::Payment(self.payment.id), operation, generation)
    }

    /// A call about a part of the payment, to be recorded.
    pub(in crate::usecase) fn call_about(
        &self,
        changes: &Changes,
        ports: &Ports,
        subject: Subject,
        operation: Operation,
        generation: u32,
    ) -> GatewayCall {
        GatewayCall {
            id: ports.new_id(),
            order: self.order.id,
            payment: self.payment.id,
            subject,
            mode: self.payment.mode,
            operation,
            generation,
            state: CallState::Recorded,
            recorded_at: changes.at,
        }
    }
}
