//! Every port call of whole flows goes wrong, one after the other, before and after its effect: the process dies
//! there, or the port does not answer. However it was, the flow ends where an undisturbed one ends.

use std::collections::BTreeMap;

use paywright_domain::{usecase::*, *};
use paywright_testkit::{Fault, IntentStatus};
use strum::IntoEnumIterator;
use time::Duration;

use crate::{
    fate::{Blow, Fate},
    support::{Shop, page, ready, until_death},
};

/// What somebody does, and repeats with the same operation until it is done.
#[derive(Debug, Clone)]
enum Act {
    Place,
    Start(Channel),
    /// At the gateway: nothing of ours is involved.
    Pay,
    Decline,
    Cancel,
    /// The order's lifetime passes.
    Wait(Duration),
    Advance(Advance),
    /// An order whose money is reserved first.
    PlaceHeld,
    Capture(u64),
    Void,
    Refund(u64),
    /// At the gateway's dashboard.
    RefundThere(u64),
    /// The customer asks their bank.
    Dispute,
    Win,
    Submit,
    Sync,
    /// The next call that arrives meets this.
    Fail(Fault),
    /// As [`Act::Start`], by a customer who does not come back.
    StartOnce,
    /// The customer pays the first intent, whatever we know of it.
    PayFirst,
}

/// Whether an act is over, for good or bad.
enum Done {
    Yes,
    TryAgain,
}

/// Does an act once. The order is the only one.
async fn once(shop: &Shop, operation: OperationId, act: &Act) -> Done {
    let order = || shop.store.orders().first().map(|order| order.id);
    match act {
        Act::Place => match shop.place_as(operation, shop.hats(2)).await {
            Ok(_) => Done::Yes,
            Err(error) => again(error.kind()),
        },
        Act::Start(channel) => match shop.start_as(operation, order().unwrap(), channel.clone()).await {
            Ok(_) => Done::Yes,
            // Somebody (a worker that took over) is at it.
            Err(StartPaymentError::InProgress) => Done::TryAgain,
            Err(error) => again(error.kind()),
        },
        Act::Cancel => match shop.cancel_as(operation, order().unwrap()).await {
            Ok(_) => Done::Yes,
            Err(error) => again(error.kind()),
        },
        Act::Advance(advance) => match shop.advance_as(operation, order().unwrap(), advance.clone()).await {
            Ok(_) => Done::Yes,
            // Not paid yet: the merchant looks again later.
            Err(error) if error.kind() == ErrorKind::Conflict || is_early(shop) => Done::TryAgain,
            Err(error) => again(error.kind()),
        },
        Act::PlaceHeld => {
            let new = NewOrder { capture: Some(CaptureMethod::Manual), ..shop.hats(2) };
            match shop.place_as(operation, new).await {
                Ok(_) => Done::Yes,
                Err(error) => again(error.kind()),
            }
        }
        Act::Capture(amount) => {
            let payment = shop.payments(order().unwrap()).remove(0).id;
            match shop.holds().capture(operation, Actor::System, payment, Some(*amount)).await {
                Ok(_) => Done::Yes,
                Err(error) => again_if_early(shop, error.kind()),
            }
        }
        Act::Void => {
            let payment = shop.payments(order().unwrap()).remove(0).id;
            match shop.holds().void(operation, Actor::System, payment).await {
                Ok(_) => Done::Yes,
                Err(error) => again_if_early(shop, error.kind()),
            }
        }
        Act::Refund(amount) => {
            let payment = shop.payments(order().unwrap()).remove(0).id;
            match shop.refund_as(operation, payment, Some(*amount)).await {
                Ok(_) => Done::Yes,
                Err(RequestRefundError::NotCaptured(_)) => Done::TryAgain,
                Err(error) => again(error.kind()),
            }
        }
        Act::Submit => {
            let Some(dispute) = shop.store.disputes().pop() else { return Done::TryAgain };
            let answers = AnswerDispute::new(shop.ports.clone(), shop.policy.clone());
            match answers.run(operation, Actor::System, dispute.id, Say::Submit(Happened::default())).await {
                Ok(_) => Done::Yes,
                Err(error) => again(error.kind()),
            }
        }
        Act::Sync => {
            for payment in shop.payments(order().unwrap()) {
                if let Err(error) = shop.sync(payment.id).await {
                    return again(error.kind());
                }
            }
            Done::Yes
        }
        Act::RefundThere(amount) => {
            let intent = shop.gateway.intents().remove(0).id;
            shop.receive(shop.gateway.dashboard_refund(&intent, *amount));
            Done::Yes
        }
        Act::Dispute => {
            let intent = shop.gateway.intents().remove(0).id;
            shop.receive(shop.gateway.open_dispute(&intent, 3998, false));
            Done::Yes
        }
        Act::Win => {
            shop.receive(shop.gateway.win_dispute(&shop.dispute_opened().id));
            Done::Yes
        }
        Act::Fail(fault) => {
            shop.gateway.fail_call(fault.clone());
            Done::Yes
        }
        Act::StartOnce => match shop.start_as(operation, order().unwrap(), Channel::PaymentIntent).await {
            Ok(_) | Err(StartPaymentError::InProgress | StartPaymentError::Gateway(_)) => Done::Yes,
            Err(error) => again(error.kind()),
        },
        Act::PayFirst => {
            let intent = shop.gateway.intents().remove(0).id;
            shop.receive(shop.gateway.pay_intent(&intent));
            Done::Yes
        }
        Act::Pay => {
            for payment in shop.payments(order().unwrap()).iter().filter(|payment| payment.state.is_live()) {
                let events = match payment.channel {
                    Channel::PaymentIntent => shop.gateway.pay_intent(&shop.intent(payment).id),
                    Channel::Checkout(_) => shop.gateway.pay_session(&shop.page(payment).id),
                };
                shop.receive(events);
            }
            Done::Yes
        }
        Act::Decline => {
            let payment = shop.payments(order().unwrap()).remove(0);
            shop.receive(shop.gateway.decline_session(&shop.page(&payment).id, "insufficient_funds"));
            Done::Yes
        }
        Act::Wait(duration) => {
            shop.clock.advance(*duration);
            Done::Yes
        }
    }
}

/// A hold that was not heard of yet will be.
fn is_early(shop: &Shop) -> bool {
    shop.store.orders()[0].state == OrderState::PaymentProcessing
}

fn again_if_early(shop: &Shop, kind: ErrorKind) -> Done {
    if kind == ErrorKind::Conflict && is_early(shop) { Done::TryAgain } else { again(kind) }
}

fn again(kind: ErrorKind) -> Done {
    match kind {
        ErrorKind::Unavailable => Done::TryAgain,
        // What was refused at the gateway is refused for good; a worker may have heard it first.
        ErrorKind::Conflict | ErrorKind::Refused => Done::Yes,
        other => panic!("{other:?}"),
    }
}

/// The worker: every job that is due, one after the other. A blow may kill it in the middle of one.
fn work(shop: &Shop) {
    for _ in 0..50 {
        // A job at a time: a worker that dies takes nothing else down with it.
        let queues = [ports::QueueName::Webhooks, ports::QueueName::Effects];
        let Some(job) = queues.into_iter().find_map(|queue| {
            let claimed = ready(ports::Queue::claim(&*shop.store, queue, 1, Duration::seconds(30)));
            claimed.unwrap().pop()
        }) else {
            return;
        };
        if let Some(Err(error)) = until_death(shop.run(&job)) {
            ready(ports::Queue::retry(&*shop.store, job.lease, Duration::MINUTE, &error)).unwrap();
        }
    }
    panic!("the worker never comes to rest");
}

/// What a flow comes to, without names and counts: how the order stands, how its payments stand, what the gateway
/// holds, and what is on file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    order: (OrderState, Option<CancelReason>, bool),
    payments: BTreeMap<String, usize>,
    /// Captured, refunded, returned, disputed, in minor units.
    money: [u64; 4],
    refunds: BTreeMap<(String, u64), usize>,
    /// At the gateway.
    refunds_made: usize,
    disputes: Vec<(DisputeStatus, bool)>,
    books: BTreeMap<String, i64>,
    paid: usize,
    payable: usize,
    declines: usize,
    breaks: Vec<BreakKind>,
}

fn end_of(shop: &Shop) -> End {
    let orders = shop.store.orders();
    assert_eq!(orders.len(), 1, "placed once");
    let mut payments = BTreeMap::new();
    for payment in shop.store.payments() {
        *payments.entry(payment.state.to_string()).or_insert(0) += 1;
    }
    let order = &orders[0];
    let sum = |part: fn(&Payment) -> Money| shop.store.payments().iter().map(|it| part(it).minor()).sum();
    let mut refunds = BTreeMap::new();
    for refund in shop.store.refunds() {
        *refunds.entry((refund.state.to_string(), refund.amount.minor())).or_insert(0) += 1;
    }
    let disputes = shop.store.disputes().into_iter();
    End {
        money: [
            sum(|payment| payment.captured),
            sum(|payment| payment.refunded),
            sum(|payment| payment.returned),
            sum(|payment| payment.disputed),
        ],
        refunds,
        refunds_made: shop.gateway.refunds_made().len(),
        disputes: disputes.map(|dispute| (dispute.seen.status, dispute.seen.submitted)).collect(),
        books: Account::iter().map(|account| (account.to_string(), shop.balance(account, "usd"))).collect(),
        order: (order.state, order.cancellation, order.shipment.is_some()),
        payments,
        paid: shop.paid(),
        payable: shop.payable(),
        declines: shop.store.declines().len(),
        breaks: shop.breaks(),
    }
}

/// Plays a flow under a fate: each act is tried until it is done, then the worker runs; at the end time passes until
/// nothing is left to do.
fn play(flow: &[Act], blows: &[(usize, Blow)]) -> (Shop, End) {
    let shop = Shop::with_fate(Fate::of(blows.to_vec()));
    for act in flow {
        let operation = shop.operation();
        let mut tries = 0;
        loop {
            if let Some(Done::Yes) = until_death(once(&shop, operation, act)) {
                break;
            }
            tries += 1;
            assert!(tries < 10, "{act:?} is never done");
            // The client waits; meanwhile leases end and the worker takes over.
            shop.clock.advance(Duration::MINUTE);
            work(&shop);
        }
        work(&shop);
    }
    // Leases of the dead end, and what failed is tried again.
    for _ in 0..10 {
        shop.clock.advance(Duration::MINUTE);
        work(&shop);
    }
    shop.assert_sound();
    let end = end_of(&shop);
    (shop, end)
}

/// Plays the flow undisturbed, then with every blow at every port call. Returns the undisturbed end.
fn endure(flow: &[Act], expected: OrderState) -> End {
    endure_after(&[], flow, expected)
}

/// As [`endure`], after something that goes as it goes.
fn endure_after(before: &[Act], flow: &[Act], expected: OrderState) -> End {
    let from = if before.is_empty() { 0 } else { play(before, &[]).0.fate.calls() };
    // In the end, when everything was heard of, everybody looks once more, so that the books do not depend on who
    // happened to look.
    let look = [Act::Wait(Duration::minutes(2)), Act::Sync];
    let flow = &[before, flow, &look].concat()[..];
    let (calm, end) = play(flow, &[]);
    assert_eq!(end.order.0, expected);
    let calls = calm.fate.calls();
    assert!(calls > 10, "only {calls} port calls");
    for blow in [Blow::DieBefore, Blow::DieAfter, Blow::FailBefore, Blow::FailAfter] {
        for call in from..calls {
            let (shop, disturbed) = play(flow, &[(call, blow)]);
            assert!(shop.fate.is_fulfilled(), "{blow:?} at {call} never fell");
            assert_eq!(disturbed, end, "{blow:?} at port call {call} of {calls}");
        }
    }
    end
}

fn delivery() -> [Act; 3] {
    let parcel = Shipment { carrier: "DHL".to_owned(), tracking: None };
    [Advance::StartFulfillment { amount: None }, Advance::Ship(parcel), Advance::Complete].map(Act::Advance)
}

/// Covers: I25, I26, I30, fault 3, fault 57, fault 58, fault 67, fault 85, fault 88, fault 125, W-1, W-4, T-4.
#[test]
fn an_order_paid_on_the_hosted_page_survives_every_crash() {
    let flow = [&[Act::Place, Act::Start(page("a")), Act::Decline, Act::Pay][..], &delivery()].concat();
    let end = endure(&flow, OrderState::Completed);
    assert_eq!((end.paid, end.payable, end.declines, end.breaks), (1, 0, 1, vec![]));
}

/// Covers: I25, I26, fault 85.
#[test]
fn an_order_paid_by_intent_survives_every_crash() {
    let flow = [&[Act::Place, Act::Start(Channel::PaymentIntent), Act::Pay][..], &delivery()].concat();
    let end = endure(&flow, OrderState::Completed);
    assert_eq!((end.paid, end.payable), (1, 0));
}

/// Covers: D-10, I2, I26, fault 85, fault 101, fault 103.
#[test]
fn changing_the_way_to_pay_survives_every_crash() {
    let flow = [Act::Place, Act::Start(page("a")), Act::Start(Channel::PaymentIntent), Act::Pay];
    let end = endure(&flow, OrderState::Paid);
    assert_eq!((end.paid, end.payable), (1, 0));
    assert_eq!(end.payments, BTreeMap::from([("cancelled".to_owned(), 1), ("captured".to_owned(), 1)]));
}

/// Covers: C-1, C-2, I13, I26, fault 85.
#[test]
fn cancelling_survives_every_crash() {
    for channel in [page("a"), Channel::PaymentIntent] {
        let end = endure(&[Act::Place, Act::Start(channel), Act::Cancel], OrderState::Cancelled);
        assert_eq!((end.paid, end.payable), (0, 0));
    }
}

/// Covers: fault 20, O-7, I13, I26, fault 85.
#[test]
fn expiring_survives_every_crash() {
    let flow = [Act::Place, Act::Start(Channel::PaymentIntent), Act::Wait(Duration::days(1))];
    let end = endure(&flow, OrderState::Cancelled);
    assert_eq!((end.order.1, end.payable), (Some(CancelReason::Expired), 0));
}

/// Covers: I7, I9, I25, I26, I30, U-3, fault 3, fault 85.
#[test]
fn refunds_by_us_and_at_the_dashboard_survive_every_crash() {
    let way = Act::Start(Channel::PaymentIntent);
    let flow = [Act::Place, way, Act::Pay, Act::Refund(1000), Act::RefundThere(500), Act::Refund(2498)];
    let end = endure(&flow, OrderState::Refunded);
    assert_eq!((end.money, end.refunds_made, end.books["clearing"]), ([3998, 3998, 3998, 0], 3, 0));
    assert!(end.breaks.is_empty());
}

/// Covers: I9, I25, I26, I30, R-6, fault 85.
#[test]
fn cancelling_a_paid_order_survives_every_crash() {
    let way = Act::Start(Channel::PaymentIntent);
    let end = endure(&[Act::Place, way, Act::Pay, Act::Refund(998), Act::Cancel], OrderState::Refunded);
    assert_eq!((end.money, end.refunds_made), ([3998, 3998, 3998, 0], 2));
}

/// Covers: C-3, I15, I25, I26, I30, fault 85, fault 150.
#[test]
fn taking_a_hold_survives_every_crash() {
    let way = || Act::Start(Channel::PaymentIntent);
    let end = endure(&[Act::PlaceHeld, way(), Act::Pay, Act::Capture(3000)], OrderState::Paid);
    assert_eq!((end.money, end.breaks), ([3000, 0, 0, 0], vec![]));
    let fulfil = Act::Advance(Advance::StartFulfillment { amount: Some(3000) });
    let end = endure(&[Act::PlaceHeld, way(), Act::Pay, fulfil], OrderState::FulfillmentStarted);
    assert_eq!((end.money, end.breaks), ([3000, 0, 0, 0], vec![]));
}

/// Covers: C-2, C-3, I13, I25, I26, I30, fault 85.
#[test]
fn releasing_a_hold_survives_every_crash() {
    let way = || Act::Start(Channel::PaymentIntent);
    let end = endure(&[Act::PlaceHeld, way(), Act::Pay, Act::Void], OrderState::Pending);
    assert_eq!((end.paid, end.payable, end.money), (0, 0, [0; 4]));
    let end = endure(&[Act::PlaceHeld, way(), Act::Pay, Act::Cancel], OrderState::Cancelled);
    assert_eq!((end.paid, end.payable, end.money), (0, 0, [0; 4]));
}

/// Covers: C-3, I13, I26, fault 85, fault 149.
#[test]
fn a_hold_that_runs_out_survives_every_crash() {
    let way = Act::Start(Channel::PaymentIntent);
    let flow = [Act::PlaceHeld, way, Act::Pay, Act::Wait(Duration::hours(7 * 24 - 2))];
    let end = endure(&flow, OrderState::Pending);
    assert_eq!((end.paid, end.payable), (0, 0));
}

/// Covers: I9, I25, I26, I30, X-1, X-5, fault 85, fault 148.
#[test]
fn a_dispute_that_is_answered_and_won_survives_every_crash() {
    let way = Act::Start(Channel::PaymentIntent);
    let wait = || Act::Wait(Duration::MINUTE);
    let flow = [Act::Place, way, Act::Pay, Act::Sync, Act::Dispute, wait(), Act::Submit, wait(), Act::Win];
    let end = endure(&flow, OrderState::Paid);
    assert_eq!((end.disputes, end.money), (vec![(DisputeStatus::Won, true)], [3998, 0, 0, 0]));
    assert_eq!((end.books["disputes"], end.books["clearing"], end.books["fees"]), (0, 0, 1646));
}

/// Covers: C-2, D-10, I2, I15, I26, I30, O-4, fault 62, fault 85, fault 102.
#[test]
fn money_that_has_no_business_here_is_given_back_once_whatever_crashes() {
    // We are told that there is no payment, and there is.
    let lost = [
        Act::Place,
        Act::Fail(Fault::UnknownAfter),
        Act::Fail(Fault::Rejected("api_error".to_owned())),
        Act::StartOnce,
        Act::Wait(Duration::minutes(2)),
    ];
    let late = vec![Act::Cancel, Act::PayFirst];
    let surplus = vec![Act::Start(page("a")), Act::Pay, Act::PayFirst];
    for (flow, ends, kind) in [
        (late, OrderState::Cancelled, BreakKind::LateMoney),
        (surplus, OrderState::Paid, BreakKind::SurplusPayment),
    ] {
        let end = endure_after(&lost, &flow, ends);
        assert_eq!(end.refunds, BTreeMap::from([(("succeeded".to_owned(), 3998), 1)]));
        assert_eq!((end.refunds_made, end.breaks, end.books["clearing"]), (1, vec![kind], 0));
    }
}

/// Covers: fault 86, I26.
#[test]
fn two_crashes_in_one_flow_are_survived() {
    let flow = [Act::Place, Act::Start(page("a")), Act::Start(Channel::PaymentIntent), Act::Cancel];
    let (calm, end) = play(&flow, &[]);
    let calls = calm.fate.calls();
    for first in 0..calls {
        // The second may fall into what repairs the first.
        for second in first + 1..calls + 6 {
            for blow in [Blow::DieBefore, Blow::DieAfter] {
                let (_, disturbed) = play(&flow, &[(first, blow), (second, blow)]);
                assert_eq!(disturbed, end, "{blow:?} at port calls {first} and {second} of {calls}");
            }
        }
    }
}

/// The customer pays, and then everything that could tell us goes wrong: whoever cancels must find the money.
///
/// Covers: C-1, C-2, I5, fault 62.
#[test]
fn a_paid_order_is_never_cancelled_by_a_crash() {
    for channel in [page("a"), Channel::PaymentIntent] {
        let flow = [Act::Place, Act::Start(channel)];
        let (calm, _) = play(&flow, &[]);
        let from = calm.fate.calls();
        for blow in [Blow::DieBefore, Blow::DieAfter, Blow::FailBefore, Blow::FailAfter] {
            for call in from..from + 20 {
                let shop = Shop::with_fate(Fate::of(vec![(call, blow)]));
                for act in &flow {
                    assert!(matches!(until_death(once(&shop, shop.operation(), act)), Some(Done::Yes)));
                }
                let payment = shop.store.payments().remove(0);
                match payment.channel {
                    Channel::PaymentIntent => drop(shop.gateway.pay_intent(&shop.intent(&payment).id)),
                    Channel::Checkout(_) => drop(shop.gateway.pay_session(&shop.page(&payment).id)),
                }
                let operation = shop.operation();
                for _ in 0..3 {
                    let _ = until_death(once(&shop, operation, &Act::Cancel));
                    shop.clock.advance(Duration::MINUTE);
                    work(&shop);
                }
                let end = end_of(&shop);
                assert_eq!(end.order, (OrderState::Paid, None, false), "{blow:?} at {call}");
                let intent = shop.intent(&payment).status;
                assert_eq!(intent, IntentStatus::Captured { refunded: 0 }, "{blow:?} at {call}");
                shop.assert_sound();
            }
        }
    }
}
