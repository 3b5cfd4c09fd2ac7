//! What must hold when nothing moves any more: our books and Stripe's say the same, or a break tells why not.

use std::collections::{BTreeMap, BTreeSet};

use paywright_domain::{
    Account, Break, BreakKind, CallState, Mode, OrderState, Payment, PaymentState, RefundState,
    ports::{EVENTS_KEPT, InboxEvent, QueueName, Reader as _, Task},
};
use paywright_sandbox::model::{
    Mode as World_,
    balance_transaction::BalanceTransaction,
    dispute::DisputeStatus,
    payment_intent::{PaymentIntent, Status},
    refund::RefundStatus,
    time::Time,
    world::World as Stripe,
};
use paywright_testkit::{JobState, StoredJob};

use time::Duration;

use super::{Violation, broken};
use crate::{fault::Fault, ports::peek, world::World};

/// Everything that is compared, as it stands.
struct Rest<'a> {
    stripe: &'a Stripe,
    payments: Vec<Payment>,
    refunds: Vec<paywright_domain::Refund>,
    breaks: Vec<Break>,
    jobs: Vec<StoredJob>,
    events: Vec<InboxEvent>,
}

/// Checks everything.
pub(crate) fn at_rest(world: &World) -> Result<(), Violation> {
    let model = world.model();
    let rest = Rest {
        stripe: model.world(World_::Test),
        payments: world.rows.payments(),
        refunds: world.rows.refunds(),
        breaks: world.rows.open_breaks(),
        jobs: world.rows.jobs(),
        events: world.rows.events(),
    };
    i20_every_acknowledged_event(world, &rest)?;
    i20_no_event_is_missing(world, &rest)?;
    i22_one_row_an_event(world, &rest)?;
    i21_nothing_forged(&rest)?;
    i24_no_outcome_is_open(world, &rest)?;
    i13_nothing_is_under_way(world, &rest)?;
    i1_the_same_money(&rest)?;
    i5_paid_there_is_paid_here(world, &rest)?;
    i7_refunds_one_to_one(world, &rest)?;
    i10_failed_refunds_are_told(world, &rest)?;
    i9_the_books_balance(world, &rest)?;
    i25_what_was_acknowledged_is_there(world)
}

/// I20: what is dead was tried for long, or cannot be read, or its key was used for something else.
pub(crate) fn given_up_in_time(world: &World) -> Result<(), Violation> {
    let dead = world.rows.jobs().into_iter().filter(|job| job.state == JobState::Buried);
    for job in dead {
        let note = job.note.as_deref().unwrap_or_default();
        let hopeless = note.contains("not a readable event") || note.contains("used for another request");
        let tried = matches!(job.task, Task::ReadEvent(_)) && job.attempts >= ATTEMPTS_MIN;
        if !hopeless && !tried {
            return broken(
                "I20",
                format!("{:?} was given up after {} attempts: {note}", job.task, job.attempts),
            );
        }
    }
    Ok(())
}

/// How often an event is tried at least before it is dead.
const ATTEMPTS_MIN: u32 = 30;

/// I5, checked early: what was paid at Stripe is known here as soon as everything that was told was heard, and all that was
/// there at `compared` was compared. Who pays later is heard of by the next comparison.
pub(crate) fn soon(world: &World, compared: Option<Time>) -> Result<(), Violation> {
    let model = world.model();
    let (stripe, payments, breaks) =
        (model.world(World_::Test), world.rows.payments(), world.rows.open_breaks());
    let unread = world.rows.next_due(QueueName::Webhooks).is_some();
    if stripe.deliveries.open_count() > 0 || unread {
        return Ok(());
    }
    // A debit succeeds days after it was asked for, which is when its money moves.
    let later = |intent: &PaymentIntent| {
        let moved = |one: &&BalanceTransaction| intent.latest_charge.as_ref() == Some(&one.source);
        let moved = stripe.balance_transactions.iter().find(moved);
        compared.is_some_and(|at| moved.is_none_or(|moved| moved.created >= at.seconds()))
    };
    for intent in intents(stripe).filter(|intent| intent.status == Status::Succeeded && !later(intent)) {
        let named = intent.metadata.get("paywright_payment").unwrap_or_default();
        let ours = payments.iter().find(|one| one.intent.as_ref().is_some_and(|id| id.as_str() == intent.id));
        let told = breaks.iter().any(|found| {
            found.object.as_deref() == Some(&intent.id)
                || found.payment.is_some_and(|id| id.to_string() == named)
        });
        if ours.is_none_or(|ours| ours.state != PaymentState::Captured) && !told {
            let state = ours.map(|ours| ours.state);
            return broken("I5", format!("{} is paid at Stripe; {named} is {state:?}", intent.id));
        }
    }
    Ok(())
}

impl Rest<'_> {
    /// Our payment that Stripe's object is.
    fn ours(&self, intent: &PaymentIntent) -> Option<&Payment> {
        self.payments
            .iter()
            .find(|payment| payment.intent.as_ref().is_some_and(|id| id.as_str() == intent.id))
    }

    /// Whether a person was told about a payment, or about an object of Stripe's.
    fn is_told(&self, payment: Option<&Payment>, object: &str) -> bool {
        self.breaks.iter().any(|found| {
            payment.is_some_and(|payment| found.payment == Some(payment.id))
                || found.object.as_deref() == Some(object)
        })
    }

    fn returned(&self, intent: &PaymentIntent) -> u64 {
        let refunds = self.stripe.refunds.iter().filter(|refund| {
            refund.payment_intent == intent.id
                && matches!(refund.status, RefundStatus::Succeeded | RefundStatus::Pending)
        });
        refunds.map(|refund| refund.amount.unsigned_abs()).sum()
    }

    fn disputed(&self, intent: &PaymentIntent) -> u64 {
        let held = |status: DisputeStatus| {
            matches!(status, DisputeStatus::NeedsResponse | DisputeStatus::UnderReview | DisputeStatus::Lost)
        };
        let disputes = self.stripe.disputes.iter();
        let of = disputes.filter(|one| one.payment_intent == intent.id && held(one.status));
        of.map(|one| one.amount.unsigned_abs()).sum()
    }
}

/// Stripe's objects that carry our names.
fn intents(stripe: &Stripe) -> impl Iterator<Item = &PaymentIntent> {
    stripe.payment_intents.iter().filter(|intent| intent.metadata.get("paywright_payment").is_some())
}

/// I1: captured, refunded and disputed are the same on both sides, or a break tells of it.
fn i1_the_same_money(rest: &Rest<'_>) -> Result<(), Violation> {
    for intent in intents(rest.stripe) {
        let ours = rest.ours(intent);
        let there = (intent.amount_received.unsigned_abs(), rest.returned(intent), rest.disputed(intent));
        let here = ours
            .map(|payment| (payment.captured.minor(), payment.refunded.minor(), payment.disputed.minor()));
        let same = here == Some(there) || here.is_none() && there == (0, 0, 0);
        if !same && !rest.is_told(ours, &intent.id) {
            let name = ours.map(|payment| payment.id.to_string()).unwrap_or_default();
            return broken("I1", format!("{} {name}: {there:?} there, {here:?} here", intent.id));
        }
    }
    Ok(())
}

/// I5: what was paid at Stripe is paid here, whatever was lost on the way: its order is paid by it, or the money is
/// given back, or a break tells of it.
fn i5_paid_there_is_paid_here(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    let orders: BTreeMap<_, _> = world.rows.orders().into_iter().map(|order| (order.id, order)).collect();
    for intent in intents(rest.stripe).filter(|intent| intent.amount_received > 0) {
        let kept = intent
            .amount_received
            .unsigned_abs()
            .saturating_sub(rest.returned(intent) + rest.disputed(intent));
        let ours = rest.ours(intent);
        let order = ours.and_then(|payment| orders.get(&payment.order));
        let counts = order.zip(ours).is_some_and(|(order, payment)| {
            order.paid_by == Some(payment.id)
                && match order.state {
                    OrderState::Paid
                    | OrderState::FulfillmentStarted
                    | OrderState::Shipped
                    | OrderState::Completed => true,
                    OrderState::Refunded | OrderState::Cancelled => kept == 0,
                    OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized => false,
                }
        });
        if !counts && kept > 0 && !rest.is_told(ours, &intent.id) {
            let state = order.map(|order| order.state);
            return broken("I5", format!("{} keeps {kept}, and its order is {state:?}", intent.id));
        }
    }
    Ok(())
}

/// I7: each refund of ours is one of Stripe's and the reverse.
fn i7_refunds_one_to_one(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    for there in rest.stripe.refunds.iter() {
        let here: Vec<_> = rest
            .refunds
            .iter()
            .filter(|refund| refund.gateway.as_ref().is_some_and(|id| id.as_str() == there.id))
            .collect();
        let payment = rest
            .payments
            .iter()
            .find(|payment| payment.intent.as_ref().is_some_and(|id| id.as_str() == there.payment_intent));
        let release = payment.is_some_and(|payment| payment.captured.is_zero());
        if here.is_empty() && (release || rest.is_told(payment, &there.id)) {
            continue;
        }
        let state = match there.status {
            RefundStatus::Pending => RefundState::Pending,
            RefundStatus::Succeeded => RefundState::Succeeded,
            RefundStatus::Failed => RefundState::Failed,
            RefundStatus::Canceled => RefundState::Cancelled,
        };
        let same = here.len() == 1
            && here[0].state == state
            && here[0].amount.minor() == there.amount.unsigned_abs();
        if !same {
            let words: Vec<_> = here
                .iter()
                .map(|refund| format!("{} {} {}", refund.id, refund.state, refund.amount))
                .collect();
            return broken(
                "I7",
                format!("{} is {:?} of {}, here {words:?}", there.id, there.status, there.amount),
            );
        }
        let ours = there.metadata.get("paywright_refund");
        let twice = ours.is_some_and(|ours| {
            let same = rest
                .stripe
                .refunds
                .iter()
                .filter(|other| other.metadata.get("paywright_refund") == Some(ours));
            same.count() > 1
        });
        let excused = world.counts().of(Fault::SpentThenDone) > 0 && rest.is_told(payment, &there.id);
        if twice && !excused {
            return broken("I7", format!("{ours:?} is several refunds at Stripe, {} among them", there.id));
        }
    }
    let unasked = rest.refunds.iter().find(|refund| refund.gateway.is_none() && refund.state.is_reserved());
    match unasked {
        Some(refund) => broken("I7", format!("{} is {} and unknown at Stripe", refund.id, refund.state)),
        None => Ok(()),
    }
}

/// I10: a refund that came back is told, unless all was given back otherwise since.
fn i10_failed_refunds_are_told(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    let told = world.rows.breaks();
    for refund in rest.refunds.iter().filter(|refund| refund.state == RefundState::Failed) {
        let id = refund.id.to_string();
        let known =
            |found: &&Break| found.kind == BreakKind::RefundFailed && found.object.as_deref() == Some(&id);
        if !told.iter().any(|found| known(&found)) {
            return broken("I10", format!("{id} failed, and nobody was told"));
        }
    }
    Ok(())
}

/// I9: what the ledger says the gateway holds is what it holds; nothing is left in between.
fn i9_the_books_balance(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    let balances = peek(world.rows.balances(Mode::Test, None, None)).and_then(Result::ok).unwrap_or_default();
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for balance in &balances {
        *sums.entry(balance.currency.code().to_owned()).or_default() += balance.debit - balance.credit;
    }
    let (mut keys, journals) = (BTreeSet::new(), world.rows.journals());
    if let Some(twice) = journals.iter().find(|journal| !keys.insert(journal.key.as_str())) {
        return broken("I9", format!("{} is booked twice", twice.key));
    }
    if sums.values().any(|sum| *sum != 0) {
        return broken("I9", format!("the sums are {sums:?}"));
    }
    let clearing: i64 = balances
        .iter()
        .filter(|balance| balance.account == Account::Clearing)
        .map(|balance| balance.debit - balance.credit)
        .sum();
    if clearing != 0 && rest.breaks.is_empty() {
        return broken("I9", format!("{clearing} are in clearing, and there is no break"));
    }
    Ok(())
}

/// I13: no order waits for something that nobody does any more.
fn i13_nothing_is_under_way(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    // While a person decides about a break, its order is looked after.
    let told = |job: &StoredJob| match job.task {
        Task::WatchOrder(order) => rest.breaks.iter().any(|found| found.order == Some(order)),
        // What was heard of in the last moments of the run has not had its turn.
        Task::ReadEvent(_) => job.due_at > world.now() - Duration::HOUR,
        Task::PerformCall(_) => false,
    };
    let open =
        |job: &&StoredJob| matches!(job.state, JobState::Waiting | JobState::Held { .. }) && !told(job);
    if let Some(job) = rest.jobs.iter().find(open) {
        return broken("I13", format!("{:?} is still to be done: {:?}", job.task, job));
    }
    for payment in rest.payments.iter().filter(|payment| payment.state.is_live()) {
        if !rest.is_told(Some(payment), "") {
            return broken("I13", format!("{} of {} is still {}", payment.id, payment.order, payment.state));
        }
    }
    let captured = rest.payments.iter().filter(|payment| payment.state == PaymentState::Captured);
    for payment in captured {
        if payment.refunded != payment.returned && !rest.is_told(Some(payment), "") {
            return broken(
                "I13",
                format!("{}: {} refunded, {} sent", payment.id, payment.refunded, payment.returned),
            );
        }
    }
    for order in world.rows.orders() {
        let waits = matches!(
            order.state,
            OrderState::Pending | OrderState::PaymentProcessing | OrderState::Authorized
        );
        let told = rest.breaks.iter().any(|found| found.order == Some(order.id));
        if waits && !told {
            return broken("I13", format!("{} is still {}", order.id, order.state));
        }
    }
    Ok(())
}

/// I24: no call's outcome is unknown, unless a person has it.
fn i24_no_outcome_is_open(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    for call in world.rows.calls().iter().filter(|call| call.state == CallState::Recorded) {
        let job = rest.jobs.iter().find(|job| job.id == call.id);
        if job.is_none_or(|job| job.state == JobState::Done) {
            return broken("I24", format!("{} is open, and its job is {job:?}", call.key()));
        }
    }
    Ok(())
}

/// I20: what was answered with 200 is stored, and was read or is dead with a reason.
fn i20_every_acknowledged_event(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    let watch = world.watch();
    for id in &watch.acknowledged {
        let Some(event) = rest.events.iter().find(|event| event.id == *id) else {
            return broken("I20", format!("{id} was answered with 200 and is not here"));
        };
        let job = rest.jobs.iter().find(|job| job.task == Task::ReadEvent(id.clone()));
        let read = job.is_some_and(|job| match job.state {
            JobState::Done | JobState::Waiting | JobState::Held { .. } => true,
            JobState::Buried => job.note.is_some(),
        });
        if !read && event.ignored.is_none() {
            return broken("I20", format!("{id} is stored, and its job is {job:?}"));
        }
    }
    if let Some(job) = rest.jobs.iter().find(|job| job.state == JobState::Buried) {
        return broken("I20", format!("a job is dead: {job:?}"));
    }
    Ok(())
}

/// I20: where reconciliation looks back, every event of Stripe's is here.
fn i20_no_event_is_missing(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    if !world.knobs.channels.reconciles() {
        return Ok(());
    }
    let missing = rest.stripe.events.iter().find(|event| rest.events.iter().all(|here| here.id != event.id));
    match missing {
        // What was made a moment ago comes with the next run.
        Some(event) if event.created < world.wall().seconds() - 10 * 3600 => {
            broken("I20", format!("{} of {} is not here", event.kind, event.id))
        }
        Some(_) | None => Ok(()),
    }
}

/// I22: one event of Stripe's is one row, and one job.
fn i22_one_row_an_event(world: &World, rest: &Rest<'_>) -> Result<(), Violation> {
    let forgotten = world.now() - EVENTS_KEPT + Duration::DAY;
    for event in rest.events.iter().filter(|event| event.created_at > forgotten) {
        let known = event.id.starts_with("evt_news") || rest.stripe.events.contains(&event.id);
        let jobs = rest.jobs.iter().filter(|job| job.task == Task::ReadEvent(event.id.clone())).count();
        if !known || jobs > 1 {
            return broken("I22", format!("{} has {jobs} jobs, and is one of Stripe's: {known}", event.id));
        }
    }
    Ok(())
}

/// I21: what was refused left nothing behind.
fn i21_nothing_forged(rest: &Rest<'_>) -> Result<(), Violation> {
    match rest.events.iter().find(|event| event.id.starts_with("evt_forged")) {
        Some(event) => broken("I21", format!("{} was forged and is stored", event.id)),
        None => Ok(()),
    }
}

/// I25: whatever a client was told of is here.
fn i25_what_was_acknowledged_is_there(world: &World) -> Result<(), Violation> {
    let (orders, refunds, watch) = (world.rows.orders(), world.rows.refunds(), world.watch());
    if let Some((order, _)) =
        watch.ordered.values().find(|(id, _)| orders.iter().all(|order| order.id != *id))
    {
        return broken("I25", format!("{order} was acknowledged and is not here"));
    }
    let lost = watch.refunded.values().find(|(id, _)| refunds.iter().all(|refund| refund.id != *id));
    match lost {
        Some((refund, _)) => broken("I25", format!("{refund} was acknowledged and is not here")),
        None => Ok(()),
    }
}
