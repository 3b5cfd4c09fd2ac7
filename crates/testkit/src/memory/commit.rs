use paywright_domain::{
    Break, Cause, Changes, Customer, Decline, Effect, Entry, GatewayCall, Guard, JobId, Lease, Order,
    OrderEvent, OrderId, Payment, PaymentEvent, PaymentId, Step, Transition,
    ports::{Committed, QueueName, StoreError, Task, TimelineEntry},
};
use time::{Duration, OffsetDateTime};

use super::state::{AuditRow, JobState, State, StoredJob};

/// Writes `changes` into `state`, which the caller throws away unless this is `Now`.
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
            Effect::ExpireOrder { job, order, at } => state.expire(job, order, now + (at - changes.at))?,
        }
    }
    let declined = state.decline(&changes.declines)?;
    let broken = state.tell_apart(&changes.breaks)?;
    for entry in entries.into_iter().chain(declined).chain(broken) {
        state.audit.push(row(&changes, entry));
    }
    Ok(Committed::Now)
}

impl State {
    /// Takes the cause, and completes its job if it is one. `Before` when it was taken.
    fn take(&mut self, changes: &Changes) -> Result<Option<Committed>, StoreError> {
        if !self.causes.insert(changes.cause.to_string()) {
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

    fn step_order(&mut self, step: &Transition<Order, OrderEvent>) -> Result<(), StoreError> {
        let after = step.after();
        let known = self.orders.get(&after.id).map(|order| order.version);
        if known != step.before().map(|before| before.version) {
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

    fn step_payment(&mut self, step: &Transition<Payment, PaymentEvent>) -> Result<(), StoreError> {
        let after = step.after();
        let of =
            |order: &&Order| order.mode == after.mode && order.total.currency() == after.amount.currency();
        if self.orders.get(&after.order).filter(of).is_none() {
            return Err(bug("a payment without an order of its mode and currency"));
        }
        let known = self.payments.get(&after.id).map(|payment| payment.version);
        if known != step.before().map(|before| before.version) {
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
        if self.live_payments(after.order).count() > 1 {
            return Err(StoreError::Conflict);
        }
        Ok(())
    }

    fn record(
        &mut self,
        call: GatewayCall,
        held_for: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.needs(call.order, call.payment)?;
        if self.calls.values().any(|known| known.id == call.id || known.key() == call.key()) {
            return Err(StoreError::Conflict);
        }
        let (state, token) = match held_for {
            Some(time) => (JobState::Held { until: now + time }, Lease::FROM_BIRTH),
            None => (JobState::Waiting, 0),
        };
        self.jobs.push(StoredJob {
            id: call.id,
            queue: QueueName::Effects,
            task: Task::PerformCall(call.id),
            state,
            due_at: now,
            token,
            attempts: token,
            note: None,
        });
        self.calls.insert(call.id, call);
        Ok(())
    }

    /// Moving a timer takes it from whoever holds it: they looked at the order as it was before.
    fn expire(&mut self, id: JobId, order: OrderId, at: OffsetDateTime) -> Result<(), StoreError> {
        if !self.orders.contains_key(&order) {
            return Err(bug("a timer of an order that is not stored"));
        }
        let task = Task::ExpireOrder(order);
        if let Some(open) = self.jobs.iter_mut().find(|job| job.task == task && job.is_open()) {
            open.due_at = at;
            open.state = JobState::Waiting;
            return Ok(());
        }
        self.jobs.push(StoredJob {
            id,
            queue: QueueName::Effects,
            task,
            state: JobState::Waiting,
            due_at: at,
            token: 0,
            attempts: 0,
            note: None,
        });
        Ok(())
    }

    fn decline(&mut self, declines: &[Decline]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for decline in declines {
            self.needs(decline.order, decline.payment)?;
            let same = |known: &Decline| {
                known.payment == decline.payment && known.refusal.key == decline.refusal.key
            };
            if !self.declines.iter().any(same) {
                self.declines.push(decline.clone());
                entries.push(decline.entry());
            }
        }
        Ok(entries)
    }

    fn tell_apart(&mut self, breaks: &[Break]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for found in breaks {
            self.needs(found.order, found.payment)?;
            let same = |known: &Break| known.payment == found.payment && known.kind == found.kind;
            if !self.breaks.iter().any(same) {
                self.breaks.push(found.clone());
                entries.push(found.entry());
            }
        }
        Ok(entries)
    }

    fn needs(&self, order: OrderId, payment: PaymentId) -> Result<(), StoreError> {
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

fn bug(what: &'static str) -> StoreError {
    StoreError::Bug(what.into())
}
