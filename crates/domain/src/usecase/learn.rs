//! The one function that every fact enters: a webhook, the answer of a call, an object found by looking.

mod asks;
mod disputes;
mod refunds;
mod strays;

use time::Duration;

use super::Ports;
use crate::{
    Applied, Break, BreakKind, CancelReason, CaptureMethod, Changes, Decline, Followed, Guard,
    IllegalTransition, Journal, Money, Order, OrderEvent, Payment, PaymentEvent, PaymentState, RefundReason,
    Standing, Step,
    ports::{Snapshot, StoreError},
};

pub(super) use disputes::DISPUTE_NOTICE;
pub(super) use refunds::Wanted;

/// How long before a hold runs out an operator is told of it.
pub(super) const HOLD_NOTICE: Duration = Duration::hours(24);
/// How long an order whose hold was lost waits for another payment.
pub(super) const SECOND_CHANCE: Duration = Duration::DAY;

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
        name_origin(changes, &snapshot.origin);
        if let Some((kind, detail)) = mismatch(&self.payment, snapshot) {
            changes.breaks.push(self.broken(kind, detail));
            return self.take_in(changes, snapshot, ports);
        }
        if let Some(refusal) = &snapshot.refusal {
            let (order, payment, refusal) = (self.order.id, self.payment.id, refusal.clone());
            changes.declines.push(Decline { order, payment, refusal });
        }
        let before = self.payment.clone();
        self.news(changes, PaymentEvent::Seen(snapshot.sighting.clone()), ports)?;
        self.book(changes, &before, snapshot);
        self.watch_hold(changes, &before, ports);
        if self.payment.state == PaymentState::Failed && !has_ended(snapshot) {
            // We had given it up as never created: it must not be paid.
            self.end(changes, ports, CancelReason::Duplicate, None)?;
        }
        self.end_if_unwanted(changes, ports, None)
    }

    /// Books what the payment moved, beside what it had moved before.
    fn book(&self, changes: &mut Changes, before: &Payment, snapshot: &Snapshot) {
        changes.journals.extend(Journal::captured(before, &self.payment, snapshot.sighting.at));
        if let (None, Some(_), Some(moved)) = (&before.fee, &self.payment.fee, &snapshot.sighting.settlement)
        {
            changes.journals.push(Journal::settled(&self.payment, moved));
        }
        let after = &self.payment;
        let asked = after.capture_asked.unwrap_or(after.amount);
        // Somebody took another part of the hold at the gateway: that is what was taken, and a person should know.
        if before.captured.is_zero()
            && !after.captured.is_zero()
            && after.capture == CaptureMethod::Manual
            && after.captured != asked
        {
            let detail = format!("{asked} was to be captured, the gateway captured {}", after.captured);
            changes.breaks.push(self.broken(BreakKind::AmountMismatch, detail));
        }
    }

    /// A hold that was just learned of needs a decision before it runs out.
    fn watch_hold(&self, changes: &mut Changes, before: &Payment, ports: &Ports) {
        if self.payment.state == PaymentState::Authorized
            && let Some(until) = self.payment.capture_before
            && before.capture_before != Some(until)
        {
            self.watch(changes, ports, until - HOLD_NOTICE);
        }
    }

    /// Looks after the order at `at`, or soon if that has passed.
    pub(super) fn watch(&self, changes: &mut Changes, ports: &Ports, at: time::OffsetDateTime) {
        let at = at.max(changes.at + Duration::MINUTE);
        changes.watch(ports.new_id(), self.order.id, at);
    }

    /// Applies what the gateway told to the payment, and lets the order follow.
    ///
    /// That a payment has ended is told more than once. Only the first time it says something about the order:
    /// afterwards another payment may be live.
    pub(super) fn news(
        &mut self,
        changes: &mut Changes,
        event: PaymentEvent,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        let was_live = self.payment.state.is_live();
        self.payment_event(changes, event)?;
        let ended = matches!(self.payment.state, PaymentState::Cancelled | PaymentState::Failed);
        if ended && !was_live { Ok(()) } else { self.follow(changes, ports) }
    }

    /// Makes sure that what was decided still fits the one of the two that it leaves alone: whoever moves that one
    /// meanwhile may have decided otherwise, had they seen this.
    pub(super) fn guard(&self, changes: &mut Changes) {
        let order = changes.steps.iter().any(|step| matches!(step, Step::Order(_)));
        let payment = changes
            .steps
            .iter()
            .any(|step| matches!(step, Step::Payment(step) if step.after().id == self.payment.id));
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
        self.payment_step(changes, applied);
        Ok(())
    }

    fn payment_step(&mut self, changes: &mut Changes, applied: Applied<Payment, PaymentEvent>) {
        if let Applied::Moved(step) = &applied {
            self.payment = step.after().clone();
        }
        changes.payment(applied);
    }

    /// Applies an event to the order.
    pub(super) fn order_event(
        &mut self,
        changes: &mut Changes,
        event: OrderEvent,
    ) -> Result<(), IllegalTransition> {
        let applied = self.order.apply(event)?;
        if let Applied::Moved(step) = &applied {
            self.order = step.after().clone();
        }
        changes.order(applied);
        Ok(())
    }

    /// Lets the order follow its payment, until it has caught up.
    fn follow(&mut self, changes: &mut Changes, ports: &Ports) -> Result<(), IllegalTransition> {
        loop {
            match self.order.follow(&self.payment)? {
                Followed::Unmoved => return Ok(()),
                Followed::Step(step) => {
                    self.order = step.after().clone();
                    if matches!(step.event(), OrderEvent::AuthorizationLost) {
                        let at = self.order.expires_at.max(changes.at + SECOND_CHANCE);
                        self.watch(changes, ports, at);
                    }
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
                    let at_risk = self.payment.captured.minus(self.payment.returned).ok();
                    // What was given back in full has been explained.
                    if !(self.payment.unwanted && at_risk.is_some_and(Money::is_zero)) {
                        changes.breaks.push(Break { at_risk, ..self.broken(kind, detail) });
                    }
                    return match kind {
                        BreakKind::LateMoney => self.give_back(changes, ports, RefundReason::LatePayment),
                        BreakKind::SurplusPayment => {
                            self.give_back(changes, ports, RefundReason::SurplusPayment)
                        }
                        BreakKind::AmountMismatch
                        | BreakKind::ModeMismatch
                        | BreakKind::IdentityMismatch
                        | BreakKind::ForeignObject
                        | BreakKind::RefundFailed
                        | BreakKind::UnexplainedTransaction
                        | BreakKind::UnexplainedPayout => Ok(()),
                    };
                }
            }
        }
    }

    fn broken(&self, kind: BreakKind, detail: String) -> Break {
        let (mode, order, payment) = (self.order.mode, Some(self.order.id), Some(self.payment.id));
        Break { kind, mode, order, payment, object: None, detail, at_risk: None }
    }
}

/// An order that was just paid by a payment that had ended here may have another one under way, which must not be paid
/// too.
pub(super) async fn end_rival(ports: &Ports, pair: &Pair, changes: &mut Changes) -> Result<(), StoreError> {
    let paid = changes
        .steps
        .iter()
        .any(|step| matches!(step, Step::Order(step) if matches!(step.event(), OrderEvent::Captured(_))));
    if !paid {
        return Ok(());
    }
    let rival = ports.store.live_payment(pair.order.id).await?;
    if let Some(payment) = rival.filter(|rival| Some(rival.id) != pair.order.paid_by) {
        let mut rival = Pair { order: pair.order.clone(), payment };
        // It can always be asked to end.
        let _ = rival.end(changes, ports, CancelReason::Duplicate, None);
    }
    Ok(())
}

/// On whose word; of several the first event and the last request.
fn name_origin(changes: &mut Changes, origin: &crate::Origin) {
    if changes.origin.event.is_none() {
        changes.origin.event.clone_from(&origin.event);
    }
    if origin.request.is_some() {
        changes.origin.request.clone_from(&origin.request);
    }
}

/// Whether the object says of itself that no more money can follow.
fn has_ended(snapshot: &Snapshot) -> bool {
    match snapshot.sighting.standing {
        Standing::Captured { .. } | Standing::Cancelled => true,
        Standing::AwaitingMethod
        | Standing::ActionRequired
        | Standing::Processing
        | Standing::Authorized(_)
        | Standing::Unclear => false,
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
    let seen = &snapshot.sighting;
    // The gateway's own name tells more than what the object's metadata says of itself.
    let known = payment.intent.is_some() && payment.intent == seen.intent
        || payment.session.is_some() && payment.session == seen.session;
    if let Some(named) = snapshot.payment.filter(|named| *named != payment.id && !known) {
        return Some((BreakKind::IdentityMismatch, format!("the gateway's object names {named}")));
    }
    let intents = payment.intent.as_ref().zip(seen.intent.as_ref()).map(|(a, b)| (a.as_str(), b.as_str()));
    let pages = payment.session.as_ref().zip(seen.session.as_ref()).map(|(a, b)| (a.as_str(), b.as_str()));
    let (ours, theirs) = intents.into_iter().chain(pages).find(|(ours, theirs)| ours != theirs)?;
    Some((BreakKind::IdentityMismatch, format!("ours is {ours}, the gateway's {theirs}")))
}
