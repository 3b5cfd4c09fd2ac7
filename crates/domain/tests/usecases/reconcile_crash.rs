//! Every port call of a reconciliation goes wrong, and two of them run at once.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use paywright_domain::{ports::QueueName, usecase::*, *};
use paywright_testkit::{Fault, builders::usd};
use strum::IntoEnumIterator;
use time::Duration;

use crate::{
    fate::{Blow, Fate},
    support::{Shop, ready, until_death},
};

/// What one run has to find: an order that was paid, one whose call was lost with its job, a refund and a dispute that
/// others made, a movement that nothing explains, a payout.
fn scene(shop: &Shop) {
    let (_, intent) = ready(shop.waiting_order());
    drop(shop.gateway.pay_intent(&intent));
    let (_, payment) = ready(shop.paid_order());
    let intent = payment.intent.unwrap();
    drop(shop.gateway.dashboard_refund(&intent, 500));
    drop(shop.gateway.open_dispute(&intent, 1000, false));
    shop.gateway.move_balance("adjustment", usd(7), Some(&intent));
    shop.gateway.fail_call(Fault::UnknownAfter);
    let lost = ready(shop.place());
    ready(shop.start(lost.id, Channel::PaymentIntent)).unwrap_err();
    shop.clock.advance(Duration::minutes(2));
    for job in shop.claim(QueueName::Effects) {
        ready(ports::Queue::bury(&*shop.store, job.lease, "given up")).unwrap();
    }
    shop.gateway.pay_out(usd(0).currency());
}

/// What it comes to, without names.
fn end(shop: &Shop) -> impl PartialEq + std::fmt::Debug + use<> {
    let payments: Vec<_> = shop
        .store
        .payments()
        .into_iter()
        .map(|it| (it.state, it.captured, it.returned, it.disputed, it.fee.is_some()))
        .collect();
    let orders: Vec<_> = shop.store.orders().into_iter().map(|order| order.state).collect();
    let books: Vec<_> = Account::iter().map(|account| shop.balance(account, "usd")).collect();
    let calls: Vec<_> = shop.store.calls().into_iter().map(|call| call.state).collect();
    let cursors: Vec<_> = Section::iter().map(|section| shop.mark(section).is_some()).collect();
    let counts = (shop.store.refunds().len(), shop.store.disputes().len(), shop.store.journals().len());
    (
        payments,
        orders,
        books,
        calls,
        cursors,
        counts,
        shop.breaks(),
        shop.open_breaks(),
        shop.store.events().len(),
    )
}

fn everything() -> Vec<Section> {
    Section::iter().collect()
}

/// Runs once, whatever becomes of it.
fn once(shop: &Shop) {
    let ask = shop.ask(Trigger::Schedule, &everything());
    let _ = until_death(shop.reconciler(Pace::default()).run(ask, &|_, _| {}));
}

/// Covers: I24, I26, I28, I30, U-6, fault 85.
#[test]
fn a_reconciliation_survives_every_crash() {
    let calm = Shop::new();
    scene(&calm);
    let from = calm.fate.calls();
    once(&calm);
    let calls = calm.fate.calls();
    // The dead were looked at a moment ago.
    calm.clock.advance(Duration::minutes(5));
    once(&calm);
    ready(calm.work());
    let expected = end(&calm);
    assert!(calls - from > 60, "only {} port calls", calls - from);
    for blow in [Blow::DieBefore, Blow::DieAfter, Blow::FailBefore, Blow::FailAfter] {
        for call in from..calls {
            let shop = Shop::with_fate(Fate::of(vec![(call, blow)]));
            scene(&shop);
            once(&shop);
            shop.clock.advance(Duration::minutes(5));
            once(&shop);
            ready(shop.work());
            assert!(shop.fate.is_fulfilled(), "{blow:?} at {call} never fell");
            assert_eq!(end(&shop), expected, "{blow:?} at port call {call}, {from} to {calls}");
            shop.assert_sound();
        }
    }
}

/// Both take turns at every port call, and come to what one alone comes to.
///
/// Covers: I28, fault 93.
#[test]
fn two_reconcilers_at_once_are_as_good_as_one() {
    let calm = Shop::new();
    scene(&calm);
    once(&calm);
    ready(calm.work());
    let expected = end(&calm);
    // One is so many turns ahead of the other.
    for ahead in 0..60 {
        let shop = Shop::new();
        scene(&shop);
        shop.fate.pause(true);
        let (one, other) = (shop.reconciler(Pace::default()), shop.reconciler(Pace::default()));
        let (ask, again) =
            (shop.ask(Trigger::Schedule, &everything()), shop.ask(Trigger::Schedule, &everything()));
        let (mut one, mut other) = (pin!(one.run(ask, &|_, _| {})), pin!(other.run(again, &|_, _| {})));
        let context = &mut Context::from_waker(Waker::noop());
        let (mut first, mut second) = (None, None);
        for turn in 0..10_000 {
            if first.is_none()
                && let Poll::Ready(run) = one.as_mut().poll(context)
            {
                first = Some(run.unwrap());
            }
            if turn >= ahead
                && second.is_none()
                && let Poll::Ready(run) = other.as_mut().poll(context)
            {
                second = Some(run.unwrap());
            }
        }
        let states = [first.unwrap().state, second.unwrap().state];
        assert_eq!(states, [RunState::Done; 2], "{ahead} ahead");
        shop.fate.pause(false);
        ready(shop.work());
        assert_eq!(end(&shop), expected, "{ahead} ahead");
        shop.assert_sound();
    }
}
