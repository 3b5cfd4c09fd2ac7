use paywright_domain::{
    Cause, Changes, Customer, Effect, Entry, Guard, OrderId, PaymentId, Step,
    ports::{Committed, StoreError, TimelineEntry},
};
use time::OffsetDateTime;

use super::state::{AuditRow, Flaw, JobState, State};

/// Writes `changes` into `state`, which the caller puts back as it was unless this is `Now`.
pub(super) fn write(
    state: &mut State,
    changes: Changes,
    now: OffsetDateTime,
) -> Result<Committed, StoreError> {
    if let Some(earlier) = state.take(&changes)? {
        return Ok(earlier);
    }
    let entries = changes.entries();
    if let Some(customer) = changes.customer.clone() {
        state.welcome(customer)?;
    }
    if !changes.guards.iter().all(|guard| state.holds(*guard)) {
        return Err(StoreError::Conflict);
    }
    for step in &changes.steps {
        match step {
            Step::Order(step) => state.step_order(step)?,
            Step::Payment(step) => state.step_payment(step)?,
            Step::Refund(step) => state.step_refund(step)?,
            Step::Dispute(step) => state.step_dispute(step)?,
        }
    }
    for (call, ended) in &changes.answers {
        state.calls.get_mut(&call.id).ok_or_else(|| bug("answer to a call that was never recorded"))?.state =
            *ended;
    }
    for effect in changes.effects.clone() {
        match effect {
            Effect::Call { call, held_for } => state.record(call, held_for, now)?,
            // The caller's clock only says how far away the moment is.
            Effect::WatchOrder { job, order, at } => state.watch(job, order, now + (at - changes.at))?,
        }
    }
    let declined = state.decline(&changes.declines)?;
    state.book(&changes.journals)?;
    let broken = state.tell_apart(&changes)?;
    let explained = state.explain(&changes);
    for entry in entries.into_iter().chain(declined).chain(broken).chain(explained) {
        state.audit.push(row(&changes, entry));
    }
    Ok(Committed::Now)
}

impl State {
    /// Takes the cause, and completes its job if it is one. `Before` when it was taken.
    fn take(&mut self, changes: &Changes) -> Result<Option<Committed>, StoreError> {
        let known = !self.causes.insert(changes.cause.to_string());
        if known && self.flaw != Some(Flaw::CauseTwice) {
            return Ok(Some(Committed::Before));
        }
        if let Cause::Job(lease) = changes.cause {
            let job = self.held(lease).ok_or(StoreError::LeaseLost)?;
            job.state = JobState::Done;
            job.note.clone_from(&changes.conclusion);
        }
        Ok(None)
    }

    fn welcome(&mut self, customer: Customer) -> Result<(), StoreError> {
        let taken = |known: &Customer| {
            known.id == customer.id || (known.mode == customer.mode && known.email == customer.email)
        };
        if self.customers.values().any(taken) {
            return Err(StoreError::Conflict);
        }
        self.customers.insert(customer.id, customer);
        Ok(())
    }

    fn holds(&self, guard: Guard) -> bool {
        match guard {
            Guard::Order(id, version) => self.orders.get(&id).is_some_and(|order| order.version == version),
            Guard::Payment(id, version) => {
                self.payments.get(&id).is_some_and(|payment| payment.version == version)
            }
        }
    }

    pub(super) fn needs(&self, order: OrderId, payment: PaymentId) -> Result<(), StoreError> {
        if self.payments.get(&payment).is_some_and(|payment| payment.order == order) {
            Ok(())
        } else {
            Err(bug("a row of a payment that is not stored, or of another order"))
        }
    }
}

fn row(changes: &Changes, entry: Entry) -> AuditRow {
    let Entry { order, payment, subject, event, from, to, detail } = entry;
    let entry = TimelineEntry {
        at: changes.at,
        subject: subject.to_owned(),
        payment,
        event,
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        actor: changes.actor.to_string(),
        cause: changes.cause.to_string(),
        gateway_event: changes.origin.event.clone(),
        gateway_request: changes.origin.request.clone(),
        detail,
    };
    AuditRow { order, entry }
}

pub(super) fn bug(what: &'static str) -> StoreError {
    StoreError::Bug(what.into())
}
