//! What must hold after each commit.

use paywright_domain::{
    CallState, Cause, Changes, Effect, GatewayCall, Operation, Order, OrderId, OrderState, Payment,
    PaymentId, PaymentState, RefundState, Step, Subject, Version,
    ports::{Committed, Store},
};
use paywright_sandbox::model::{Mode, checkout_session::Status as PageStatus, payment_intent::Status};
use paywright_testkit::{JobState, MemoryStore, StoredJob};

use super::{Violation, Watch, broken, wishes};
use crate::{ports::peek, world::World};

/// How the rows stood before a commit, as far as it changes them.
pub(crate) struct Before {
    job: Option<StoredJob>,
    /// Each row's first step: its name, the version it stands at, and the version that the step was decided on.
    versions: Vec<(String, Option<Version>, Option<Version>)>,
    trail: usize,
}

impl Before {
    pub(crate) fn of(rows: &MemoryStore, changes: &Changes) -> Self {
        let job = match changes.cause {
            Cause::Job(lease) => rows.job(lease.job),
            Cause::Request(..) => None,
        };
        let mut versions: Vec<(String, Option<Version>, Option<Version>)> = Vec::new();
        for step in &changes.steps {
            let (name, stored, decided) = standing(rows, step);
            if versions.iter().all(|(known, _, _)| *known != name) {
                versions.push((name, stored, decided));
            }
        }
        Self { job, versions, trail: rows.trail_len() }
    }
}

fn standing(rows: &MemoryStore, step: &Step) -> (String, Option<Version>, Option<Version>) {
    match step {
        Step::Order(step) => {
            let id = step.after().id;
            let stored = peek(rows.order(id)).and_then(Result::ok).flatten();
            (id.to_string(), stored.map(|row| row.version), step.before().map(|row| row.version))
        }
        Step::Payment(step) => {
            let id = step.after().id;
            let stored = peek(rows.payment(id)).and_then(Result::ok).flatten();
            (id.to_string(), stored.map(|row| row.version), step.before().map(|row| row.version))
        }
        Step::Refund(step) => {
            let id = step.after().id;
            let stored = peek(rows.refund(id)).and_then(Result::ok).flatten();
            (id.to_string(), stored.map(|row| row.version), step.before().map(|row| row.version))
        }
        Step::Dispute(step) => {
            let id = step.after().id;
            let stored = peek(rows.dispute(id)).and_then(Result::ok).flatten();
            (id.to_string(), stored.map(|row| row.version), step.before().map(|row| row.version))
        }
    }
}

impl Watch {
    /// Looks at what a commit left behind.
    pub(crate) fn committed(
        &mut self,
        world: &World,
        before: &Before,
        changes: &Changes,
        committed: Committed,
    ) {
        if committed == Committed::Before {
            return;
        }
        let verdict = self.look(world, before, changes);
        self.judge(verdict);
    }

    fn look(&mut self, world: &World, before: &Before, changes: &Changes) -> Result<(), Violation> {
        let rows = &world.rows;
        i16_no_stale_version(before)?;
        i27_only_the_newest_holder(before, changes)?;
        i14_every_step_is_in_the_trail(before, changes, rows)?;
        self.i22_a_cause_once(changes)?;
        for (call, state) in &changes.answers {
            i24_undone_only_if_stripe_has_none(world, call, *state)?;
        }
        for step in &changes.steps {
            match step {
                Step::Order(step) => i12_order(step.before(), step.after())?,
                Step::Payment(step) => {
                    i12_payment(step.before(), step.after())?;
                    i6_ended_only_if_stripe_says_so(world, step.before(), step.after())?;
                    self.i11_captured_never_goes_back(step.after())?;
                }
                Step::Refund(_) | Step::Dispute(_) => {}
            }
        }
        for id in payments(changes) {
            let Some(payment) = peek(rows.payment(id)).and_then(Result::ok).flatten() else { continue };
            i3_never_more_back_than_taken(rows, &payment)?;
            i4_amounts_are_those_of_the_order(world, rows, &payment)?;
        }
        for id in orders(changes) {
            let Some(order) = peek(rows.order(id)).and_then(Result::ok).flatten() else { continue };
            i6_paid_only_if_stripe_says_so(world, rows, &order)?;
            i2_one_payment_counts(rows, &order)?;
            i18_one_call_alive(rows, id)?;
            wishes::fit(rows, &order)?;
        }
        Ok(())
    }

    /// I22: whatever is committed is committed once, however often it is asked for or told.
    fn i22_a_cause_once(&mut self, changes: &Changes) -> Result<(), Violation> {
        let cause = changes.cause.to_string();
        if self.causes.insert(cause.clone()) {
            Ok(())
        } else {
            broken("I22", format!("{cause} was committed twice"))
        }
    }

    /// I11: what was seen captured never becomes less.
    fn i11_captured_never_goes_back(&mut self, payment: &Payment) -> Result<(), Violation> {
        let now = payment.captured.minor();
        let most = self.captured.entry(payment.id).or_insert(now);
        if now < *most {
            return broken("I11", format!("{} had {most} captured, and now {now}", payment.id));
        }
        *most = now;
        Ok(())
    }
}

fn payments(changes: &Changes) -> Vec<PaymentId> {
    let of = |step: &Step| match step {
        Step::Order(_) => None,
        Step::Payment(step) => Some(step.after().id),
        Step::Refund(step) => Some(step.after().payment),
        Step::Dispute(step) => Some(step.after().payment),
    };
    let mut ids: Vec<_> = changes.steps.iter().filter_map(of).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn orders(changes: &Changes) -> Vec<OrderId> {
    let of = |step: &Step| match step {
        Step::Order(step) => step.after().id,
        Step::Payment(step) => step.after().order,
        Step::Refund(step) => step.after().order,
        Step::Dispute(step) => step.after().order,
    };
    let mut ids: Vec<_> = changes.steps.iter().map(of).collect();
    ids.extend(changes.answers.iter().map(|(call, _)| call.order));
    ids.extend(changes.effects.iter().filter_map(|effect| match effect {
        Effect::Call { call, .. } => Some(call.order),
        Effect::WatchOrder { .. } => None,
    }));
    ids.sort();
    ids.dedup();
    ids
}

/// I16: a decision is written only over the version that it was made on.
fn i16_no_stale_version(before: &Before) -> Result<(), Violation> {
    for (name, stored, decided) in &before.versions {
        if stored != decided {
            return broken("I16", format!("{name} stood at {stored:?}, and was decided on at {decided:?}"));
        }
    }
    Ok(())
}

/// I27: a job is completed by its newest holder only.
fn i27_only_the_newest_holder(before: &Before, changes: &Changes) -> Result<(), Violation> {
    let Cause::Job(lease) = changes.cause else { return Ok(()) };
    let held = before
        .job
        .as_ref()
        .is_some_and(|job| job.token == lease.token && matches!(job.state, JobState::Held { .. }));
    if held { Ok(()) } else { broken("I27", format!("{lease:?} completed {:?}", before.job)) }
}

/// I14: every step has its line in the trail, written with it.
fn i14_every_step_is_in_the_trail(
    before: &Before,
    changes: &Changes,
    rows: &MemoryStore,
) -> Result<(), Violation> {
    let (lines, wanted) = (rows.trail_len() - before.trail, changes.entries().len());
    if lines >= wanted {
        return Ok(());
    }
    broken("I14", format!("{} has {lines} lines instead of {wanted}", changes.cause))
}

/// I12: an order moves along the edges of its machine only.
fn i12_order(before: Option<&Order>, after: &Order) -> Result<(), Violation> {
    use OrderState as S;
    let Some(before) = before else {
        return if after.state == S::Pending {
            Ok(())
        } else {
            broken("I12", format!("{} is born {}", after.id, after.state))
        };
    };
    let possible: &[S] = match before.state {
        S::Pending => &[S::PaymentProcessing, S::Authorized, S::Paid, S::Cancelled],
        S::PaymentProcessing => &[S::Pending, S::Authorized, S::Paid, S::Cancelled],
        S::Authorized => &[S::Pending, S::PaymentProcessing, S::Paid, S::Cancelled],
        S::Paid => &[S::FulfillmentStarted, S::Cancelled, S::Refunded],
        S::FulfillmentStarted => &[S::Shipped, S::Completed, S::Cancelled, S::Refunded],
        S::Shipped => &[S::Completed, S::Refunded],
        S::Completed => &[S::Refunded],
        S::Cancelled => &[S::Refunded],
        S::Refunded => &[],
    };
    if before.state == after.state || possible.contains(&after.state) {
        return Ok(());
    }
    broken("I12", format!("{} went from {} to {}", after.id, before.state, after.state))
}

/// I12: a payment that was captured stays so, and one that ended comes to life only by money.
fn i12_payment(before: Option<&Payment>, after: &Payment) -> Result<(), Violation> {
    use PaymentState as S;
    let Some(before) = before else { return Ok(()) };
    let kept = match before.state {
        S::Captured => after.state == S::Captured,
        S::Cancelled => matches!(after.state, S::Cancelled | S::Captured),
        S::Failed => matches!(after.state, S::Failed | S::Cancelled | S::Captured),
        S::Created | S::Pending | S::RequiresAction | S::Processing | S::Authorized => {
            after.state != S::Created || before.state == S::Created
        }
    };
    if kept {
        return Ok(());
    }
    broken("I12", format!("{} went from {} to {}", after.id, before.state, after.state))
}

/// I3: what is reserved, under way and sent back is what the payment says, and never more than was taken.
fn i3_never_more_back_than_taken(rows: &MemoryStore, payment: &Payment) -> Result<(), Violation> {
    let refunds = peek(Store::refunds(rows, payment.id)).and_then(Result::ok).unwrap_or_default();
    let sum = |wanted: fn(RefundState) -> bool| -> u64 {
        refunds.iter().filter(|refund| wanted(refund.state)).map(|refund| refund.amount.minor()).sum()
    };
    let (reserved, sent) = (sum(RefundState::is_reserved), sum(|state| state == RefundState::Succeeded));
    let (refunded, returned, captured) =
        (payment.refunded.minor(), payment.returned.minor(), payment.captured.minor());
    if reserved == refunded && sent == returned && refunded <= captured {
        return Ok(());
    }
    broken(
        "I3",
        format!(
            "{}: {captured} captured, {refunded} refunded ({reserved}), {returned} sent ({sent})",
            payment.id
        ),
    )
}

/// I4: whatever we act on at Stripe is over the order's own amount.
fn i4_amounts_are_those_of_the_order(
    world: &World,
    rows: &MemoryStore,
    payment: &Payment,
) -> Result<(), Violation> {
    let Some(order) = peek(rows.order(payment.order)).and_then(Result::ok).flatten() else { return Ok(()) };
    let model = world.model();
    let intent =
        payment.intent.as_ref().and_then(|id| model.world(Mode::Test).payment_intents.get(id.as_str()));
    let there = intent.map(|intent| (intent.amount.unsigned_abs(), intent.currency.as_str()));
    let here = (order.total.minor(), order.total.currency().code());
    if payment.amount == order.total && there.is_none_or(|there| there == here) {
        return Ok(());
    }
    broken(
        "I4",
        format!(
            "{} is over {}, {} over {there:?}, {} over {here:?}",
            payment.id, payment.amount, "Stripe's", order.id
        ),
    )
}

/// I6: an order is paid, or its money held, only if an object of Stripe's says so.
fn i6_paid_only_if_stripe_says_so(world: &World, rows: &MemoryStore, order: &Order) -> Result<(), Violation> {
    let Some(by) = order.paid_by else { return Ok(()) };
    let payment = peek(rows.payment(by)).and_then(Result::ok).flatten();
    let model = world.model();
    let there = payment
        .as_ref()
        .and_then(|payment| payment.intent.as_ref())
        .and_then(|id| model.world(Mode::Test).payment_intents.get(id.as_str()));
    let said = there.is_some_and(|intent| match order.state {
        OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized => {
            intent.latest_charge.is_some()
        }
        OrderState::Paid
        | OrderState::FulfillmentStarted
        | OrderState::Shipped
        | OrderState::Completed
        | OrderState::Refunded => intent.status == Status::Succeeded && intent.amount_received > 0,
        OrderState::Cancelled => true,
    });
    let (id, state) = (order.id, order.state);
    let there = there.map(|intent| (intent.status, intent.amount_received));
    if said { Ok(()) } else { broken("I6", format!("{id} is {state} by {by}, which is {there:?} at Stripe")) }
}

/// I6, the other way round: a payment is called cancelled only if nobody can pay it any more at Stripe.
fn i6_ended_only_if_stripe_says_so(
    world: &World,
    before: Option<&Payment>,
    after: &Payment,
) -> Result<(), Violation> {
    let ends = after.state == PaymentState::Cancelled
        && before.is_none_or(|before| before.state != PaymentState::Cancelled);
    if !ends {
        return Ok(());
    }
    let model = world.model();
    let stripe = model.world(Mode::Test);
    let intent = after.intent.as_ref().and_then(|id| stripe.payment_intents.get(id.as_str()));
    let page = after.session.as_ref().and_then(|id| stripe.checkout_sessions.get(id.as_str()));
    let open = page.is_some_and(|page| page.status == PageStatus::Open)
        || page.is_none() && intent.is_some_and(|intent| intent.status != Status::Canceled);
    if !open {
        return Ok(());
    }
    broken(
        "I6",
        format!("{} is cancelled here, and {:?} at Stripe", after.id, intent.map(|intent| intent.status)),
    )
}

/// I24: that a call came to nothing is said only if Stripe has nothing of it, or we know what it has: of two generations
/// the later may come to nothing because the earlier did it after all. It may have come into being a moment ago.
fn i24_undone_only_if_stripe_has_none(
    world: &World,
    call: &GatewayCall,
    state: CallState,
) -> Result<(), Violation> {
    let just_now = match state {
        CallState::Rejected => 0,
        CallState::Absent => 15 * 60,
        CallState::Recorded | CallState::Done => return Ok(()),
    };
    let model = world.model();
    let (stripe, latest) = (model.world(Mode::Test), world.wall().seconds() - just_now);
    let payment = call.payment.to_string();
    let found = match (&call.operation, call.subject) {
        (Operation::CreateIntent { .. }, _) => stripe.payment_intents.iter().any(|intent| {
            intent.metadata.get("paywright_payment") == Some(payment.as_str()) && intent.created <= latest
        }),
        (Operation::CreateSession { .. }, _) => stripe.checkout_sessions.iter().any(|page| {
            page.metadata.get("paywright_payment") == Some(payment.as_str()) && page.created <= latest
        }),
        (Operation::CreateRefund { .. }, Subject::Refund(id)) => {
            let id = id.to_string();
            stripe.refunds.iter().any(|refund| {
                refund.metadata.get("paywright_refund") == Some(id.as_str()) && refund.created <= latest
            })
        }
        _ => false,
    };
    if found && !is_known(&world.rows, call) {
        return broken("I24", format!("{} is {state}, and Stripe has it", call.key()));
    }
    Ok(())
}

/// Whether what a call was to make has its name at Stripe here.
fn is_known(rows: &MemoryStore, call: &GatewayCall) -> bool {
    let payment = || peek(rows.payment(call.payment)).and_then(Result::ok).flatten();
    match (&call.operation, call.subject) {
        (Operation::CreateIntent { .. }, _) => payment().is_some_and(|payment| payment.intent.is_some()),
        (Operation::CreateSession { .. }, _) => payment().is_some_and(|payment| payment.session.is_some()),
        (Operation::CreateRefund { .. }, Subject::Refund(id)) => {
            let refund = peek(rows.refund(id)).and_then(Result::ok).flatten();
            refund.is_some_and(|refund| refund.gateway.is_some())
        }
        _ => false,
    }
}

/// I2: of the payments that took an order's money one counts; the money of the others is on its way back, or a person
/// was told why not.
fn i2_one_payment_counts(rows: &MemoryStore, order: &Order) -> Result<(), Violation> {
    let payments = peek(Store::payments(rows, order.id)).and_then(Result::ok).unwrap_or_default();
    let live: Vec<_> =
        payments.iter().filter(|payment| payment.state.is_live()).map(|payment| payment.id).collect();
    if live.len() > 1 {
        return broken("I2", format!("{} has several live payments: {live:?}", order.id));
    }
    let breaks = rows.open_breaks();
    for payment in payments.iter().filter(|payment| payment.state == PaymentState::Captured) {
        let left = payment.captured.minor() > payment.refunded.minor();
        let told = breaks.iter().any(|found| found.payment == Some(payment.id));
        if order.paid_by != Some(payment.id) && left && !told {
            return broken(
                "I2",
                format!("{} keeps the money of {} beside {:?}", order.id, payment.id, order.paid_by),
            );
        }
    }
    Ok(())
}

/// I18: of one wish at most one call is alive at Stripe.
fn i18_one_call_alive(rows: &MemoryStore, order: OrderId) -> Result<(), Violation> {
    let calls = rows.calls_of(order);
    let open: Vec<_> = calls.iter().filter(|call| call.state == CallState::Recorded).collect();
    for (at, call) in open.iter().enumerate() {
        let same = |other: &&&GatewayCall| {
            other.subject == call.subject && other.operation.name() == call.operation.name()
        };
        if let Some(other) = open[at + 1..].iter().find(same) {
            return broken("I18", format!("{} and {} are both alive", call.key(), other.key()));
        }
    }
    Ok(())
}
