//! Nothing that the gateway knows stays unknown here.

use std::sync::{Arc, Mutex};

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{Fault, builders::usd};
use strum::IntoEnumIterator;
use time::Duration;

use crate::{
    reconcile_stage::assert_adds_up,
    support::{Shop, page, ready},
};

/// Each section alone finds an order that was paid, whatever way, with its fee and its books.
///
/// Covers: I1, I5, I25, W-13, W-15, fault 34.
#[tokio::test]
async fn with_all_webhooks_lost_each_section_alone_finds_what_was_paid() {
    for section in Section::iter() {
        for channel in [Channel::PaymentIntent, page("a")] {
            let shop = Shop::new();
            let order = shop.place().await;
            let payment = shop.start(order.id, channel.clone()).await.unwrap().payment;
            shop.clock.advance(Duration::minutes(2));
            match &channel {
                Channel::PaymentIntent => drop(shop.gateway.pay_intent(&shop.intent(&payment).id)),
                Channel::Checkout(_) => drop(shop.gateway.pay_session(&shop.page(&payment).id)),
            }
            // A movement of the balance names an intent, and the page has not told of its own.
            if section == Section::Books && channel != Channel::PaymentIntent {
                continue;
            }
            let run = shop.reconcile(&[section]).await;
            shop.work().await;
            assert_eq!(shop.order(order.id).state, OrderState::Paid, "{section}, {channel:?}");
            assert!(run.counts[&section].repaired > 0, "{run:#?}");
            assert_eq!((run.state, shop.breaks()), (RunState::Done, vec![]));
            if section == Section::CatchUp {
                // What a message does not tell, the books do.
                shop.reconcile(&[Section::Books]).await;
            }
            assert_eq!(
                (shop.balance(Account::Sales, "usd"), shop.balance(Account::Clearing, "usd")),
                (-3998, 0)
            );
            assert_eq!(shop.balance(Account::Fees, "usd"), 146);
            assert_adds_up(&run);
            shop.assert_sound();
        }
    }
}

/// Covers: I5, I28, W-13.
#[tokio::test]
async fn a_second_run_changes_nothing() {
    let shop = Shop::new();
    let (order, intent) = shop.waiting_order().await;
    drop(shop.gateway.pay_intent(&intent));
    shop.clock.advance(Duration::minutes(2));
    shop.reconcile_all().await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    let known = || (shop.store.orders(), shop.store.payments(), shop.store.journals(), shop.store.audit());
    let before = known();
    shop.clock.advance(Duration::minutes(5));
    let run = shop.reconcile_all().await;
    assert_eq!(known(), before);
    let counts = run.counts.values();
    assert!(counts.clone().all(|counts| counts.repaired == 0 && counts.broken == 0), "{run:#?}");
    assert!(counts.map(|counts| counts.matched).sum::<u64>() > 0);
    assert_adds_up(&run);
}

/// A customer whose card was refused, and who does not come back: the refusal is told by every look, and news once.
///
/// Covers: I28.
#[tokio::test]
async fn looking_at_an_old_decline_again_writes_nothing() {
    let shop = Shop::new();
    let (_, intent) = shop.waiting_order().await;
    let decline = || drop(shop.gateway.decline(&intent, "insufficient_funds"));
    decline();
    let known = || (shop.store.payments(), shop.store.declines().len(), shop.store.audit());
    for declines in [1, 2] {
        shop.clock.advance(Duration::minutes(2));
        shop.reconcile(&[Section::Local]).await;
        let before = known();
        assert_eq!(before.1, declines);
        for _ in 0..3 {
            shop.clock.advance(Duration::minutes(2));
            let run = shop.reconcile(&[Section::Local, Section::Gateway]).await;
            assert_eq!(run.counts[&Section::Local].matched, 1, "{run:#?}");
            assert_eq!(known(), before);
        }
        // Another card, as bad.
        decline();
    }
}

/// Three days without a webhook, in small pages and with little patience a run: the runs go on where they stopped.
///
/// Covers: I5, W-13, fault 35.
#[tokio::test]
async fn an_outage_of_three_days_is_caught_up_completely() {
    let shop = Shop::new();
    shop.hear_so_far().await;
    shop.reconcile_all().await;
    shop.gateway.paged_by(3);
    let mut orders = Vec::new();
    for number in 0..72 {
        shop.clock.advance(Duration::HOUR);
        let (order, intent) = shop.waiting_order().await;
        let events = match number % 3 {
            0 => shop.gateway.pay_intent(&intent),
            1 => [shop.gateway.pay_intent(&intent), shop.gateway.dashboard_refund(&intent, 500)].concat(),
            _ => shop.gateway.decline(&intent, "insufficient_funds"),
        };
        drop(events);
        orders.push((order.id, number % 3));
    }
    let pace = Pace { asks_max: 10, ..Pace::default() };
    let sections = [Section::CatchUp, Section::Gateway, Section::Books];
    let (mut runs, mut stood) = (0, shop.mark(Section::CatchUp));
    loop {
        let ask = shop.ask(Trigger::Schedule, &sections);
        let run = shop.reconciler(pace).run(ask, &|_, _| {}).await.unwrap();
        runs += 1;
        assert!(runs < 50, "{run:#?}");
        let stands = shop.mark(Section::CatchUp);
        if run.state == RunState::Done {
            break;
        }
        assert_eq!(run.state, RunState::Incomplete);
        assert!(run.counts.values().any(|counts| counts.more));
        assert!(stands > stood || !run.counts[&Section::CatchUp].more, "it went on");
        stood = stands;
    }
    assert!(runs > 3, "only {runs} runs");
    assert_eq!(shop.store.events().len(), shop.gateway.events().len(), "every event is in the inbox");
    shop.work().await;
    for (order, kind) in orders {
        let payment = shop.payment(order);
        let expected = match kind {
            0 => (PaymentState::Captured, usd(0)),
            1 => (PaymentState::Captured, usd(500)),
            // Nobody paid in time.
            _ if payment.state == PaymentState::Cancelled => continue,
            _ => (PaymentState::Pending, usd(0)),
        };
        assert_eq!((payment.state, payment.returned), expected);
    }
    assert_eq!((shop.store.declines().len(), shop.open_breaks()), (24, vec![]));
    shop.assert_sound();
}

/// What happens to a paid order at the gateway's dashboard and at the customer's bank is found by either sweep.
///
/// Covers: I1, I7, fault 156, R-5, X-5.
#[tokio::test]
async fn what_others_did_at_the_gateway_is_adopted() {
    for section in [Section::Gateway, Section::Books] {
        let shop = Shop::new();
        let (order, payment) = shop.paid_order().await;
        shop.clock.advance(Duration::hours(5));
        let intent = payment.intent.unwrap();
        drop(shop.gateway.dashboard_refund(&intent, 500));
        drop(shop.gateway.open_dispute(&intent, 1000, false));
        let run = shop.reconcile(&[section]).await;
        let payment = shop.payment(order.id);
        assert_eq!((payment.returned, payment.disputed), (usd(500), usd(1000)), "{section}: {run:#?}");
        // The fee of the capture was not known either.
        let (repaired, adopted) = if section == Section::Gateway { (2, 2) } else { (3, 0) };
        assert_eq!(run.counts[&section].repaired, repaired, "{section}");
        assert_eq!(run.counts[&section].adopted, adopted, "the books only see what moved");
        assert_eq!((shop.balance(Account::Clearing, "usd"), shop.breaks()), (0, vec![]));
        assert_eq!(shop.refunds(payment.id)[0].reason, RefundReason::Other);
        assert_adds_up(&run);
        shop.assert_sound();
    }
}

/// Intents that ended while nobody listened, and pages whose time was over.
///
/// Covers: O-7.
#[tokio::test]
async fn what_ended_at_the_gateway_is_not_waited_for() {
    let shop = Shop::new();
    let (order, intent) = shop.waiting_order().await;
    drop(shop.gateway.require_action(&intent));
    drop(shop.gateway.dashboard_cancel(&intent));
    let other = shop.place().await;
    let paged = shop.start(other.id, page("a")).await.unwrap().payment;
    drop(shop.gateway.expire_session(&shop.page(&paged).id));
    shop.clock.advance(Duration::minutes(2));
    let run = shop.reconcile(&[Section::Local]).await;
    assert_eq!(run.counts[&Section::Local].repaired, 2, "{run:#?}");
    assert_eq!(shop.payment(order.id).state, PaymentState::Cancelled);
    assert_eq!(shop.payment(other.id).state, PaymentState::Cancelled);
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
    shop.assert_sound();
}

/// The fresher the sooner; a person leaves none out.
#[tokio::test]
async fn who_was_looked_at_is_left_alone_for_a_while() {
    let shop = Shop::new();
    shop.waiting_order().await;
    let looks = async |trigger| {
        let ask = shop.ask(trigger, &[Section::Local]);
        let run = shop.reconciler(Pace::default()).run(ask, &|_, _| {}).await.unwrap();
        run.counts[&Section::Local].compared
    };
    shop.clock.advance(Duration::seconds(30));
    assert_eq!(looks(Trigger::Schedule).await, 0, "just started");
    assert_eq!(looks(Trigger::Command).await, 1);
    shop.clock.advance(Duration::minutes(2));
    let fresh = async || shop.reconciler(Pace::default()).fresh().await.unwrap().compared;
    assert_eq!((fresh().await, fresh().await), (1, 0));
    shop.clock.advance(Duration::hours(2));
    assert_eq!((fresh().await, looks(Trigger::Schedule).await), (0, 1), "older than an hour");
    shop.clock.advance(Duration::minutes(20));
    assert_eq!(looks(Trigger::Schedule).await, 0);
    assert_eq!(looks(Trigger::Api).await, 1);
    shop.clock.advance(Duration::days(2));
    assert_eq!(looks(Trigger::Schedule).await, 1);
    shop.clock.advance(Duration::hours(5));
    assert_eq!(looks(Trigger::Schedule).await, 0);
}

/// A call whose job is dead: what it did is found; what it did not do is given up when it can no longer be sent.
///
/// Covers: I24, I26, U-6, fault 3.
#[tokio::test]
async fn every_unknown_call_comes_to_an_end() {
    for done in [true, false] {
        let shop = Shop::new();
        let order = shop.place().await;
        shop.gateway.fail_call(if done { Fault::UnknownAfter } else { Fault::UnknownBefore });
        shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
        shop.clock.advance(Duration::minutes(2));
        for job in shop.claim(QueueName::Effects) {
            ready(shop.store.bury(job.lease, "given up")).unwrap();
        }
        assert_eq!(shop.payment(order.id).state, PaymentState::Created);
        let run = shop.reconcile(&[Section::Local]).await;
        if done {
            assert_eq!((run.state, run.counts[&Section::Local].repaired), (RunState::Done, 1));
            assert_eq!(shop.payment(order.id).state, PaymentState::Pending);
        } else {
            let problems = &run.counts[&Section::Local].problems;
            assert_eq!((run.state, problems.len()), (RunState::Incomplete, 1));
            assert!(problems[0].contains("replay the job"), "{problems:?}");
            shop.clock.advance(GatewayCall::SEND_WITHIN);
            let run = shop.reconcile(&[Section::Local]).await;
            assert_eq!((run.state, run.counts[&Section::Local].repaired), (RunState::Done, 1));
            assert_eq!(shop.payment(order.id).state, PaymentState::Failed);
            assert_eq!(shop.calls("create_intent")[0].state, CallState::Absent);
            shop.start(order.id, Channel::PaymentIntent).await.unwrap();
        }
        assert_eq!(shop.reconcile(&[Section::Local]).await.counts[&Section::Local].problems, [""; 0]);
        shop.assert_sound();
    }
}

/// Objects that name payments of a database that is not there any more are told; once it is back, they are explained.
///
/// Covers: fault 82, I1.
#[tokio::test]
async fn what_a_restored_backup_has_forgotten_is_a_break() {
    let (lost, kept) = (Shop::new(), Shop::new());
    let (_, intent) = lost.waiting_order().await;
    drop(lost.gateway.pay_intent(&intent));
    // The gateway goes on, the database is another one.
    let mut ports = kept.ports.clone();
    ports.gateway = lost.gateway.clone();
    let over = |ports: Ports, books: Arc<dyn Books>| {
        Reconcile::new(ports, kept.policy.clone(), Pace::default(), lost.gateway.clone(), books)
    };
    let ask = |shop: &Shop| shop.ask(Trigger::Command, &[Section::Gateway]);
    let reconciler = over(ports, kept.store.clone());
    for _ in 0..2 {
        let run = reconciler.run(ask(&kept), &|_, _| {}).await.unwrap();
        assert_eq!((run.state, run.counts[&Section::Gateway].broken), (RunState::Done, 1));
    }
    let found = kept.store.open_breaks().remove(0);
    assert_eq!((found.kind, found.object), (BreakKind::ForeignObject, Some(intent.to_string())));
    assert_eq!((found.at_risk, kept.store.breaks().len()), (Some(usd(3998)), 1));

    let mut changes =
        Changes::because(paywright_testkit::builders::request(), Actor::System, lost.clock_now());
    changes.breaks.push(kept.store.breaks().remove(0));
    ready(lost.store.commit(changes)).unwrap();
    let run = over(lost.ports.clone(), lost.store.clone()).run(ask(&lost), &|_, _| {}).await.unwrap();
    assert_eq!((run.resolved, lost.open_breaks()), (1, vec![]));
    assert_eq!(lost.store.payments()[0].state, PaymentState::Captured);
}

/// The order was in the backup, its payment was not: money is on the order again, a customer cannot pay what nobody
/// knows.
///
/// Covers: fault 82, I1, I2, I5, fault 15.
#[tokio::test]
async fn a_payment_that_a_restored_backup_has_forgotten_comes_back_to_its_order() {
    for paid in [true, false] {
        let lost = Shop::new();
        let placing = lost.operation();
        let order = lost.place_as(placing, lost.hats(2)).await.unwrap();
        let payment = lost.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
        let intent = payment.intent.unwrap();
        if paid {
            drop(lost.gateway.pay_intent(&intent));
            drop(lost.gateway.dashboard_refund(&intent, 500));
        }
        // The same order, before anybody wanted to pay it.
        let backup = Shop::new();
        let same = backup.place_as(placing, backup.hats(2)).await.unwrap();
        assert_eq!(same.id, order.id);
        let mut shop = backup;
        shop.ports.gateway = lost.gateway.clone();
        shop.gateway = lost.gateway.clone();
        for repaired in [1, 0] {
            let run = shop.reconcile(&[Section::Gateway]).await;
            let counts = &run.counts[&Section::Gateway];
            assert_eq!((run.state, counts.adopted.min(1)), (RunState::Done, repaired), "{run:#?}");
            shop.work().await;
        }
        let payment = shop.payment(order.id);
        let named = lost.payment(order.id).id;
        assert_eq!((payment.id, &payment.intent), (named, &Some(intent)));
        if paid {
            let order = shop.order(order.id);
            assert_eq!((order.state, order.paid_by), (OrderState::Paid, Some(payment.id)));
            assert_eq!((payment.captured, payment.returned), (usd(3998), usd(500)));
            assert_eq!(
                (shop.balance(Account::Clearing, "usd"), shop.balance(Account::Fees, "usd")),
                (0, 146)
            );
        } else {
            assert_eq!((shop.order(order.id).state, shop.payable()), (OrderState::Pending, 0));
            shop.start(order.id, page("a")).await.unwrap();
        }
        assert!(shop.breaks().is_empty());
    }
}

/// Covers: I1.
#[tokio::test]
async fn what_is_not_ours_is_counted_and_left_alone() {
    let shop = Shop::new();
    let foreign = shop.gateway.foreign_payment(usd(700));
    drop(shop.gateway.dashboard_refund(&foreign, 100));
    let run = shop.reconcile(&[Section::Gateway, Section::Books]).await;
    assert_eq!(run.state, RunState::Done, "{run:#?}");
    assert_eq!((run.counts[&Section::Gateway].foreign, run.counts[&Section::Books].foreign), (2, 2));
    let kinds = [("charge".to_owned(), 1), ("refund".to_owned(), 1)];
    assert_eq!(run.counts[&Section::Books].foreign_kinds, kinds.into());
    assert_eq!((shop.breaks(), shop.store.journals()), (vec![], vec![]));
    assert_adds_up(&run);
}

/// What the gateway's list says differently from what was asked is a break, and moves nothing.
///
/// Covers: I1, fault 22, fault 55.
#[tokio::test]
async fn an_object_that_is_not_what_was_asked_for_is_a_break() {
    let shop = Shop::new();
    let (order, intent) = shop.waiting_order().await;
    drop(shop.gateway.pay_intent(&intent));
    let told = shop.intent(&shop.payment(order.id)).snapshot(Mode::Test, shop.clock_now());
    let told = Snapshot { amount: Some(usd(1)), ..told };
    let mut archive = MockArchive::new();
    archive.expect_payments().returning(move |_, _| Ok(Shelf { rows: vec![told.clone()], next: None }));
    archive.expect_refunds().returning(|_, _| Ok(Shelf { rows: Vec::new(), next: None }));
    archive.expect_disputes().returning(|_, _| Ok(Shelf { rows: Vec::new(), next: None }));
    let (ports, policy) = (shop.ports.clone(), shop.policy.clone());
    let reconciler = Reconcile::new(ports, policy, Pace::default(), Arc::new(archive), shop.store.clone());
    let ask = Ask { since: None, ..shop.ask(Trigger::Schedule, &[Section::Gateway]) };
    let run = reconciler.run(ask, &|_, _| {}).await.unwrap();
    assert!(run.counts[&Section::Gateway].broken > 0);
    assert_eq!((run.opened, shop.open_breaks()), (1, vec![BreakKind::AmountMismatch]));
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
}

/// Beyond the time for which events are kept, the objects tell.
///
/// Covers: W-14, fault 34.
#[tokio::test]
async fn what_is_older_than_the_events_is_rebuilt_from_the_objects() {
    let shop = Shop::new();
    let (order, intent) = shop.waiting_order().await;
    drop(shop.gateway.pay_intent(&intent));
    drop(shop.gateway.dashboard_refund(&intent, 500));
    let began = shop.clock_now();
    shop.clock.advance(Duration::days(40));
    let sections = [Section::CatchUp, Section::Gateway, Section::Books];
    let ask = Ask { since: Some(began), ..shop.ask(Trigger::Command, &sections) };
    let run = shop.reconciler(Pace::default()).run(ask, &|_, _| {}).await.unwrap();
    assert_eq!((run.state, run.counts[&Section::CatchUp].compared), (RunState::Done, 0));
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(shop.payment(order.id).returned, usd(500));
    assert_eq!((shop.balance(Account::Clearing, "usd"), shop.balance(Account::Fees, "usd")), (0, 146));
    assert_eq!(shop.mark(Section::Gateway), Some(shop.clock_now()));
    shop.assert_sound();
}

/// One thing that cannot be compared stops nothing, and keeps the cursor back.
///
/// Covers: I5.
#[tokio::test]
async fn what_cannot_be_compared_is_tried_again() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.reconcile_all().await;
    shop.clock.advance(Duration::HOUR);
    let opened = shop.clock_now();
    drop(shop.gateway.open_dispute(&payment.intent.unwrap(), 1000, false));
    let (other, intent) = shop.waiting_order().await;
    drop(shop.gateway.pay_intent(&intent));
    shop.clock.advance(Duration::minutes(2));
    // Of two pieces all three lists are read; then the look at the dispute fails.
    shop.gateway.fail_look_after(6, Fault::UnknownBefore);
    let run = shop.reconcile(&[Section::Gateway]).await;
    let counts = &run.counts[&Section::Gateway];
    assert_eq!((run.state, counts.unknown, counts.problems.len()), (RunState::Incomplete, 1, 1), "{run:#?}");
    assert!(shop.mark(Section::Gateway) < Some(opened), "it does not move over what is unknown");
    assert_eq!(shop.order(other.id).state, OrderState::Paid, "the others go on");
    assert_eq!(shop.payment(order.id).disputed, usd(0));
    let run = shop.reconcile(&[Section::Gateway]).await;
    assert_eq!((run.state, shop.payment(order.id).disputed), (RunState::Done, usd(1000)));
    assert_eq!(shop.mark(Section::Gateway), Some(shop.clock_now()));
}

/// Covers: I5.
#[tokio::test]
async fn without_the_gateway_every_section_says_so_and_nothing_moves() {
    let shop = Shop::new();
    let mut orders = Vec::new();
    for _ in 0..9 {
        let (order, intent) = shop.waiting_order().await;
        drop(shop.gateway.pay_intent(&intent));
        orders.push(order.id);
    }
    shop.clock.advance(Duration::minutes(2));
    let looks_before = 60;
    for _ in 0..looks_before {
        shop.gateway.fail_look(Fault::NotDone { after: None });
    }
    let shown = Mutex::new(Vec::new());
    let ask = shop.ask(Trigger::Schedule, &Section::iter().collect::<Vec<_>>());
    let run = shop.reconciler(Pace::default());
    let run = run.run(ask, &|section, counts| shown.lock().unwrap().push((section, counts.unknown))).await;
    let run = run.unwrap();
    assert_eq!(run.state, RunState::Incomplete);
    assert!(run.counts.values().all(|counts| counts.more && !counts.problems.is_empty()), "{run:#?}");
    assert_eq!(run.counts[&Section::Local].unknown, 5, "it gives up soon");
    assert!(Section::iter().all(|section| shop.mark(section).is_none()));
    assert!(
        Section::iter()
            .all(|section| shown.lock().unwrap().contains(&(section, run.counts[&section].unknown)))
    );
    shop.gateway.heal();
    shop.reconcile_all().await;
    assert!(orders.into_iter().all(|order| shop.order(order).state == OrderState::Paid));
}

/// Neither are the calls of which nobody knows asked about for ever.
///
/// Covers: I24.
#[tokio::test]
async fn without_the_gateway_dead_calls_are_left_alone() {
    let shop = Shop::new();
    for _ in 0..7 {
        let order = shop.place().await;
        shop.gateway.fail_call(Fault::UnknownAfter);
        shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    }
    shop.clock.advance(Duration::minutes(2));
    for job in shop.claim(QueueName::Effects) {
        ready(shop.store.bury(job.lease, "given up")).unwrap();
    }
    for _ in 0..20 {
        shop.gateway.fail_look(Fault::NotDone { after: None });
    }
    let run = shop.reconcile(&[Section::Local]).await;
    assert_eq!((run.state, run.counts[&Section::Local].unknown), (RunState::Incomplete, 5), "{run:#?}");
    shop.gateway.heal();
    let run = shop.reconcile(&[Section::Local]).await;
    assert_eq!((run.state, run.counts[&Section::Local].repaired), (RunState::Done, 7));
    assert_adds_up(&run);
}

/// The runs of a time, and the differences that they leave.
///
/// Covers: I1.
#[tokio::test]
async fn the_statement_says_what_the_runs_came_to() {
    let shop = Shop::new();
    let (_, payment) = shop.paid_order().await;
    let found = shop.gateway.move_balance("charge", usd(7), payment.intent.as_ref());
    let first = shop.reconcile_all().await;
    shop.clock.advance(Duration::minutes(20));
    shop.reconcile_all().await;
    let window = Window { from: first.started_at, before: shop.clock_now() + Duration::SECOND };
    let statement = shop.reconciler(Pace::default()).statement(window).await.unwrap();
    assert_eq!((statement.runs.done, statement.runs.incomplete, statement.runs.failed), (2, 0, 0));
    let compared: u64 = statement.runs.counts.values().map(|counts| counts.compared).sum();
    assert!(compared > 0);
    assert_eq!((statement.breaks.open, statement.breaks.opened, statement.breaks.resolved), (1, 1, 0));
    assert_eq!((statement.breaks.oldest, statement.breaks.at_risk), (Some(first.started_at), vec![usd(7)]));
    assert_eq!(shop.store.open_breaks()[0].object, Some(found.to_string()));
    assert_eq!(first.opened, 1);
}
