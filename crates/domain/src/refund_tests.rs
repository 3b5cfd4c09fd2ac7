use proptest::{prelude::*, sample::Index};
use strum::IntoEnumIterator;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::{CaptureMethod, Channel, Currency, PaymentEvent, Sighting, Standing};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const CAPTURED: u64 = 1000;

fn usd(minor: u64) -> Money {
    let currency: Currency = "usd".parse().unwrap();
    Money::from_minor(minor, currency).unwrap()
}

fn captured() -> Payment {
    let (id, order) = (PaymentId::from_uuid(Uuid::nil()), OrderId::from_uuid(Uuid::nil()));
    let (channel, capture) = (Channel::PaymentIntent, CaptureMethod::Automatic);
    let born = Payment::start(id, order, Mode::Test, channel, capture, usd(CAPTURED), NOW).after().clone();
    let taken = Sighting {
        standing: Standing::Captured { captured: CAPTURED, refunded: 0 },
        at: NOW,
        intent: None,
        session: None,
        capture_before: None,
        settlement: None,
    };
    after(&born, born.apply(PaymentEvent::Seen(taken)).unwrap())
}

fn after<A: Clone, E>(before: &A, applied: Applied<A, E>) -> A {
    match applied {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => before.clone(),
    }
}

fn draft(number: u128, amount: Money) -> RefundDraft {
    let (id, reason) = (RefundId::from_uuid(Uuid::from_u128(number)), RefundReason::Goodwill);
    RefundDraft { id, amount, reason, note: None, created_at: NOW }
}

fn name(number: usize) -> GatewayRefundId {
    format!("re_{number}").try_into().unwrap()
}

fn seen(standing: RefundStanding) -> RefundEvent {
    let (settlement, reversal) = (None, None);
    RefundEvent::Seen(RefundSighting { id: name(1), standing, failure: None, settlement, reversal })
}

fn meaning(standing: RefundStanding) -> RefundState {
    match standing {
        RefundStanding::Pending => RefundState::Pending,
        RefundStanding::Succeeded => RefundState::Succeeded,
        RefundStanding::Cancelled => RefundState::Cancelled,
        RefundStanding::Failed => RefundState::Failed,
    }
}

fn refund_in(state: RefundState) -> Refund {
    let born = Refund::request(&captured(), draft(1, usd(400))).after().clone();
    let refund = match RefundStanding::iter().find(|standing| meaning(*standing) == state) {
        Some(standing) => after(&born, born.apply(seen(standing)).unwrap()),
        None => born,
    };
    assert_eq!(refund.state, state);
    refund
}

/// Covers: I12, R-2, R-3, fault 147, fault 158.
#[test]
fn every_state_answers_every_event_as_designed() {
    use RefundState::*;
    // Written down a second time: what comes later wins, and a refund that came back stays so.
    let order = [Requested, Pending, Succeeded, Cancelled, Failed];
    let rank = |state| order.iter().position(|it| *it == state);
    for state in RefundState::iter() {
        let refund = refund_in(state);
        for standing in RefundStanding::iter() {
            let seen_as = meaning(standing);
            let expected = if rank(seen_as) > rank(state) { seen_as } else { state };
            let told = after(&refund, refund.apply(seen(standing)).unwrap());
            assert_eq!(told.state, expected, "{state} + {standing}");
            assert_eq!(told.apply(seen(standing)), Ok(Applied::AlreadyTrue), "{state} + {standing} twice");
        }
        let refusal = RefundEvent::Refused("no_balance".to_owned());
        let refused = after(&refund, refund.apply(refusal).unwrap());
        if state == Requested {
            assert_eq!((refused.state, refused.failure.as_deref()), (Failed, Some("no_balance")));
            for standing in RefundStanding::iter() {
                let exists = after(&refused, refused.apply(seen(standing)).unwrap());
                assert_eq!(exists.state, meaning(standing), "it came to light after all");
            }
        } else {
            assert_eq!(refused, refund, "{state}: it exists, whatever one answer said");
        }
        for birth in [RefundEvent::Requested, RefundEvent::Adopted] {
            let error = refund.apply(birth).unwrap_err();
            assert_eq!(error.from, <&str>::from(state), "born once");
        }
    }
}

/// Covers: I10, R-3, fault 144.
#[test]
fn an_amount_is_reserved_from_the_request_until_it_failed() {
    use RefundState::*;
    for state in RefundState::iter() {
        assert_eq!(state.is_reserved(), [Requested, Pending, Succeeded].contains(&state), "{state}");
        assert_eq!(state.is_settled(), [Succeeded, Cancelled, Failed].contains(&state), "{state}");
    }
}

///
#[test]
fn every_reason_is_one_that_the_gateway_knows_or_none() {
    for reason in RefundReason::iter() {
        let theirs = reason.of_gateway();
        assert!(
            theirs.is_none_or(|it| ["requested_by_customer", "duplicate", "fraudulent"].contains(&it)),
            "{reason}: {theirs:?}"
        );
    }
    let ours: Vec<_> = RefundReason::iter().filter(|reason| reason.is_ours()).collect();
    assert_eq!(ours, [RefundReason::LatePayment, RefundReason::SurplusPayment]);
}

fn moved(name: &str, amount: i64) -> BalanceTransaction {
    let id = name.to_owned().try_into().unwrap();
    BalanceTransaction { id, amount, fee: 0, currency: usd(0).currency(), at: NOW }
}

fn any_standing() -> impl Strategy<Value = RefundStanding> {
    prop_oneof![
        Just(RefundStanding::Pending),
        Just(RefundStanding::Succeeded),
        Just(RefundStanding::Cancelled),
        Just(RefundStanding::Failed),
    ]
}

/// One object, whose movements and reason are told by some messages and not by others.
fn any_sighting() -> impl Strategy<Value = RefundEvent> {
    (any_standing(), any::<[bool; 3]>()).prop_map(|(standing, [failure, settled, reversed])| {
        RefundEvent::Seen(RefundSighting {
            id: name(1),
            standing,
            failure: failure.then(|| "lost_or_stolen_card".to_owned()),
            settlement: settled.then(|| moved("txn_1", -400)),
            reversal: reversed.then(|| moved("txn_2", 400)),
        })
    })
}

/// What happens to the refunds of one payment.
#[derive(Debug, Clone)]
enum Act {
    Request(u64),
    Adopt(u64),
    Refuse(Index),
    See(Index, RefundStanding),
}

fn any_act() -> impl Strategy<Value = Act> {
    let amount = || prop_oneof![4 => 1..=CAPTURED + 1, 1 => Just(i64::MAX.unsigned_abs())];
    prop_oneof![
        amount().prop_map(Act::Request),
        amount().prop_map(Act::Adopt),
        any::<Index>().prop_map(Act::Refuse),
        (any::<Index>(), any_standing()).prop_map(|(index, standing)| Act::See(index, standing)),
    ]
}

/// Everything that is or may be on its way back, and of that what was sent.
fn sums(refunds: &[Refund]) -> (u64, u64) {
    let of = |counts: fn(RefundState) -> bool| {
        refunds.iter().filter(|refund| counts(refund.state)).map(|refund| refund.amount.minor()).sum()
    };
    (of(RefundState::is_reserved), of(|state| state == RefundState::Succeeded))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Also with a refusal of our call in between: the object itself knows better.
    ///
    /// Covers: I11, I22, I30, fault 15, fault 32, fault 33, D-15, R-2.
    #[test]
    fn sightings_converge_in_any_order_with_any_repetition(
        sightings in prop::collection::vec(any_sighting(), 1..6).prop_flat_map(|sightings| {
            (Just(sightings.clone()), Just(sightings).prop_shuffle())
        }),
        repeated in prop::collection::vec(any::<Index>(), 0..4),
        (adopted, refused) in (any::<bool>(), any::<bool>()),
    ) {
        let (one, mut other) = sightings;
        let refusal = RefundEvent::Refused("no_balance".to_owned());
        if refused && !adopted {
            other.insert(0, refusal);
        }
        let payment = captured();
        let born = match adopted {
            true => Refund::adopt(&payment, draft(1, usd(400)), name(1)),
            false => Refund::request(&payment, draft(1, usd(400))),
        };
        let again = repeated.iter().map(|index| index.get(&one).clone());
        let told = |sightings: Vec<RefundEvent>| {
            let apply = |refund: Refund, event: RefundEvent| after(&refund, refund.apply(event).unwrap());
            let refund = sightings.into_iter().fold(born.after().clone(), apply);
            Refund { version: Version::FIRST, ..refund }
        };
        prop_assert_eq!(told(one.clone()), told(other.into_iter().chain(again).collect()));
    }

    /// Covers: I3, I10, R-1, R-3, D-15, fault 143, fault 144, fault 147, fault 160.
    #[test]
    fn whatever_becomes_of_refunds_no_more_goes_back_than_was_taken(
        acts in prop::collection::vec(any_act(), 1..20),
    ) {
        let (mut payment, mut refunds) = (captured(), Vec::<Refund>::new());
        for (number, act) in acts.into_iter().enumerate() {
            let draft = |minor| draft(number as u128, usd(minor));
            let birth = match act {
                Act::Request(minor) => Some(Refund::request(&payment, draft(minor))),
                Act::Adopt(minor) => Some(Refund::adopt(&payment, draft(minor), name(number))),
                Act::Refuse(_) | Act::See(..) => None,
            };
            if let Some(birth) = birth {
                let fits = sums(&refunds).0 + birth.after().amount.minor() <= CAPTURED;
                let followed = payment.follow_refund(&birth);
                prop_assert_eq!(followed.is_ok(), fits, "refused exactly when it is too much");
                if let Ok(applied) = followed {
                    payment = after(&payment, applied);
                    refunds.push(birth.after().clone());
                }
            }
            if let Act::Refuse(index) | Act::See(index, _) = &act
                && !refunds.is_empty()
            {
                let at = index.index(refunds.len());
                let refund = &mut refunds[at];
                let event = match &act {
                    Act::See(_, standing) => seen(*standing),
                    _ => RefundEvent::Refused("no".to_owned()),
                };
                if let Applied::Moved(step) = refund.apply(event).unwrap() {
                    let followed = payment.follow_refund(&step);
                    // What was refused and exists after all may find its amount given to another one.
                    let taken = refund.state == RefundState::Failed && refund.gateway.is_none();
                    prop_assert!(followed.is_ok() || taken);
                    if let Ok(applied) = followed {
                        payment = after(&payment, applied);
                        *refund = step.after().clone();
                    }
                }
            }
            prop_assert_eq!((payment.refunded.minor(), payment.returned.minor()), sums(&refunds));
            prop_assert!(payment.returned.minor() <= payment.refunded.minor());
            prop_assert!(payment.refunded.minor() <= CAPTURED);
            prop_assert_eq!(payment.refundable().minor(), CAPTURED - payment.refunded.minor());
        }
    }
}

/// Covers: fault 153, I8.
#[test]
fn a_refund_in_another_currency_is_not_the_payments() {
    let eur = Money::from_minor(1, "eur".parse().unwrap()).unwrap();
    let payment = captured();
    assert!(payment.follow_refund(&Refund::request(&payment, draft(1, eur))).is_err());
}
