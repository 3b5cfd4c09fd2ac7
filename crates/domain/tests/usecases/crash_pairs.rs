//! Two port calls go wrong in one use case, the second perhaps in what repairs the first; and whoever was let down never
//! comes back.

use paywright_domain::{usecase::*, *};
use paywright_testkit::Fault;
use time::Duration;

use crate::{
    crash_acts::Act,
    crash_play::{Manner, play, play_calmly, sleeps},
    fate::Blow,
    support::page,
};

/// What is played: what goes as it goes, and then the use case.
type Scene = (Vec<Act>, Vec<Act>);

/// Every pair of blows that leave something different behind; every run ends where an undisturbed one ends. Then every
/// single blow again, with people who do not come back; these runs may end elsewhere, but never in disorder.
///
/// Returns how many runs there were.
fn endure_pairs(scenes: Vec<Scene>) -> usize {
    let (mut pairs, mut alone) = (0, 0);
    for (before, acts) in scenes {
        let flow = &[before.clone(), acts].concat()[..];
        let calm = play_calmly(flow);
        let (end, from) = (calm.end(), calm.begins[before.len()]);
        for (first, nature) in calm.calls.iter().enumerate().skip(from) {
            for blow in Blow::all(*nature) {
                for sleep in sleeps(blow) {
                    drop(play(flow, &[(first, blow)], Manner::Gone, *sleep));
                    alone += 1;
                }
            }
            for blow in Blow::distinct(*nature) {
                let repaired = play(flow, &[(first, blow)], Manner::Patient, 1);
                for (second, nature) in repaired.calls.iter().enumerate().skip(first + 1) {
                    for other in Blow::distinct(*nature) {
                        let blows = [(first, blow), (second, other)];
                        let disturbed = play(flow, &blows, Manner::Patient, 1).end();
                        assert_eq!(disturbed, end, "{blows:?} after {from} of {}", repaired.calls.len());
                        pairs += 1;
                    }
                }
            }
        }
    }
    println!("{pairs} runs with two blows, {alone} with one and people who do not come back");
    pairs + alone
}

fn placed() -> Vec<Act> {
    vec![Act::Place]
}

fn started(channel: Channel) -> Vec<Act> {
    vec![Act::Place, Act::Start(channel)]
}

fn paid() -> Vec<Act> {
    vec![Act::Place, Act::Start(Channel::PaymentIntent), Act::Pay]
}

fn held() -> Vec<Act> {
    vec![Act::PlaceHeld, Act::Start(Channel::PaymentIntent), Act::Pay]
}

fn disputed() -> Vec<Act> {
    [paid(), vec![Act::Dispute]].concat()
}

fn with(mut acts: Vec<Act>, more: &[Act]) -> Vec<Act> {
    acts.extend_from_slice(more);
    acts
}

/// Covers: fault 86, I26.
#[test]
fn placing_an_order() {
    assert!(endure_pairs(vec![(vec![], vec![Act::Place]), (vec![], vec![Act::PlaceHeld])]) > 100);
}

/// Covers: fault 86, I18, I26.
#[test]
fn starting_a_payment_on_the_page() {
    assert!(endure_pairs(vec![(placed(), vec![Act::Start(page("a"))])]) > 250);
}

/// Covers: fault 86, I18, I26.
#[test]
fn starting_a_payment_by_intent() {
    assert!(endure_pairs(vec![(placed(), vec![Act::Start(Channel::PaymentIntent)])]) > 250);
}

/// Covers: D-10, I2, I18, I26, fault 86.
#[test]
fn starting_a_payment_where_another_one_is() {
    let other = vec![Act::Start(Channel::PaymentIntent)];
    assert!(endure_pairs(vec![(started(page("a")), other)]) > 700);
}

/// Covers: C-3, I15, I26, fault 86, fault 150.
#[test]
fn taking_a_hold() {
    assert!(endure_pairs(vec![(held(), vec![Act::Capture(3000)])]) > 300);
}

/// Covers: C-3, I26, fault 86.
#[test]
fn releasing_a_hold() {
    assert!(endure_pairs(vec![(held(), vec![Act::Void])]) > 250);
}

/// Covers: I3, I7, I26, U-3, fault 86.
#[test]
fn giving_money_back() {
    assert!(endure_pairs(vec![(paid(), vec![Act::Refund(1000)])]) > 400);
}

/// Covers: I26, X-1, fault 86.
#[test]
fn answering_a_dispute() {
    assert!(endure_pairs(vec![(disputed(), vec![Act::Submit])]) > 600);
}

/// Covers: C-1, C-2, I13, I26, fault 86.
#[test]
fn cancelling_an_order_that_nobody_paid() {
    let scenes = vec![
        (placed(), vec![Act::Cancel]),
        (started(page("a")), vec![Act::Cancel]),
        (started(Channel::PaymentIntent), vec![Act::Cancel]),
    ];
    assert!(endure_pairs(scenes) > 1_000);
}

/// Covers: C-2, I5, I26, R-6, fault 62, fault 86.
#[test]
fn cancelling_an_order_with_money() {
    let unheard = with(started(Channel::PaymentIntent), &[Act::PayUnheard]);
    let scenes = [paid(), held(), unheard].map(|before| (before, vec![Act::Cancel]));
    assert!(endure_pairs(scenes.into()) > 1_400);
}

/// Covers: I15, I26, fault 86.
#[test]
fn fulfilling_an_order() {
    let parcel = Shipment { carrier: "DHL".to_owned(), tracking: None };
    let steps = [Advance::StartFulfillment { amount: None }, Advance::Ship(parcel), Advance::Complete];
    let taking = Act::Advance(Advance::StartFulfillment { amount: Some(3000) });
    assert!(endure_pairs(vec![(paid(), steps.map(Act::Advance).into()), (held(), vec![taking])]) > 500);
}

/// Nobody but the worker is there to perform it, and it may have been performed.
///
/// Covers: I24, I26, T-2, U-1, fault 2, fault 3, fault 86.
#[test]
fn performing_a_call_whose_outcome_is_unknown() {
    let later = || vec![Act::Wait(Duration::minutes(2))];
    let mut scenes = Vec::new();
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter] {
        scenes.push((with(placed(), &[Act::Fail(fault.clone()), Act::StartOnce]), later()));
        scenes.push((with(paid(), &[Act::Fail(fault), Act::RefundOnce(1000)]), later()));
    }
    assert!(endure_pairs(scenes) > 700);
}

/// The gateway repeats its failure for ever under a key: only a search tells, and a new key only after it.
///
/// Covers: I18, I24, I26, fault 13, fault 14, fault 86.
#[test]
fn performing_a_call_whose_key_is_spent() {
    let later = || vec![Act::Wait(Duration::minutes(2))];
    let mut scenes = Vec::new();
    for fault in [Fault::SpentBefore, Fault::SpentAfter] {
        scenes.push((with(paid(), &[Act::Fail(fault), Act::RefundOnce(1000)]), later()));
    }
    assert!(endure_pairs(scenes) > 800);
}

/// Covers: I20, I22, I26, W-4, fault 58, fault 86.
#[test]
fn reading_what_customers_did() {
    let scenes = vec![
        (started(page("a")), vec![Act::Decline]),
        (started(page("a")), vec![Act::Pay]),
        (started(page("a")), vec![Act::Expire]),
        (started(Channel::PaymentIntent), vec![Act::Pay]),
    ];
    assert!(endure_pairs(scenes) > 500);
}

/// Covers: I9, I10, I20, I22, I26, X-1, X-5, fault 86, fault 147, fault 148, fault 156.
#[test]
fn reading_what_others_did_with_the_money() {
    let scenes = vec![
        (paid(), vec![Act::RefundThere(500)]),
        (with(paid(), &[Act::Refund(1000)]), vec![Act::RefundFails]),
        (paid(), vec![Act::Dispute]),
        (disputed(), vec![Act::Win]),
        (disputed(), vec![Act::Lose]),
    ];
    assert!(endure_pairs(scenes) > 1_300);
}

/// Covers: I2, I15, I26, O-4, fault 62, fault 86, fault 102.
#[test]
fn reading_of_money_that_has_no_business_here() {
    let lost =
        [Act::Fail(Fault::UnknownAfter), Act::Fail(Fault::Rejected("api_error".to_owned())), Act::StartOnce];
    let lost = with(with(placed(), &lost), &[Act::Wait(Duration::minutes(2)), Act::Cancel]);
    assert!(endure_pairs(vec![(lost, vec![Act::PayFirst])]) > 400);
}

/// Covers: I5, I26, I28, fault 34, fault 86.
#[test]
fn looking_at_a_payment() {
    let unheard = |act| with(paid(), &[act]);
    let scenes = vec![
        (with(started(page("a")), &[Act::PayUnheard]), vec![Act::Sync]),
        (unheard(Act::RefundThereUnheard(500)), vec![Act::Sync]),
        (unheard(Act::DisputeUnheard), vec![Act::Sync]),
    ];
    assert!(endure_pairs(scenes) > 700);
}

/// Covers: C-3, I13, I26, O-7, fault 20, fault 86, fault 149.
#[test]
fn looking_after_an_order() {
    let scenes = vec![
        (placed(), vec![Act::Wait(Duration::days(1))]),
        (started(page("a")), vec![Act::Wait(Duration::days(1))]),
        (started(Channel::PaymentIntent), vec![Act::Wait(Duration::days(1))]),
        (held(), vec![Act::Wait(Duration::hours(7 * 24 - 2))]),
    ];
    assert!(endure_pairs(scenes) > 1_200);
}

fn reconciliation(section: Section, missed: &[Act]) -> usize {
    let before = with(with(paid(), missed), &[Act::Wait(Duration::minutes(5))]);
    endure_pairs(vec![(before, vec![Act::Reconcile(vec![section])])])
}

/// Covers: I5, I24, I26, I28, W-13, fault 34, fault 86.
#[test]
fn reconciling_by_the_events_that_were_missed() {
    assert!(reconciliation(Section::CatchUp, &[Act::RefundThereUnheard(500)]) > 4_000);
}

/// Covers: I5, I26, I28, fault 34, fault 86.
#[test]
fn reconciling_by_our_own_payments() {
    assert!(reconciliation(Section::Local, &[Act::DisputeUnheard]) > 1_000);
}

/// Covers: I5, I26, I28, fault 34, fault 86, fault 156.
#[test]
fn reconciling_by_the_payments_of_the_gateway() {
    assert!(reconciliation(Section::Gateway, &[Act::RefundThereUnheard(500)]) > 3_500);
}

/// Movements of a payment that could not be looked at are no differences.
///
/// Covers: I1, I9, I26, I28, W-15, fault 86.
#[test]
fn reconciling_by_the_movements_of_the_balance() {
    assert!(reconciliation(Section::Books, &[Act::RefundThereUnheard(500), Act::DisputeUnheard]) > 3_000);
}
