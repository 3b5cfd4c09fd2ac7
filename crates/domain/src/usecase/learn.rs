//! The one function that every fact enters: a webhook, the answer of a call, an object found by looking.

use time::Duration;

use super::Ports;
use crate::{
    Applied, Break, BreakKind, CallState, CancelReason, Changes, Decline, Effect, Followed, GatewayCall,
    Guard, IllegalTransition, Operation, Order, Payment, PaymentEvent, PaymentState, Standing, Step,
    ports::Snapshot,
};

/// An order with one of its payments, as they are decided upon.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) order: Order,
    pub(super) payment: Payment,
}

impl Pair {
    /// Adds to `changes` what follows from a look at the payment.
    ///
    /// An object that is not the one we asked for moves nothing: it becomes a break.
    pub(super) fn learn(
        &mut self,
        changes: &mut Changes,
        snapshot: &Snapshot,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        if changes.origin.event.is_none() {
            changes.origin.event.clone_from(&snapshot.origin.event);
        }
        if snapshot.origin.request.is_some() {
            changes.origin.request.clone_from(&snapshot.origin.request);
        }
        if let Some((kind, detail)) = mismatch(&self.payment, snapshot) {
            changes.breaks.push(self.broken(kind, detail));
            return Ok(());
        }
        if let Some(refusal) = &snapshot.refusal {
            let (order, payment, refusal) = (self.order.id, self.payment.id, refusal.clone());
            changes.declines.push(Decline { order, payment, refusal });
        }
        self.news(changes, PaymentEvent::Seen(snapshot.sighting.clone()))?;
        self.end_if_unwanted(changes, ports, None)
    }

    /// Applies what the gateway told to the payment, and lets the order follow.
    ///
    /// That a payment has ended is told more than once. Only the first time it says something about the order:
    /// afterwards another payment may be live.
    pub(super) fn news(
        &mut self,
        changes: &mut Changes,
        event: PaymentEvent,
    ) -> Result<(), IllegalTransition> {
        let was_live = self.payment.state.is_live();
        self.payment_event(changes, event)?;
        let ended = matches!(self.payment.state, PaymentState::Cancelled | PaymentState::Failed);
        if ended && !was_live { Ok(()) } else { self.follow(changes) }
    }

    /// Makes sure that what was decided still fits the one of the two that it leaves alone: whoever moves that one
    /// meanwhile may have decided otherwise, had they seen this.
    pub(super) fn guard(&self, changes: &mut Changes) {
        let moves = |wanted: fn(&Step) -> bool| changes.steps.iter().any(wanted);
        let (order, payment) =
            (moves(|step| matches!(step, Step::Order(_))), moves(|step| matches!(step, Step::Payment(_))));
        if payment && !order {
            changes.guards.push(Guard::Order(self.order.id, self.order.version));
        }
        if order && !payment {
            changes.guards.push(Guard::Payment(self.payment.id, self.payment.version));
        }
    }

    /// Applies an event to the payment.
    pub(super) fn payment_event(
        &mut self,
        changes: &mut Changes,
        event: PaymentEvent,
    ) -> Result<(), IllegalTransition> {
        let applied = self.payment.apply(event)?;
        if let Applied::Moved(step) = &applied {
            self.payment = step.after().clone();
        }
        changes.payment(applied);
        Ok(())
    }

    /// Applies an event to the order.
    pub(super) fn order_event(
        &mut self,
        changes: &mut Changes,
        event: crate::OrderEvent,
    ) -> Result<(), IllegalTransition> {
        let applied = self.order.apply(event)?;
        if let Applied::Moved(step) = &applied {
            self.order = step.after().clone();
        }
        changes.order(applied);
        Ok(())
    }

    /// Lets the order follow its payment, until it has caught up.
    fn follow(&mut self, changes: &mut Changes) -> Result<(), IllegalTransition> {
        loop {
            match self.order.follow(&self.payment)? {
                Followed::Unmoved => return Ok(()),
                Followed::Step(step) => {
                    self.order = step.after().clone();
                    changes.steps.push(Step::Order(step));
                }
                Followed::Break(kind) => {
                    let detail = format!(
                        "{} of {} {}, {} captured, while the order is {}",
                        self.payment.id,
                        self.payment.amount,
                        self.payment.state,
                        self.payment.captured,
                        self.order.state
                    );
                    changes.breaks.push(self.broken(kind, detail));
                    return Ok(());
                }
            }
        }
    }

    /// Asks the gateway to end the payment of an order that shall be cancelled, as soon as its name is known there.
    pub(super) fn end_if_unwanted(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        held_for: Option<Duration>,
    ) -> Result<(), IllegalTransition> {
        match self.order.cancellation {
            Some(reason) => self.end(changes, ports, reason, held_for),
            None => Ok(()),
        }
    }

    /// Asks the gateway to end the payment, once, if it is live and its name is known there.
    pub(super) fn end(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        reason: CancelReason,
        held_for: Option<Duration>,
    ) -> Result<(), IllegalTransition> {
        if self.payment.end_requested || !self.payment.state.is_live() {
            return Ok(());
        }
        let Some(operation) = Operation::end(&self.payment, reason) else { return Ok(()) };
        self.payment_event(changes, PaymentEvent::EndRequested)?;
        let generation = self.payment.end_generation;
        let call = self.call(changes, ports, operation, generation);
        changes.effects.push(Effect::Call { call, held_for });
        Ok(())
    }

    /// A call about the payment, to be recorded.
    pub(super) fn call(
        &self,
        changes: &Changes,
        ports: &Ports,
        operation: Operation,
        generation: u32,
    ) -> GatewayCall {
        GatewayCall {
            id: ports.new_id(),
            order: self.order.id,
            payment: self.payment.id,
            mode: self.payment.mode,
            operation,
            generation,
            state: CallState::Recorded,
            recorded_at: changes.at,
        }
    }

    fn broken(&self, kind: BreakKind, detail: String) -> Break {
        Break { kind, order: self.order.id, payment: self.payment.id, detail }
    }
}

/// What makes an object another one than we asked for.
pub(super) fn mismatch(payment: &Payment, snapshot: &Snapshot) -> Option<(BreakKind, String)> {
    if snapshot.mode != payment.mode {
        let detail = format!("ours is {}, the gateway's {}", payment.mode, snapshot.mode);
        return Some((BreakKind::ModeMismatch, detail));
    }
    if let Some(amount) = snapshot.amount.filter(|amount| *amount != payment.amount) {
        return Some((
            BreakKind::AmountMismatch,
            format!("ours is {}, the gateway's {amount}", payment.amount),
        ));
    }
    if let Standing::Authorized(minor) | Standing::Captured { captured: minor, .. } =
        snapshot.sighting.standing
        && minor > payment.amount.minor()
    {
        return Some((
            BreakKind::AmountMismatch,
            format!("ours is {}, the gateway took {minor} minor units", payment.amount),
        ));
    }
    if let Some(named) = snapshot.payment.filter(|named| *named != payment.id) {
        return Some((BreakKind::IdentityMismatch, format!("the gateway's object names {named}")));
    }
    let seen = &snapshot.sighting;
    let intents = payment.intent.as_ref().zip(seen.intent.as_ref()).map(|(a, b)| (a.as_str(), b.as_str()));
    let pages = payment.session.as_ref().zip(seen.session.as_ref()).map(|(a, b)| (a.as_str(), b.as_str()));
    let (ours, theirs) = intents.into_iter().chain(pages).find(|(ours, theirs)| ours != theirs)?;
    Some((BreakKind::IdentityMismatch, format!("ours is {ours}, the gateway's {theirs}")))
}
