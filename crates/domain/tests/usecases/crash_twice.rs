//! Everything is done twice: people ask again for what they have, jobs are done again by who did them, messages come
//! again. Twice is once.

use paywright_domain::{usecase::*, *};
use strum::IntoEnumIterator;
use time::Duration;

use crate::{
    crash_acts::Act,
    crash_play::{Manner, play, play_calmly},
    support::page,
};

/// Covers: I17, I20, I22, I30, D-11, D-12, D-18, fault 37, fault 137.
#[test]
fn everything_that_is_done_twice_is_done_once() {
    let intent = || Act::Start(Channel::PaymentIntent);
    let parcel = Shipment { carrier: "DHL".to_owned(), tracking: None };
    let delivery = [Advance::StartFulfillment { amount: None }, Advance::Ship(parcel), Advance::Complete];
    let everything = || Act::Reconcile(Section::iter().collect());
    let delivery = delivery.map(Act::Advance).to_vec();
    let paid = [Act::Place, intent(), Act::Pay];
    let held = [Act::PlaceHeld, intent(), Act::Pay];
    let flows = [
        [&[Act::Place, Act::Start(page("a")), Act::Decline, Act::Pay][..], &delivery].concat(),
        vec![Act::Place, Act::Start(page("a")), intent(), Act::Cancel],
        vec![Act::Place, Act::Start(page("a")), Act::Expire, Act::Wait(Duration::DAY)],
        [&paid[..], &[Act::Refund(1000), Act::RefundThere(500), Act::Refund(2498), Act::Sync]].concat(),
        [&paid[..], &[Act::Refund(1000), Act::RefundFails, Act::Cancel]].concat(),
        [&held[..], &[Act::Capture(3000), Act::Cancel]].concat(),
        [&held[..], &[Act::Advance(Advance::StartFulfillment { amount: Some(3000) })]].concat(),
        [&held[..], &[Act::Void]].concat(),
        [&held[..], &[Act::Wait(Duration::hours(7 * 24 - 2))]].concat(),
        [&paid[..], &[Act::Dispute, Act::Submit, Act::Win, Act::Sync]].concat(),
        [&paid[..], &[Act::DisputeUnheard, Act::Wait(Duration::minutes(2)), everything(), Act::Lose]]
            .concat(),
    ];
    for flow in &flows {
        let (once, twice) = (play_calmly(flow).end(), play(flow, &[], Manner::Twice, 1).end());
        assert_eq!(twice, once, "{flow:#?}");
    }
}
