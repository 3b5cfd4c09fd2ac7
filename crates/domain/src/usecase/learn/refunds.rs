//! What follows from a refund: of our own wish, and of what the gateway says of one.

use time::Duration;

use super::{Pair, name_origin};
use crate::{
    Applied, Break, BreakKind, Changes, Effect, IllegalTransition, Journal, Money, Operation, PaymentEvent,
    PaymentState, Refund, RefundDraft, RefundEvent, RefundReason, RefundState, Resolution, Step, Subject,
    Transition, ports::RefundSnapshot, usecase::Ports,
};

/// When to ask about a refund that is under way, if nothing was heard.
const REFUND_PATIENCE: Duration = Duration::HOUR;

/// What a refund is asked for with.
#[derive(Debug, Clone)]
pub(in crate::usecase) struct Wanted<'a> {
    pub(in crate::usecase) amount: Money,
    pub(in crate::usecase) reason: RefundReason,
    pub(in crate::usecase) note: Option<String>,
    /// Why the order could not be fulfilled.
    pub(in crate::usecase) failure: Option<&'a str>,
}

impl Pair {
    /// Gives back, once, money that has no business here.
    pub(super) fn give_back(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        reason: RefundReason,
    ) -> Result<(), IllegalTransition> {
        let left = self.payment.refundable();
        if self.payment.unwanted || left.is_zero() || self.payment.disputes_blocking > 0 {
            return Ok(());
        }
        self.payment_event(changes, PaymentEvent::Unwanted)?;
        let wanted = Wanted { amount: left, reason, note: None, failure: None };
        self.refund(changes, ports, wanted, None).map(drop)
    }

    /// Reserves an amount for a refund, and records the call that asks the gateway for it.
    pub(in crate::usecase) fn refund(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        wanted: Wanted<'_>,
        held_for: Option<Duration>,
    ) -> Result<Refund, IllegalTransition> {
        let Wanted { amount, reason, note, failure } = wanted;
        let draft = RefundDraft { id: ports.new_id(), amount, reason, note, created_at: changes.at };
        self.refund_as(changes, ports, draft, failure, held_for)
    }

    /// As [`Pair::refund`], for a refund that has its id already.
    pub(in crate::usecase) fn refund_as(
        &mut self,
        changes: &mut Changes,
        ports: &Ports,
        draft: RefundDraft,
        failure: Option<&str>,
        held_for: Option<Duration>,
    ) -> Result<Refund, IllegalTransition> {
        let birth = Refund::request(&self.payment, draft);
        let refund = birth.after().clone();
        self.follow_refund(changes, birth)?;
        // Money was captured, so the gateway has a name for it.
        if let Some(operation) = Operation::create_refund(&self.payment, &refund, failure) {
            let subject = Subject::Refund(refund.id);
            let call = self.call_about(changes, ports, subject, operation, 1);
            changes.effects.push(Effect::Call { call, held_for });
        }
        Ok(refund)
    }

    fn follow_refund(
        &mut self,
        changes: &mut Changes,
        step: Transition<Refund, RefundEvent>,
    ) -> Result<(), IllegalTransition> {
        let applied = self.payment.follow_refund(&step)?;
        changes.steps.push(Step::Refund(Box::new(step)));
        self.payment_step(changes, applied);
        Ok(())
    }

    /// Adds to `changes` what follows from a look at a refund; `known` is ours, if it is one that we know.
    ///
    /// # Errors
    /// [`IllegalTransition`] when more would be given back than was taken as far as we know: look at the payment, or
    /// wait until a refund that is being asked for was refused.
    pub(in crate::usecase) fn learn_refund(
        &mut self,
        changes: &mut Changes,
        known: Option<Refund>,
        snapshot: &RefundSnapshot,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        name_origin(changes, &snapshot.origin);
        if known.is_none() && self.is_release(snapshot) {
            return Ok(());
        }
        if let Some(mode) = snapshot.mode.filter(|mode| *mode != self.payment.mode) {
            let detail = format!("ours is {}, the gateway's refund {mode}", self.payment.mode);
            changes.breaks.push(self.broken(BreakKind::ModeMismatch, detail));
            return Ok(());
        }
        // Our own id on a second object: a request was repeated under another key after all.
        let twice = known.as_ref().and_then(|refund| Some((refund.id, refund.gateway.clone()?)));
        let same =
            known.filter(|refund| refund.gateway.as_ref().is_none_or(|id| *id == snapshot.sighting.id));
        let expected =
            same.as_ref().map_or(self.payment.amount.currency(), |refund| refund.amount.currency());
        let amount = snapshot.amount.filter(|amount| amount.currency() == expected);
        let fits = amount.filter(|amount| same.as_ref().is_none_or(|refund| refund.amount == *amount));
        let Some(amount) = fits else {
            let ours = same
                .as_ref()
                .map_or_else(|| self.payment.amount.to_string(), |refund| refund.amount.to_string());
            let theirs =
                snapshot.amount.map_or_else(|| "another currency".to_owned(), |amount| amount.to_string());
            let detail = format!("ours is {ours}, the gateway's refund {theirs}");
            let object = Some(snapshot.sighting.id.to_string());
            changes.breaks.push(Break { object, ..self.broken(BreakKind::AmountMismatch, detail) });
            return Ok(());
        };
        let Some(before) = same else {
            if let Some((id, first)) = twice {
                let detail =
                    format!("{id} is {first}, the gateway made it again and gave {amount} back twice");
                let (object, at_risk) = (Some(snapshot.sighting.id.to_string()), Some(amount));
                let found = self.broken(BreakKind::IdentityMismatch, detail);
                changes.breaks.push(Break { object, at_risk, ..found });
            }
            return self.adopt_refund(changes, snapshot, amount, ports);
        };
        let Applied::Moved(step) = before.apply(RefundEvent::Seen(snapshot.sighting.clone()))? else {
            return Ok(());
        };
        let after = step.after().clone();
        self.follow_refund(changes, *step)?;
        self.book_refund(changes, &before, &after, snapshot);
        self.refund_news(changes, &before, &after, ports)
    }

    /// The gateway shows a hold that was released as given back, although nothing of it was taken.
    ///
    /// Source: <https://docs.stripe.com/api/refunds/object#refund_object-reason>
    fn is_release(&self, snapshot: &RefundSnapshot) -> bool {
        snapshot.reason.as_deref() == Some("expired_uncaptured_charge")
            || self.payment.state == PaymentState::Cancelled
    }

    /// Somebody gave money back at the gateway. The payment follows once, from nothing to what was seen: a refund that
    /// has come back already never took anything of it.
    fn adopt_refund(
        &mut self,
        changes: &mut Changes,
        snapshot: &RefundSnapshot,
        amount: Money,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        let reason = snapshot.reason.as_deref().and_then(|reason| reason.parse().ok());
        let draft = RefundDraft {
            id: ports.new_id(),
            amount,
            reason: reason.unwrap_or(RefundReason::Other),
            note: None,
            created_at: snapshot.created_at,
        };
        let birth = Refund::adopt(&self.payment, draft, snapshot.sighting.id.clone());
        let before = birth.after().clone();
        let Applied::Moved(seen) = before.apply(RefundEvent::Seen(snapshot.sighting.clone()))? else {
            return self.follow_refund(changes, birth);
        };
        let after = seen.after().clone();
        let followed = self.payment.follow_refund(&Transition::first(RefundEvent::Adopted, after.clone()))?;
        changes.steps.extend([birth, *seen].map(|step| Step::Refund(Box::new(step))));
        self.payment_step(changes, followed);
        self.book_refund(changes, &before, &after, snapshot);
        self.refund_news(changes, &before, &after, ports)
    }

    fn book_refund(&self, changes: &mut Changes, before: &Refund, after: &Refund, snapshot: &RefundSnapshot) {
        changes.journals.push(Journal::refunded(&self.payment, after, snapshot.created_at));
        if !after.state.is_reserved() {
            changes.journals.push(Journal::refund_failed(&self.payment, after, changes.at));
        }
        if let (None, Some(moved)) = (&before.settlement, &snapshot.sighting.settlement) {
            changes.journals.push(Journal::refund_settled(&self.payment, after, moved));
        }
        if let (None, Some(moved)) = (&before.reversal, &snapshot.sighting.reversal) {
            changes.journals.push(Journal::refund_settled(&self.payment, after, moved));
        }
    }

    /// What a refund's change means for the order and for people.
    fn refund_news(
        &mut self,
        changes: &mut Changes,
        before: &Refund,
        after: &Refund,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        if after.state == RefundState::Failed && before.state != RefundState::Failed {
            let why = after.failure.as_deref().unwrap_or("no reason given");
            let detail = format!("{} of {} to be refunded: {why}", after.amount, self.payment.id);
            let (object, at_risk) = (Some(after.id.to_string()), Some(after.amount));
            changes.breaks.push(Break { object, at_risk, ..self.broken(BreakKind::RefundFailed, detail) });
        }
        if !after.state.is_settled() {
            self.watch(changes, ports, changes.at + REFUND_PATIENCE);
        }
        let kinds = [BreakKind::LateMoney, BreakKind::SurplusPayment, BreakKind::RefundFailed];
        // Of several refunds that are learned of at once, an earlier one may have looked like the last.
        changes.resolutions.retain(|one| one.payment != Some(self.payment.id) || !kinds.contains(&one.kind));
        if self.payment.returned == self.payment.captured {
            changes.resolutions.extend(kinds.map(|kind| Resolution {
                kind,
                payment: Some(self.payment.id),
                object: None,
                reason: format!("all of {} was given back", self.payment.captured),
            }));
        }
        self.follow(changes, ports)
    }

    /// The gateway will not give it back.
    pub(in crate::usecase) fn refund_refused(
        &mut self,
        changes: &mut Changes,
        refund: &Refund,
        why: String,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        let Applied::Moved(step) = refund.apply(RefundEvent::Refused(why))? else { return Ok(()) };
        let after = step.after().clone();
        self.follow_refund(changes, *step)?;
        self.refund_news(changes, refund, &after, ports)
    }
}
