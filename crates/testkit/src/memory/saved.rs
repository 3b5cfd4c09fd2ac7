//! What a commit may touch, as it was before: so that one which fails half-way leaves no trace, at a price that does not
//! grow with the number of rows.

use paywright_domain::{
    Cause, Changes, Customer, CustomerId, Dispute, DisputeId, Effect, GatewayCall, JobId, Order, OrderId,
    Payment, PaymentId, Refund, RefundId, Step, ports::Task,
};

use super::state::{State, StoredBreak, StoredJob};

/// See the module's documentation.
pub(super) struct Saved {
    /// Unless it was taken before.
    cause: Option<String>,
    orders: Vec<(OrderId, Option<Order>)>,
    payments: Vec<(PaymentId, Option<Payment>)>,
    refunds: Vec<(RefundId, Option<Refund>)>,
    disputes: Vec<(DisputeId, Option<Dispute>)>,
    customer: Option<(CustomerId, Option<Customer>)>,
    calls: Vec<(JobId, Option<GatewayCall>)>,
    jobs: Vec<(usize, StoredJob)>,
    breaks: Vec<StoredBreak>,
    lengths: [usize; 4],
}

impl Saved {
    /// What `changes` may touch.
    pub(super) fn of(state: &State, changes: &Changes) -> Self {
        let cause = changes.cause.to_string();
        let lease = match changes.cause {
            Cause::Job(lease) => Some(lease.job),
            Cause::Request(..) => None,
        };
        let watched = changes.effects.iter().filter_map(|effect| match effect {
            Effect::WatchOrder { order, .. } => Some(Task::WatchOrder(*order)),
            Effect::Call { .. } => None,
        });
        let watched: Vec<_> = watched.collect();
        let touched = |job: &StoredJob| lease == Some(job.id) || watched.contains(&job.task);
        let jobs = state.jobs.iter().enumerate().filter(|(_, job)| touched(job));
        let mut saved = Self {
            cause: (!state.causes.contains(&cause)).then_some(cause),
            orders: Vec::new(),
            payments: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            customer: changes.customer.as_ref().map(|new| (new.id, state.customers.get(&new.id).cloned())),
            calls: Vec::new(),
            jobs: jobs.map(|(at, job)| (at, job.clone())).collect(),
            breaks: state.breaks.clone(),
            lengths: [state.jobs.len(), state.declines.len(), state.journals.len(), state.audit.len()],
        };
        for step in &changes.steps {
            saved.save(state, step);
        }
        let answered = changes.answers.iter().map(|(call, _)| call.id);
        let asked = changes.effects.iter().filter_map(|effect| match effect {
            Effect::Call { call, .. } => Some(call.id),
            Effect::WatchOrder { .. } => None,
        });
        saved.calls = answered.chain(asked).map(|id| (id, state.calls.get(&id).cloned())).collect();
        saved
    }

    fn save(&mut self, state: &State, step: &Step) {
        match step {
            Step::Order(step) => {
                let id = step.after().id;
                self.orders.push((id, state.orders.get(&id).cloned()));
            }
            Step::Payment(step) => {
                let id = step.after().id;
                self.payments.push((id, state.payments.get(&id).cloned()));
            }
            Step::Refund(step) => {
                let id = step.after().id;
                self.refunds.push((id, state.refunds.get(&id).cloned()));
            }
            Step::Dispute(step) => {
                let id = step.after().id;
                self.disputes.push((id, state.disputes.get(&id).cloned()));
            }
        }
    }

    /// Puts everything back.
    pub(super) fn restore(self, state: &mut State) {
        fn put<K: Ord, V>(rows: &mut std::collections::BTreeMap<K, V>, id: K, row: Option<V>) {
            match row {
                Some(row) => rows.insert(id, row),
                None => rows.remove(&id),
            };
        }
        if let Some(cause) = &self.cause {
            state.causes.remove(cause);
        }
        self.orders.into_iter().for_each(|(id, row)| put(&mut state.orders, id, row));
        self.payments.into_iter().for_each(|(id, row)| put(&mut state.payments, id, row));
        self.refunds.into_iter().for_each(|(id, row)| put(&mut state.refunds, id, row));
        self.disputes.into_iter().for_each(|(id, row)| put(&mut state.disputes, id, row));
        self.customer.into_iter().for_each(|(id, row)| put(&mut state.customers, id, row));
        self.calls.into_iter().for_each(|(id, row)| put(&mut state.calls, id, row));
        self.jobs.into_iter().for_each(|(at, job)| state.jobs[at] = job);
        state.breaks = self.breaks;
        let [jobs, declines, journals, audit] = self.lengths;
        state.jobs.truncate(jobs);
        state.declines.truncate(declines);
        state.journals.truncate(journals);
        state.audit.truncate(audit);
    }
}
