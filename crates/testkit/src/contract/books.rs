//! What reconciliation asks of our side: where it stands, what is worth a look, what is booked.

use std::{collections::BTreeSet, sync::Arc};

use paywright_domain::{
    Account, CallState, Cause, Currency, DisputeStatus, Effect, GatewayCall, Journal, Mode, Money, Movement,
    Payment, PaymentEvent, PaymentId, RefundEvent, RefundStanding, Section, Sighting, Standing,
    ports::{Payout, QueueName, Task, Unsettled, Window},
};
use time::{Duration, OffsetDateTime};

use super::{
    Bookkeeper,
    stage::{LONG, Stage, at_once},
};
use crate::builders::{self, ChangesExt, Steps, usd};

/// It only moves forward, each section's and each mode's for itself, whoever moves it at the same time.
///
/// Covers: I28, fault 93, W-13.
pub async fn a_cursor_moves_forward_only(backend: Arc<dyn Bookkeeper>) {
    let now = Stage::new(backend.clone()).now;
    let read = async |mode, section| backend.cursor(mode, section).await.unwrap();
    assert_eq!(read(Mode::Test, Section::CatchUp).await, None);
    let to = move |minutes: i64| now + Duration::minutes(minutes);
    for (minutes, stands) in [(5, 5), (3, 5), (5, 5), (6, 6)] {
        backend.advance(Mode::Test, Section::CatchUp, to(minutes)).await.unwrap();
        assert_eq!(read(Mode::Test, Section::CatchUp).await, Some(to(stands)));
    }
    let moves = at_once((0..8).map(|minutes| {
        let backend = backend.clone();
        async move { backend.advance(Mode::Test, Section::CatchUp, to(20 - minutes)).await }
    }));
    moves.await.into_iter().for_each(Result::unwrap);
    assert_eq!(read(Mode::Test, Section::CatchUp).await, Some(to(20)));
    assert_eq!(read(Mode::Test, Section::Books).await, None);
    assert_eq!(read(Mode::Live, Section::CatchUp).await, None);
}

/// What is live and has a name; what was captured and has no fee, or a refund under way; what is disputed. Nothing
/// else.
///
/// Covers: U-6, S-5.
pub async fn what_has_not_come_to_an_end_is_worth_a_look(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let named = |standing| Sighting { intent: Some(builders::intent_id()), ..builders::seen(standing) };
    let with_fee = |payment: &Payment| {
        let standing = Standing::Captured { captured: payment.amount.minor(), refunded: 0 };
        Sighting { settlement: Some(builders::transaction(3998, 146)), ..named(standing) }
    };
    let mut expected = BTreeSet::new();
    stage.started().await; // its call is still to be made
    for standing in [Standing::AwaitingMethod, Standing::Authorized(3998), Standing::Cancelled] {
        let (_, payment) = stage.started().await;
        let live = standing != Standing::Cancelled;
        stage.hear(&payment, PaymentEvent::Seen(named(standing))).await;
        expected.extend(live.then_some(payment.id));
    }
    let (_, no_fee) = stage.paid().await;
    expected.insert(no_fee.id);
    let mut settled = Vec::new();
    for _ in 0..3 {
        let (_, payment) = stage.started().await;
        let seen = PaymentEvent::Seen(with_fee(&payment));
        settled.push(stage.hear(&payment, seen).await);
    }
    let [refunding, disputed, settled] = settled.try_into().unwrap();
    stage.give_back(&refunding, builders::adopted_refund(&refunding, usd(5))).await;
    stage.contest(&disputed, builders::dispute(&disputed, DisputeStatus::WarningNeedsResponse)).await;
    let closed = stage.contest(&settled, builders::dispute(&settled, DisputeStatus::Won)).await;
    let birth = builders::adopted_refund(&closed, usd(5));
    let refund = birth.after().clone();
    let closed = stage.give_back(&closed, birth).await;
    let sent = builders::refund_seen(&refund.gateway.clone().unwrap(), RefundStanding::Succeeded);
    stage.give_back(&closed, *refund.step(RefundEvent::Seen(sent))).await;
    expected.extend([refunding.id, disputed.id]);
    assert_eq!(
        all(&*backend, Mode::Test, ever(&stage), 100).await,
        expected.iter().copied().collect::<Vec<_>>()
    );
    assert_eq!(all(&*backend, Mode::Test, ever(&stage), 2).await.len(), expected.len(), "in pages too");
    assert_eq!(all(&*backend, Mode::Live, ever(&stage), 100).await, []);
}

/// Whoever was looked at is left alone for a while; one that was never looked at counts by its age.
///
/// Covers: I28.
pub async fn what_was_looked_at_is_left_alone(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let ((_, one), (_, other)) = (stage.paid().await, stage.paid().await);
    let asked =
        |minutes: i64| Unsettled { looked_before: stage.now + Duration::minutes(minutes), ..ever(&stage) };
    let both = BTreeSet::from([one.id, other.id]);
    let due = async |minutes| all(&*backend, Mode::Test, asked(minutes), 100).await;
    assert_eq!(due(-1).await, [], "they were started just now");
    assert_eq!(BTreeSet::from_iter(due(1).await), both);
    backend.looked(&[one.id], stage.now + Duration::minutes(5)).await.unwrap();
    backend.looked(&[one.id], stage.now + Duration::minutes(2)).await.unwrap();
    assert_eq!(due(3).await, [other.id], "the later look counts");
    assert_eq!(BTreeSet::from_iter(due(6).await), both);
    assert_eq!(stage.payment(one.id).await.unwrap().unwrap().version, one.version);
    let started = Window { from: stage.now + Duration::MINUTE, before: stage.now + Duration::HOUR };
    let asked = Unsettled { started, ..asked(6) };
    assert_eq!(all(&*backend, Mode::Test, asked, 100).await, []);
}

/// A recorded call whose job waits or is held is in good hands; one whose job is dead is not. One that was answered is
/// nobody's.
///
/// Covers: I24, U-6.
pub async fn a_call_whose_job_is_dead_is_abandoned(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let mut calls: Vec<GatewayCall> = Vec::new();
    for _ in 0..4 {
        let (order, payment) = stage.started().await;
        let call = GatewayCall { id: builders::new_id(stage.now), ..builders::call(&order, &payment) };
        let effect = Effect::Call { call: call.clone(), held_for: None };
        stage.now(stage.request().effect(effect)).await;
        calls.push(call);
    }
    let abandoned = async |after, limit| backend.abandoned_calls(Mode::Test, after, limit).await.unwrap();
    assert_eq!(abandoned(None, 100).await, []);
    for job in stage.take(QueueName::Effects, LONG).await {
        match calls.iter().position(|call| job.task == Task::PerformCall(call.id)) {
            Some(0) => {}
            Some(1) => {
                let mut done = stage.because(Cause::Job(job.lease));
                done.answers.push((calls[1].clone(), CallState::Done));
                stage.now(done).await;
            }
            Some(_) | None => stage.bury(job.lease, "it never worked").await.unwrap(),
        }
    }
    let mut dead = [calls[2].id, calls[3].id];
    dead.sort();
    assert_eq!(abandoned(None, 100).await, dead);
    assert_eq!(abandoned(None, 1).await, dead[..1]);
    assert_eq!(abandoned(Some(dead[0]), 100).await, dead[1..]);
    assert_eq!(backend.abandoned_calls(Mode::Live, None, 100).await.unwrap(), []);
    let mut found = stage.request();
    found.answers.push((calls[2].clone(), CallState::Absent));
    stage.now(found).await;
    assert_eq!(abandoned(None, 100).await, [calls[3].id]);
}

/// A movement of the balance is booked once its journal is.
///
/// Covers: I1, S-1.
pub async fn what_is_booked_is_known_by_its_transaction(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let (_, payment) = stage.paid().await;
    let moved = builders::transaction(3998, 146);
    stage.now(stage.request().journal(Journal::settled(&payment, &moved))).await;
    let other = builders::transaction_id();
    let asked = [moved.id.clone(), other];
    let booked = backend.booked(Mode::Test, &asked).await.unwrap();
    assert_eq!(booked, BTreeSet::from([moved.id]));
    assert_eq!(backend.booked(Mode::Live, &asked).await.unwrap(), BTreeSet::new());
    assert_eq!(backend.booked(Mode::Test, &[]).await.unwrap(), BTreeSet::new());
}

/// It moves money between the gateway's balance and our bank, belongs to no order, and is booked once; failed, it is
/// booked back.
///
/// Covers: I9, S-6.
pub async fn a_payout_is_booked_without_an_order(backend: Arc<dyn Bookkeeper>) {
    let stage = Stage::new(backend.clone());
    let paid = payout(stage.now, 3852);
    for _ in 0..2 {
        let mut changes = stage.request();
        changes.journals.extend(Journal::paid_out(Mode::Test, &paid));
        stage.now(changes).await;
    }
    let window = (stage.now - Duration::HOUR, stage.now + Duration::HOUR);
    let lines = stage.ledger(Mode::Test, window.0, window.1, None, 100).await.unwrap();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((lines[0].movement, lines[0].order, lines[0].payment), (Movement::Payout, None, None));
    assert_eq!((lines[0].key.clone(), lines[0].entry.amount), (format!("payout:{}", paid.id), usd(3852)));
    assert_eq!((lines[0].entry.debit, lines[0].entry.credit), (Account::Bank, Account::GatewayBalance));
    assert_eq!(bank(&stage, Mode::Test).await, (3852, 0));
    assert_eq!(bank(&stage, Mode::Live).await, (0, 0));
    let failed = Payout { status: "failed".to_owned(), ..paid };
    let mut changes = stage.request();
    changes.journals.extend(Journal::paid_out(Mode::Test, &failed));
    stage.now(changes).await;
    assert_eq!(bank(&stage, Mode::Test).await, (3852, 3852));
    let mut changes = stage.request();
    let nobodys = Journal::paid_out(Mode::Test, &payout(stage.now, 1)).remove(0);
    changes.journals.push(Journal { movement: Movement::Settlement, ..nobodys });
    assert!(stage.commit(changes).await.is_err(), "only payouts belong to no order");
}

async fn bank(stage: &Stage, mode: Mode) -> (i64, i64) {
    let balances = stage.balances(mode, None, None).await.unwrap();
    let bank = balances.iter().find(|balance| balance.account == Account::Bank);
    bank.map_or((0, 0), |bank| (bank.debit, bank.credit))
}

pub(super) fn payout(at: OffsetDateTime, minor: u64) -> Payout {
    let dollar: Currency = usd(0).currency();
    Payout {
        id: format!("po_{}", builders::transaction_id()).try_into().unwrap(),
        amount: Money::from_minor(minor, dollar).unwrap(),
        taken: false,
        status: "paid".to_owned(),
        automatic: true,
        created_at: at,
        arrives_at: at + Duration::DAY,
    }
}

/// Of any age, and not looked at in the last seconds.
fn ever(stage: &Stage) -> Unsettled {
    let before = stage.now + Duration::HOUR;
    Unsettled { started: Window { from: OffsetDateTime::UNIX_EPOCH, before }, looked_before: before }
}

/// All pages.
async fn all(backend: &dyn Bookkeeper, mode: Mode, asked: Unsettled, limit: u32) -> Vec<PaymentId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = backend.unsettled(mode, asked, after, limit).await.unwrap();
        after = page.last().copied();
        all.extend(&page);
        if page.len() < limit as usize {
            return all;
        }
    }
}
