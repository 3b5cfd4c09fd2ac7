//! Every port call of whole flows goes wrong, one after the other, in every way: the process dies there, or sleeps past
//! its leases, or the port does not answer, or answers twice, or somebody else was faster. However it was, the flow ends
//! where an undisturbed one ends.

use std::collections::BTreeMap;

use paywright_domain::{usecase::*, *};
use paywright_testkit::Fault;
use time::Duration;

use crate::{
    crash_acts::Act,
    crash_play::{End, Manner, play, play_calmly, sleeps},
    fate::Blow,
    support::page,
};

/// Plays the flow undisturbed, then with every blow at every port call. Returns the undisturbed end.
fn endure(flow: &[Act], expected: OrderState) -> End {
    endure_after(&[], flow, expected)
}

/// As [`endure`], after something that goes as it goes.
fn endure_after(before: &[Act], flow: &[Act], expected: OrderState) -> End {
    let flow = &[before, flow].concat()[..];
    let calm = play_calmly(flow);
    let from = calm.begins[before.len()];
    let end = calm.end();
    assert_eq!(end.order.0, expected);
    let mut runs = 0;
    for (call, nature) in calm.calls.iter().enumerate().skip(from) {
        for blow in Blow::all(*nature) {
            for sleep in sleeps(blow) {
                let disturbed = play(flow, &[(call, blow)], Manner::Patient, *sleep).end();
                let calls = calm.calls.len();
                assert_eq!(
                    disturbed, end,
                    "{blow:?} at port call {call} ({nature:?}) of {calls}, {sleep} min"
                );
                runs += 1;
            }
        }
    }
    assert!(runs > 50, "only {runs} runs");
    println!("{runs} runs with a blow at one of {} port calls", calm.calls.len() - from);
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

/// The customer pays, and then everything that could tell us goes wrong: whoever cancels must find the money.
///
/// Covers: C-1, C-2, I5, fault 62.
#[test]
fn a_paid_order_is_never_cancelled_by_a_crash() {
    for channel in [page("a"), Channel::PaymentIntent] {
        let before = [Act::Place, Act::Start(channel), Act::PayUnheard];
        let end = endure_after(&before, &[Act::Cancel], OrderState::Paid);
        assert_eq!((end.order.1, end.paid, end.money), (None, 1, [3998, 0, 0, 0]));
    }
}
