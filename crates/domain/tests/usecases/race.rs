//! Two use cases at the same time, interleaved at every port call.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use paywright_domain::{ports::*, *};
use paywright_testkit::{Fault, JobState, SessionStatus};
use time::Duration;

use crate::{
    fate::Pause,
    support::{Shop, page},
};

pub(crate) type Act<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// How often one act is interrupted for the other. All interleavings would be billions; nearly every race shows with
/// two to four interruptions.
const SWITCHES_MAX: usize = 4;
/// The same for acts that ask the port often.
pub(crate) const SWITCHES_FEW: usize = 3;

/// Polls two futures to their ends. Where both could go on, the next choice says whether to switch to the other one.
/// Returns the choices that there were.
fn interleave(acts: [Act<'_>; 2], choices: &[bool], switches_max: usize) -> Vec<bool> {
    let mut running = acts.map(Some);
    let (mut context, mut made, mut who) = (Context::from_waker(Waker::noop()), Vec::new(), 0);
    for _ in 0..1_000 {
        let both = running.iter().all(Option::is_some);
        if both && made.iter().filter(|switch| **switch).count() < switches_max {
            let switch = choices.get(made.len()).copied().unwrap_or(false);
            made.push(switch);
            who ^= usize::from(switch);
        }
        let Some(act) = running[who].as_mut() else { return made };
        if let Poll::Ready(()) = act.as_mut().poll(&mut context) {
            running[who] = None;
            who ^= 1;
        }
    }
    panic!("they never end");
}

/// Runs a race in every such interleaving: `scene` makes the shop, `acts` are what happens at the same time, and `check`
/// looks at the shop when all jobs are done. Returns how many interleavings there were.
pub(crate) async fn every_race(
    scene: impl AsyncFn() -> (Shop, OrderId),
    acts: impl for<'a> Fn(&'a Shop, OrderId) -> [Act<'a>; 2],
    check: impl AsyncFn(&Shop, OrderId, &str),
) -> usize {
    every_race_of(SWITCHES_MAX, scene, acts, check).await
}

/// As [`every_race`], with this many interruptions.
pub(crate) async fn every_race_of(
    switches_max: usize,
    scene: impl AsyncFn() -> (Shop, OrderId),
    acts: impl for<'a> Fn(&'a Shop, OrderId) -> [Act<'a>; 2],
    check: impl AsyncFn(&Shop, OrderId, &str),
) -> usize {
    let (mut choices, mut runs) = (Vec::new(), 0);
    loop {
        let (shop, order) = scene().await;
        shop.fate.pause(true);
        let made = interleave(acts(&shop, order), &choices, switches_max);
        shop.fate.pause(false);
        shop.settle(Duration::hours(1)).await;
        shop.assert_sound();
        let shown: String = made.iter().map(|switch| if *switch { 'x' } else { '.' }).collect();
        check(&shop, order, &shown).await;
        runs += 1;
        // The next one, as one counts in binary.
        choices = made;
        while choices.pop_if(|switch| *switch).is_some() {}
        match choices.last_mut() {
            Some(last) => *last = true,
            None => return runs,
        }
    }
}

pub(crate) fn act<'a, T>(future: impl Future<Output = T> + 'a) -> Act<'a> {
    Box::pin(async move { drop(future.await) })
}

/// Runs every job of a queue that is due.
pub(crate) async fn jobs(shop: &Shop, queue: QueueName) {
    for job in shop.claim(queue) {
        if let Err(error) = shop.run(&job).await {
            shop.store.retry(job.lease, Duration::MINUTE, &error).await.unwrap();
        }
    }
}

pub(crate) async fn placed() -> (Shop, OrderId) {
    let shop = Shop::new();
    let order = shop.place().await.id;
    (shop, order)
}

/// A payment of which nobody knows whether it exists, and its call, due again.
async fn unknown(then: Option<Fault>) -> (Shop, OrderId) {
    let (shop, order) = placed().await;
    shop.gateway.fail_call(Fault::UnknownBefore);
    shop.start(order, Channel::PaymentIntent).await.unwrap_err();
    shop.clock.advance(Duration::MINUTE);
    then.into_iter().for_each(|fault| shop.gateway.fail_call(fault));
    (shop, order)
}

/// However it went: a cancelled order has nothing that can be paid, and no wish is forgotten.
fn assert_at_rest(shop: &Shop, order: OrderId, run: &str) {
    let order = shop.order(order);
    match order.state {
        OrderState::Cancelled => assert_eq!(shop.payable(), 0, "{run}: cancelled, but it can be paid"),
        OrderState::Pending | OrderState::PaymentProcessing => {
            assert_eq!(order.cancellation, None, "{run}: the wish to cancel is stuck");
            let waiting = shop
                .store
                .jobs()
                .into_iter()
                .any(|job| job.task == Task::WatchOrder(order.id) && job.state == JobState::Waiting);
            assert!(waiting, "{run}: an unpaid order without a timer");
        }
        _ => assert!(shop.paid() == 1, "{run}: {}", order.state),
    }
    assert!(shop.payable() <= 1, "{run}: two payments can be made");
    assert!(shop.paid() <= 1, "{run}: paid twice");
    assert!(shop.breaks().is_empty(), "{run}: {:?}", shop.breaks());
}

/// Covers: D-10, I2, fault 101, D-13.
#[tokio::test]
async fn two_tabs_start_one_payment() {
    for (first, second) in [(page("a"), page("a")), (page("a"), Channel::PaymentIntent)] {
        let runs = every_race(
            placed,
            |shop, order| [act(shop.start(order, first.clone())), act(shop.start(order, second.clone()))],
            async |shop, order, run| {
                assert_at_rest(shop, order, run);
                assert_eq!(shop.payable(), 1, "{run}");
            },
        )
        .await;
        assert!(runs > 50, "only {runs} interleavings");
    }
}

/// Covers: I17, I30, fault 100, fault 107.
#[tokio::test]
async fn one_operation_sent_twice_at_once_has_one_effect() {
    let runs = every_race(
        placed,
        |shop, order| {
            let operation = OperationId::from_uuid(uuid::Uuid::from_u128(7));
            let once = || act(shop.start_as(operation, order, Channel::PaymentIntent));
            [once(), once()]
        },
        async |shop, order, run| {
            assert_at_rest(shop, order, run);
            assert_eq!((shop.payments(order).len(), shop.gateway.intents().len()), (1, 1), "{run}");
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: C-1, C-2, I2, I13.
#[tokio::test]
async fn starting_and_cancelling_at_once_ends_in_one_of_both() {
    let runs = every_race(
        placed,
        |shop, order| [act(shop.start(order, Channel::PaymentIntent)), act(shop.cancel(order))],
        async |shop, order, run| assert_at_rest(shop, order, run),
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// The wish to cancel writes the order only, the answer to the creation the payment only: neither sees the other.
///
/// Covers: C-2, I13, O-7.
#[tokio::test]
async fn cancelling_while_a_creation_is_answered_is_not_forgotten() {
    let answers = [None, Some(Fault::UnknownAfter), Some(Fault::Rejected("amount_too_small".to_owned()))];
    for answer in answers {
        let runs = every_race(
            async || unknown(answer.clone()).await,
            |shop, order| [act(jobs(shop, QueueName::Effects)), act(shop.cancel(order))],
            async |shop, order, run| {
                assert_at_rest(shop, order, run);
                assert_eq!(shop.order(order).state, OrderState::Cancelled, "{answer:?}, {run}");
            },
        )
        .await;
        assert!(runs > 10, "only {runs} interleavings");
    }
}

/// One tab changes the way to pay, which ends the first payment; the other cancels the order.
///
/// Covers: C-2, D-10, I2, I13.
#[tokio::test]
async fn cancelling_while_another_tab_changes_the_way_to_pay_is_not_forgotten() {
    for delayed in [false, true] {
        let runs = every_race(
            async || {
                let (shop, order) = placed().await;
                let payment = shop.start(order, Channel::PaymentIntent).await.unwrap().payment;
                if delayed {
                    drop(shop.gateway.delay_intent(payment.intent.as_ref().unwrap()));
                }
                (shop, order)
            },
            |shop, order| [act(shop.start(order, page("a"))), act(shop.cancel(order))],
            async |shop, order, run| assert_at_rest(shop, order, run),
        )
        .await;
        assert!(runs > 100, "only {runs} interleavings");
    }
}

/// Covers: C-1, C-2, fault 62, fault 151.
#[tokio::test]
async fn cancelling_or_expiring_while_the_payment_is_heard_of_pays_the_order() {
    let paid = async || {
        let (shop, order) = placed().await;
        let payment = shop.start(order, page("a")).await.unwrap().payment;
        shop.receive(shop.gateway.pay_session(&shop.page(&payment).id));
        (shop, order)
    };
    let check = async |shop: &Shop, order: OrderId, run: &str| {
        assert_at_rest(shop, order, run);
        assert_eq!(shop.order(order).state, OrderState::Paid, "{run}");
    };
    let given_back = async |shop: &Shop, order: OrderId, run: &str| {
        assert_at_rest(shop, order, run);
        // Whoever cancels after the money was heard of gives it back.
        let (state, returned) = (shop.order(order).state, shop.payment(order).returned.minor());
        let expected = if state == OrderState::Refunded { 3998 } else { 0 };
        assert!([OrderState::Paid, OrderState::Refunded].contains(&state), "{run}: {state}");
        assert_eq!(returned, expected, "{run}");
    };
    let runs = every_race_of(
        SWITCHES_FEW,
        paid,
        |shop, order| [act(jobs(shop, QueueName::Webhooks)), act(shop.cancel(order))],
        given_back,
    )
    .await;
    assert!(runs > 100, "only {runs} interleavings");

    let due = async || {
        let (shop, order) = paid().await;
        shop.clock.set(shop.order(order).expires_at);
        (shop, order)
    };
    let runs = every_race_of(
        SWITCHES_FEW,
        due,
        |shop, _| [act(jobs(shop, QueueName::Webhooks)), act(jobs(shop, QueueName::Effects))],
        check,
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: C-1, I2, O-7.
#[tokio::test]
async fn starting_while_the_order_expires_ends_in_one_of_both() {
    let runs = every_race(
        async || {
            let (shop, order) = placed().await;
            shop.clock.set(shop.order(order).expires_at);
            (shop, order)
        },
        |shop, order| [act(jobs(shop, QueueName::Effects)), act(shop.start(order, page("a")))],
        async |shop, order, run| assert_at_rest(shop, order, run),
    )
    .await;
    assert!(runs > 20, "only {runs} interleavings");
}

/// Covers: D-11, D-12, D-13, I22, I28, fault 32.
#[tokio::test]
async fn two_events_about_one_change_read_at_once_have_one_effect() {
    let runs = every_race(
        async || {
            let (shop, order) = placed().await;
            let payment = shop.start(order, page("a")).await.unwrap().payment;
            shop.receive(shop.gateway.pay_session(&shop.page(&payment).id));
            (shop, order)
        },
        |shop, _| {
            let mut events = shop.claim(QueueName::Webhooks).into_iter();
            let (first, second) = (events.next().unwrap(), events.next().unwrap());
            [first, second].map(|job| {
                act(async move {
                    shop.run(&job).await.unwrap();
                })
            })
        },
        async |shop, order, run| {
            assert_at_rest(shop, order, run);
            let paid = shop.store.audit().into_iter().filter(|row| row.entry.to.as_deref() == Some("paid"));
            assert_eq!(paid.count(), 1, "{run}");
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// As above, with the timer in the place of the customer.
///
/// Covers: C-1, I13, O-7, fault 20.
#[tokio::test]
async fn expiring_while_a_creation_is_answered_is_not_forgotten() {
    for answer in [None, Some(Fault::UnknownAfter), Some(Fault::Rejected("amount_too_small".to_owned()))] {
        let runs = every_race(
            async || {
                let mut shop = Shop::new();
                shop.policy.order_lifetime = Duration::HOUR;
                let order = shop.place().await;
                shop.gateway.fail_call(Fault::UnknownBefore);
                shop.start(order.id, page("a")).await.unwrap_err();
                shop.clock.set(order.expires_at);
                answer.iter().for_each(|fault| shop.gateway.fail_call(fault.clone()));
                (shop, order.id)
            },
            |shop, _| {
                let mut due = shop.claim(QueueName::Effects).into_iter();
                let (first, second) = (due.next().unwrap(), due.next().unwrap());
                [first, second].map(|job| {
                    act(async move {
                        if let Err(error) = shop.run(&job).await {
                            shop.store.retry(job.lease, Duration::MINUTE, &error).await.unwrap();
                        }
                    })
                })
            },
            async |shop, order, run| {
                assert_at_rest(shop, order, run);
                assert_eq!(shop.order(order).state, OrderState::Cancelled, "{answer:?}, {run}");
            },
        )
        .await;
        assert!(runs > 10, "only {runs} interleavings");
    }
}

/// The customer pays on one page, while another tab changes the way to pay.
///
/// Covers: D-10, I2, fault 102, fault 103, fault 151.
#[tokio::test]
async fn changing_the_way_to_pay_while_it_is_paid_pays_once() {
    let runs = every_race(
        async || {
            let (shop, order) = placed().await;
            shop.start(order, page("a")).await.unwrap();
            (shop, order)
        },
        |shop, order| {
            let customer = async move {
                // Polled once before anything else happens, and again whenever the others paused.
                Pause::default().await;
                let open = shop.gateway.sessions().into_iter().find(|it| it.status == SessionStatus::Open);
                if let Some(session) = open {
                    shop.receive(shop.gateway.pay_session(&session.id));
                }
                jobs(shop, QueueName::Webhooks).await;
            };
            [act(shop.start(order, Channel::PaymentIntent)), act(customer)]
        },
        async |shop, order, run| {
            assert_at_rest(shop, order, run);
            let state = shop.order(order).state;
            assert_eq!(state == OrderState::Paid, shop.paid() == 1, "{run}: {state}");
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}

/// Covers: I30, C-2.
#[tokio::test]
async fn two_wishes_to_cancel_at_once_end_the_payment_once() {
    let runs = every_race(
        async || {
            let (shop, order) = placed().await;
            shop.start(order, Channel::PaymentIntent).await.unwrap();
            (shop, order)
        },
        |shop, order| [act(shop.cancel(order)), act(shop.cancel(order))],
        async |shop, order, run| {
            assert_at_rest(shop, order, run);
            assert_eq!(shop.order(order).state, OrderState::Cancelled, "{run}");
            assert_eq!(shop.gateway.arrived().len(), 2, "{run}: create, end");
        },
    )
    .await;
    assert!(runs > 50, "only {runs} interleavings");
}
