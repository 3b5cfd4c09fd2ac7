use proptest::{prelude::*, sample::Index};
use strum::IntoEnumIterator;
use time::{Duration, macros::datetime};
use uuid::Uuid;

use super::*;
use crate::{
    CancelReason, Currency, Draft, Followed, Metadata, Order, OrderEvent, OrderItem, OrderState, ProductId,
};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const AMOUNT: u64 = 1000;

fn usd() -> Currency {
    "usd".parse().unwrap()
}

fn born() -> Payment {
    let (id, order) = (PaymentId::from_uuid(Uuid::nil()), OrderId::from_uuid(Uuid::nil()));
    let amount = Money::from_minor(AMOUNT, usd()).unwrap();
    Payment::start(id, order, Mode::Test, Channel::PaymentIntent, amount, NOW).after().clone()
}

fn seen_at(standing: Standing, second: i64) -> PaymentEvent {
    PaymentEvent::Seen(Sighting {
        standing,
        at: NOW + Duration::seconds(second),
        intent: None,
        session: None,
    })
}

fn seen(standing: Standing) -> PaymentEvent {
    seen_at(standing, 0)
}

fn captured(refunded: u64) -> Standing {
    Standing::Captured { captured: AMOUNT, refunded }
}

fn stepped(payment: &Payment, event: PaymentEvent) -> Payment {
    match payment.apply(event).unwrap() {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => payment.clone(),
    }
}

fn payment_in(state: PaymentState) -> Payment {
    let payment = match state {
        PaymentState::Created => born(),
        PaymentState::Failed => stepped(&born(), PaymentEvent::Refused),
        PaymentState::Pending => stepped(&born(), seen(Standing::AwaitingMethod)),
        PaymentState::RequiresAction => stepped(&born(), seen(Standing::ActionRequired)),
        PaymentState::Processing => stepped(&born(), seen(Standing::Processing)),
        PaymentState::Authorized => stepped(&born(), seen(Standing::Authorized(AMOUNT))),
        PaymentState::Cancelled => stepped(&born(), seen(Standing::Cancelled)),
        PaymentState::Captured => stepped(&born(), seen(captured(0))),
    };
    assert_eq!(payment.state, state);
    payment
}

/// The state that a standing means.
fn meaning(standing: &Standing) -> Option<PaymentState> {
    Some(match standing {
        Standing::AwaitingMethod => PaymentState::Pending,
        Standing::ActionRequired => PaymentState::RequiresAction,
        Standing::Processing => PaymentState::Processing,
        Standing::Authorized(_) => PaymentState::Authorized,
        Standing::Captured { .. } => PaymentState::Captured,
        Standing::Cancelled => PaymentState::Cancelled,
        Standing::Unclear => return None,
    })
}

fn standings() -> Vec<Standing> {
    vec![
        Standing::AwaitingMethod,
        Standing::ActionRequired,
        Standing::Processing,
        Standing::Authorized(AMOUNT),
        captured(0),
        Standing::Cancelled,
        Standing::Unclear,
    ]
}

/// What a sighting makes of a state, written down a second time: which of the two wins.
fn expected(from: PaymentState, seen: PaymentState, newer: bool) -> PaymentState {
    use PaymentState::*;
    let open = |state| [Pending, RequiresAction, Processing].contains(&state);
    match (from, seen) {
        (Captured, _) | (_, Captured) => Captured,
        (Cancelled, _) | (_, Cancelled) => Cancelled,
        (Authorized, _) | (_, Authorized) => Authorized,
        (from, seen) if open(from) && open(seen) && newer => seen,
        // Of one second: the one that is further on.
        (from, seen) if open(from) && open(seen) => {
            let rank = |state| [Pending, RequiresAction, Processing].iter().position(|it| *it == state);
            if rank(from) > rank(seen) { from } else { seen }
        }
        (Created | Failed, seen) => seen,
        (from, _) => from,
    }
}

/// Covers: I12, I23, O-2, O-7, T-12.
#[test]
fn every_state_answers_every_sighting_as_designed() {
    for from in PaymentState::iter() {
        for standing in standings() {
            for (second, newer) in [(-1, false), (0, false), (1, true)] {
                let before = payment_in(from);
                let after = stepped(&before, seen_at(standing.clone(), second));
                let expected = match meaning(&standing) {
                    None => from,
                    Some(seen) if second < 0 && [from, seen].iter().all(|state| state.phase() == 2) => from,
                    Some(seen) => expected(from, seen, newer),
                };
                assert_eq!(after.state, expected, "{from} + {standing} at {second:+}");
                let again = after.apply(seen_at(standing.clone(), second));
                assert_eq!(again, Ok(Applied::AlreadyTrue), "{from} + {standing} twice at {second:+}");
            }
        }
    }
}

/// Covers: I12, T-1.
#[test]
fn every_state_answers_every_decision_as_designed() {
    for state in PaymentState::iter() {
        let payment = payment_in(state);
        assert!(payment.apply(PaymentEvent::Started).is_err(), "{state} is born once");

        let refused = stepped(&payment, PaymentEvent::Refused);
        if state == PaymentState::Created {
            assert_eq!(refused.state, PaymentState::Failed);
        } else {
            assert_eq!(refused, payment, "{state}: it exists, whatever one answer said");
        }

        let ending = stepped(&payment, PaymentEvent::EndRequested);
        assert_eq!(ending.state, state, "asking for the end is not the end");
        assert_eq!(
            (ending.end_requested, ending.end_generation),
            (state.is_live(), u32::from(state.is_live()))
        );
        assert_eq!(ending.apply(PaymentEvent::EndRequested), Ok(Applied::AlreadyTrue), "{state}: asked once");
        assert_eq!(payment.apply(PaymentEvent::EndRefused), Ok(Applied::AlreadyTrue), "{state}: never asked");

        let going_on = stepped(&ending, PaymentEvent::EndRefused);
        assert!(!going_on.end_requested, "{state}");
        let asked_again = stepped(&going_on, PaymentEvent::EndRequested);
        assert_eq!(asked_again.end_generation, 2 * u32::from(state.is_live()), "{state}: another key");
    }
}

fn alphabet() -> Vec<PaymentEvent> {
    let mut events: Vec<_> = standings().into_iter().map(seen).collect();
    events.extend([
        seen_at(Standing::AwaitingMethod, 1),
        seen_at(Standing::ActionRequired, 1),
        seen(captured(400)),
        seen(captured(AMOUNT)),
        PaymentEvent::Started,
        PaymentEvent::Refused,
        PaymentEvent::EndRequested,
        PaymentEvent::EndRefused,
    ]);
    events
}

fn assert_sound(before: &Payment, event: &PaymentEvent, after: &Payment) {
    let step = format!("{} --{event}--> {}", before.state, after.state);
    assert_eq!(after.version.number(), before.version.number() + 1, "{step}");
    assert_eq!((after.id, after.order, after.amount), (before.id, before.order, before.amount), "{step}");
    assert!(after.captured.minor() >= before.captured.minor(), "{step}: money taken stays taken");
    assert!(after.refunded.minor() >= before.refunded.minor(), "{step}: totals never go back");
    assert!(after.refunded.minor() <= after.captured.minor(), "{step}: no more back than taken");
    assert!(after.state.phase() >= before.state.phase(), "{step}: never back to an earlier phase");
    assert!(before.intent.is_none() || after.intent == before.intent, "{step}: a name stays");
    assert!(before.session.is_none() || after.session == before.session, "{step}: a name stays");
    assert!(after.end_generation >= before.end_generation, "{step}: a key is never used again");
    assert!(after.state.is_live() || !after.end_requested, "{step}: nothing is left to end");
    assert!(after.capturable.is_zero() || after.state == PaymentState::Authorized, "{step}");
    if before.state == PaymentState::Captured {
        assert_eq!(after.state, PaymentState::Captured, "{step}: the end");
    }
    if before.state == PaymentState::Cancelled {
        assert!([PaymentState::Cancelled, PaymentState::Captured].contains(&after.state), "{step}");
    }
}

/// Covers: I3, I11, I12, I16.
#[test]
fn every_sequence_of_five_events_keeps_the_invariants() {
    fn explore(before: &Payment, alphabet: &[PaymentEvent], depth: u32, seen: &mut u32) {
        if depth == 0 {
            return;
        }
        for event in alphabet {
            let Ok(Applied::Moved(step)) = before.apply(event.clone()) else { continue };
            *seen += 1;
            assert_sound(before, event, step.after());
            explore(step.after(), alphabet, depth - 1, seen);
        }
    }
    let mut seen = 0;
    explore(&born(), &alphabet(), 5, &mut seen);
    assert!(seen > 4_000, "only {seen} steps explored");
}

/// Covers: fault 55, O-2, T-12.
#[test]
fn only_a_message_that_does_not_settle_it_needs_a_look() {
    let looks = |from, standing, second| match seen_at(standing, second) {
        PaymentEvent::Seen(sighting) => payment_in(from).needs_look(&sighting),
        _ => unreachable!("it is a sighting"),
    };
    for state in PaymentState::iter() {
        let settled = [PaymentState::Cancelled, PaymentState::Captured].contains(&state);
        assert_eq!(looks(state, Standing::Unclear, 0), !settled, "{state}");
        assert!(!looks(state, captured(0), 0), "{state}: money speaks for itself");
        assert!(!looks(state, Standing::Cancelled, 0), "{state}");
    }
    assert!(looks(PaymentState::RequiresAction, Standing::AwaitingMethod, 0), "one second, two stories");
    assert!(!looks(PaymentState::RequiresAction, Standing::AwaitingMethod, 1), "the later one counts");
    assert!(!looks(PaymentState::RequiresAction, Standing::ActionRequired, 0), "the same story");
}

#[test]
fn a_gateway_that_claims_more_than_can_be_counted_is_held_to_the_greatest_amount() {
    let of = |captured, refunded| seen(Standing::Captured { captured, refunded });
    let vast = stepped(&born(), of(u64::MAX, u64::MAX));
    assert_eq!(vast.captured.minor(), i64::MAX.unsigned_abs());
    let other_way = stepped(&stepped(&born(), of(5000, 0)), of(u64::MAX, u64::MAX));
    assert_eq!(vast.captured, other_way.captured);
}

fn order() -> Order {
    let price = Money::from_minor(AMOUNT, usd()).unwrap();
    let item = OrderItem {
        product: ProductId::from_uuid(Uuid::nil()),
        name: "A hat".to_owned(),
        unit_price: price,
        quantity: 1,
    };
    let draft = Draft {
        id: OrderId::from_uuid(Uuid::nil()),
        mode: Mode::Test,
        customer: None,
        customer_email: None,
        currency: usd(),
        items: vec![item],
        metadata: Metadata::new(),
        token: "token".to_owned(),
        created_at: NOW,
        expires_at: NOW + Duration::DAY,
    };
    let placed = Order::place(draft).unwrap().after().clone();
    moved(&placed, OrderEvent::PaymentStarted)
}

fn moved(order: &Order, event: OrderEvent) -> Order {
    match order.apply(event).unwrap() {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => order.clone(),
    }
}

/// As the use cases do it: apply, then let the order follow until it rests; a payment that had ended before says
/// nothing.
fn learn((payment, order): (Payment, Order), event: &PaymentEvent) -> (Payment, Order) {
    let (was_live, payment) = (payment.state.is_live(), stepped(&payment, event.clone()));
    let mut order = order;
    let ended = matches!(payment.state, PaymentState::Cancelled | PaymentState::Failed);
    while let Followed::Step(step) =
        if ended && !was_live { Followed::Unmoved } else { order.follow(&payment).unwrap() }
    {
        order = step.after().clone();
    }
    (payment, order)
}

/// What must not depend on the order in which facts came: everything but the count of steps. `pending` and
/// `payment_processing` accept the same events and differ in name only: a hold that was lost before it was heard
/// of leaves `payment_processing`.
fn outcome((mut payment, mut order): (Payment, Order)) -> (Payment, Order) {
    payment.version = Version::FIRST;
    order.version = Version::FIRST;
    // Of money that falls short there is a break; until somebody settles it the order is unpaid, with or without
    // the hold that the money was taken from.
    let short = payment.state == PaymentState::Captured && payment.captured < order.total;
    if order.state == OrderState::Pending || (short && order.state == OrderState::Authorized) {
        order.state = OrderState::PaymentProcessing;
        order.paid_by = None;
    }
    (payment, order)
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::AwaitingMethod),
        Just(Standing::ActionRequired),
        Just(Standing::Processing),
        (0..=AMOUNT).prop_map(Standing::Authorized),
        Just(Standing::Authorized(AMOUNT)),
        (0..=AMOUNT, 0..=AMOUNT).prop_map(|(captured, refunded)| Standing::Captured { captured, refunded }),
        (0..=AMOUNT).prop_map(captured),
        Just(captured(AMOUNT)),
        Just(Standing::Cancelled),
        Just(Standing::Unclear),
    ]
}

/// One object's name and page, told by some messages and not by others; seconds that collide.
fn any_fact() -> impl Strategy<Value = PaymentEvent> {
    let sighting = (any_standing(), 0_i64..3, any::<bool>(), any::<bool>()).prop_map(
        |(standing, second, names_intent, names_session)| {
            PaymentEvent::Seen(Sighting {
                standing,
                at: NOW + Duration::seconds(second),
                intent: names_intent.then(|| "pi_1".to_owned().try_into().unwrap()),
                session: names_session.then(|| "cs_1".to_owned().try_into().unwrap()),
            })
        },
    );
    prop_oneof![9 => sighting, 1 => Just(PaymentEvent::Refused)]
}

fn says_cancelled(fact: &PaymentEvent) -> bool {
    matches!(fact, PaymentEvent::Seen(sighting) if sighting.standing == Standing::Cancelled)
}

fn says_captured(fact: &PaymentEvent) -> bool {
    matches!(fact, PaymentEvent::Seen(Sighting { standing: Standing::Captured { .. }, .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Covers: I11, I22, I30, fault 32, fault 33, D-11, O-1, O-2, O-5.
    #[test]
    fn facts_converge_in_any_order_with_any_repetition(
        facts in prop::collection::vec(any_fact(), 1..7),
        repeated in prop::collection::vec(any::<Index>(), 0..5),
        ending in any::<bool>(),
        wish in any::<bool>(),
        (once, twice) in (any::<u64>(), any::<u64>()),
    ) {
        // One intent is never both cancelled and paid. Where it matters (a wish to cancel: whichever came first
        // decides, the other is a break) the facts keep to that.
        let both = facts.iter().any(says_cancelled) && facts.iter().any(says_captured);
        let refused = facts.contains(&PaymentEvent::Refused);
        let wish = wish && !both && !refused;
        // A creation that was refused has nothing to end; should it exist after all, the end is asked for anew.
        let ending = ending && !refused;
        let payment = if ending { stepped(&born(), PaymentEvent::EndRequested) } else { born() };
        let wished = OrderEvent::CancellationRequested(CancelReason::Fraudulent);
        let order = if wish { moved(&order(), wished) } else { order() };

        let told = |facts: Vec<PaymentEvent>| {
            outcome(facts.iter().fold((payment.clone(), order.clone()), learn))
        };
        let mut again = facts.clone();
        again.extend(repeated.iter().map(|index| index.get(&facts).clone()));
        let (one, other) = (told(shuffled(facts, once)), told(shuffled(again, twice)));
        prop_assert_eq!(one, other);
    }
}

/// Fisher and Yates, by a seed.
fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed | 1;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (last + 1);
        items.swap(last, other);
    }
    items
}
