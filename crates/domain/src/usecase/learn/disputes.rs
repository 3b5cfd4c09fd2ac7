//! What follows from what the gateway says of a dispute.

use time::Duration;

use super::{Pair, name_origin};
use crate::{
    Applied, Break, BreakKind, Changes, Dispute, DisputeEvent, DisputeStatus, IllegalTransition, Journal,
    Money, PaymentState, Resolution, Step, Transition, ports::DisputeSnapshot, usecase::Ports,
};

/// How long before its deadline an operator is told of a dispute that nobody has answered.
pub(in crate::usecase) const DISPUTE_NOTICE: Duration = Duration::hours(48);

/// When to ask about a dispute of a status that we do not know.
const DISPUTE_PATIENCE: Duration = Duration::HOUR;

impl Pair {
    /// Adds to `changes` what follows from a look at a dispute; `known` is ours, if we know it.
    pub(in crate::usecase) fn learn_dispute(
        &mut self,
        changes: &mut Changes,
        known: Option<Dispute>,
        snapshot: &DisputeSnapshot,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        name_origin(changes, &snapshot.origin);
        let object = Some(snapshot.id.to_string());
        if snapshot.mode != self.payment.mode {
            let detail = format!("ours is {}, the gateway's dispute {}", self.payment.mode, snapshot.mode);
            changes.breaks.push(Break { object, ..self.broken(BreakKind::ModeMismatch, detail) });
            return Ok(());
        }
        let seen = snapshot.sighting.clone();
        if seen.amount.currency() != self.payment.amount.currency() {
            let detail = format!("ours is {}, the gateway's dispute {}", self.payment.amount, seen.amount);
            changes.breaks.push(Break { object, ..self.broken(BreakKind::AmountMismatch, detail) });
            return Ok(());
        }
        let step = match known {
            None => {
                let id = ports.new_id();
                Some(Dispute::open(id, &self.payment, snapshot.id.clone(), seen, snapshot.created_at))
            }
            Some(dispute) => match dispute.apply(DisputeEvent::Seen(seen))? {
                Applied::Moved(step) => Some(*step),
                Applied::AlreadyTrue => None,
            },
        };
        if let Some(step) = step {
            self.add_up(changes, snapshot);
            self.follow_dispute(changes, step, ports)?;
        }
        let journal = |moved| Journal::disputed(&self.payment, moved);
        changes.journals.extend(snapshot.movements.iter().map(journal));
        // Money that has no business here may be free to be given back now.
        if self.payment.state == PaymentState::Captured { self.follow(changes, ports) } else { Ok(()) }
    }

    /// What was withdrawn for a dispute is its amount. Whoever says otherwise may be wrong, and nothing need follow that
    /// puts it right: a person looks, unless a later word does.
    fn add_up(&self, changes: &mut Changes, told: &DisputeSnapshot) {
        let (amount, object) = (told.sighting.amount, Some(told.id.to_string()));
        let kind = BreakKind::AmountMismatch;
        match withdrawn(told).filter(|withdrawn| *withdrawn != amount) {
            Some(withdrawn) => {
                let detail = format!("{} is over {amount}, and {withdrawn} was withdrawn for it", told.id);
                let at_risk = amount.minus(withdrawn).or_else(|_| withdrawn.minus(amount)).ok();
                changes.breaks.push(Break { object, at_risk, ..self.broken(kind, detail) });
            }
            None => changes.resolutions.push(Resolution {
                kind,
                payment: Some(self.payment.id),
                object,
                reason: "the dispute is over what was withdrawn for it".to_owned(),
            }),
        }
    }

    fn follow_dispute(
        &mut self,
        changes: &mut Changes,
        step: Transition<Dispute, DisputeEvent>,
        ports: &Ports,
    ) -> Result<(), IllegalTransition> {
        let applied = self.payment.follow_dispute(&step)?;
        let dispute = step.after();
        // A deadline that was known has its timer, or has been told of.
        let known =
            step.before().filter(|before| before.is_answerable()).and_then(|before| before.seen.due_by);
        if let Some(due_by) =
            dispute.seen.due_by.filter(|due_by| dispute.is_answerable() && known != Some(*due_by))
        {
            self.watch(changes, ports, due_by - DISPUTE_NOTICE);
        }
        // It may be over, and then no message follows that we understand.
        let newly = step.before().is_none_or(|before| before.seen.status != dispute.seen.status);
        if newly && matches!(dispute.seen.status, DisputeStatus::Other(_)) {
            self.watch(changes, ports, changes.at + DISPUTE_PATIENCE);
        }
        let (object, gateway) = (Some(dispute.id.to_string()), dispute.gateway.clone());
        let takes = !dispute.withheld().is_zero();
        changes.steps.push(Step::Dispute(Box::new(step)));
        self.payment_step(changes, applied);
        // The issuer pulls what we gave back already: two rails, and nobody but a person can stop one of them.
        let out = self.payment.refunded.plus(self.payment.disputed);
        let excess =
            out.and_then(|out| out.minus(self.payment.captured)).ok().filter(|excess| !excess.is_zero());
        if let Some(excess) = excess.filter(|_| takes && self.payment.state == PaymentState::Captured) {
            let detail = format!(
                "{} was given back already when {gateway} took {} of {}",
                self.payment.refunded, self.payment.disputed, self.payment.captured
            );
            let at_risk = Some(excess);
            changes.breaks.push(Break { object, at_risk, ..self.broken(BreakKind::AmountMismatch, detail) });
        }
        Ok(())
    }
}

/// What a dispute's movements come to, where that can be compared with its amount: in its own currency, and while it is
/// withheld.
fn withdrawn(told: &DisputeSnapshot) -> Option<Money> {
    let (seen, currency) = (&told.sighting, told.sighting.amount.currency());
    if !seen.status.withholds() || told.movements.iter().any(|moved| moved.currency != currency) {
        return None;
    }
    let taken = told.movements.iter().fold(0_i64, |sum, moved| sum.saturating_sub(moved.amount));
    u64::try_from(taken)
        .ok()
        .filter(|taken| *taken > 0)
        .and_then(|taken| Money::from_minor(taken, currency).ok())
}
