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
    let (channel, capture) = (Channel::PaymentIntent, CaptureMethod::Automatic);
    Payment::start(id, order, Mode::Test, channel, capture, amount, NOW).after().clone()
}

fn seen_at(standing: Standing, second: i64) -> PaymentEvent {
    PaymentEvent::Seen(Sighting {
        standing,
        at: NOW + Duration::seconds(second),
        intent: None,
        session: None,
        capture_before: None,
        settlement: None,
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
        // What was given up does not come to life again.
        (Failed, _) | (_, Failed) => Failed,
        (Authorized, _) | (_, Authorized) => Authorized,
        (from, seen) if open(from) && open(seen) && newer => seen,
        // Of one second: the one that is further on.
        (from, seen) if open(from) && open(seen) => {
            let rank = |state| [Pending, RequiresAction, Processing].iter().position(|it| *it == state);
            if rank(from) > rank(seen) { from } else { seen }
        }
        (Created, seen) => seen,
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
                    Some(seen) if second < 0 && [from, seen].iter().all(|state| state.phase() == 1) => from,
                    Some(seen) => expected(from, seen, newer),
                };
                assert_eq!(after.state, expected, "{from} + {standing} at {second:+}");
                let again = after.apply(seen_at(standing.clone(), second));
                assert_eq!(again, Ok(Applied::AlreadyTrue), "{from} + {standing} twice at {second:+}");
            }
        }
    }
}

/// What was given up as never created can be ended too, once it comes to light.
///
/// Covers: I12, T-1, fault 15.
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

        let can_end = state.is_live() || state == PaymentState::Failed;
        let ending = stepped(&payment, PaymentEvent::EndRequested);
        assert_eq!(ending.state, state, "asking for the end is not the end");
        assert_eq!((ending.end_requested, ending.end_generation), (can_end, u32::from(can_end)));
        assert_eq!(ending.apply(PaymentEvent::EndRequested), Ok(Applied::AlreadyTrue), "{state}: asked once");
        assert_eq!(payment.apply(PaymentEvent::EndRefused), Ok(Applied::AlreadyTrue), "{state}: never asked");

        let going_on = stepped(&ending, PaymentEvent::EndRefused);
        assert!(!going_on.end_requested, "{state}");
        let asked_again = stepped(&going_on, PaymentEvent::EndRequested);
        assert_eq!(asked_again.end_generation, 2 * u32::from(can_end), "{state}: another key");
    }
}

/// Covers: fault 149, fault 150, fault 152, fault 153, I12.
#[test]
fn only_what_is_reserved_can_be_taken_and_it_is_asked_for_once() {
    let of = |minor, currency: &str| Money::from_minor(minor, currency.parse().unwrap()).unwrap();
    let ask = |minor| PaymentEvent::CaptureRequested(of(minor, "usd"));
    for state in PaymentState::iter() {
        let payment = payment_in(state);
        match state {
            PaymentState::Authorized => {}
            PaymentState::Captured => assert_eq!(payment.apply(ask(1)), Ok(Applied::AlreadyTrue)),
            PaymentState::Created
            | PaymentState::Pending
            | PaymentState::RequiresAction
            | PaymentState::Processing
            | PaymentState::Failed
            | PaymentState::Cancelled => {
                assert!(payment.apply(ask(1)).is_err(), "{state}: nothing is reserved")
            }
        }
        if state != PaymentState::Authorized {
            for late in [PaymentEvent::CaptureRefused, PaymentEvent::HoldExpiring] {
                assert_eq!(payment.apply(late), Ok(Applied::AlreadyTrue), "{state}");
            }
        }
    }
    let held = payment_in(PaymentState::Authorized);
    for wrong in [of(0, "usd"), of(AMOUNT + 1, "usd"), of(i64::MAX.unsigned_abs(), "usd"), of(1, "eur")] {
        assert!(held.apply(PaymentEvent::CaptureRequested(wrong)).is_err(), "{wrong}");
    }
    let asked = stepped(&held, ask(AMOUNT - 1));
    assert_eq!((asked.capture_asked, asked.capture_generation), (Some(of(AMOUNT - 1, "usd")), 1));
    assert_eq!(asked.apply(ask(AMOUNT - 1)), Ok(Applied::AlreadyTrue), "asked once");
    assert!(asked.apply(ask(AMOUNT)).is_err(), "one amount at a time");
    let refused = stepped(&asked, PaymentEvent::CaptureRefused);
    assert_eq!((refused.capture_asked, refused.capture_requested), (None, false));
    assert_eq!(stepped(&refused, ask(AMOUNT)).capture_generation, 2, "another key");
    let told = stepped(&held, PaymentEvent::HoldExpiring);
    assert_eq!(told.apply(PaymentEvent::HoldExpiring), Ok(Applied::AlreadyTrue), "told once");
    let part = stepped(&asked, seen(Standing::Captured { captured: AMOUNT - 1, refunded: 0 }));
    assert_eq!((part.captured.minor(), part.capturable.minor()), (AMOUNT - 1, 0), "the rest is released");
    assert_eq!(part.refundable(), part.captured, "what was taken can be given back");
    assert!(!part.capture_requested);
}

/// Covers: I3, R-1, fault 153, fault 160.
#[test]
fn totals_of_refunds_that_cannot_be_are_refused() {
    let of = |refunded, returned| PaymentEvent::RefundsChanged { refunded, returned };
    let eur = Money::from_minor(1, "eur".parse().unwrap()).unwrap();
    let most = money(i64::MAX.unsigned_abs());
    for state in PaymentState::iter() {
        let payment = payment_in(state);
        let taken = state == PaymentState::Captured;
        for (event, possible) in [
            (PaymentEvent::Unwanted, true),
            (of(money(AMOUNT), money(AMOUNT)), true),
            (of(money(1), money(0)), true),
            (of(money(1), money(2)), false),
            (of(money(AMOUNT + 1), money(0)), false),
            (of(most, money(0)), false),
            (of(eur, eur), false),
            (of(eur, money(0)), false),
        ] {
            assert_eq!(payment.apply(event.clone()).is_ok(), taken && possible, "{state}: {event:?}");
        }
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
        PaymentEvent::CaptureRequested(money(AMOUNT)),
        PaymentEvent::CaptureRequested(money(400)),
        PaymentEvent::CaptureRefused,
        PaymentEvent::HoldExpiring,
        PaymentEvent::Unwanted,
        PaymentEvent::RefundsChanged { refunded: money(400), returned: money(0) },
        PaymentEvent::RefundsChanged { refunded: money(AMOUNT), returned: money(400) },
        PaymentEvent::RefundsChanged { refunded: money(0), returned: money(400) },
        PaymentEvent::DisputesChanged { disputed: money(2 * AMOUNT), blocking: 1 },
        PaymentEvent::DisputesChanged { disputed: money(0), blocking: 0 },
    ]);
    events
}

fn money(minor: u64) -> Money {
    Money::from_minor(minor, usd()).unwrap()
}

fn assert_sound(before: &Payment, event: &PaymentEvent, after: &Payment) {
    let step = format!("{} --{event}--> {}", before.state, after.state);
    assert_eq!(after.version.number(), before.version.number() + 1, "{step}");
    assert_eq!((after.id, after.order, after.amount), (before.id, before.order, before.amount), "{step}");
    assert!(after.captured.minor() >= before.captured.minor(), "{step}: money taken stays taken");
    assert!(after.refunded.minor() <= after.captured.minor(), "{step}: no more back than taken");
    assert!(after.returned.minor() <= after.refunded.minor(), "{step}: no more sent than reserved");
    assert!(
        after.refundable().minor() <= after.captured.minor(),
        "{step}: no more can go back than was taken"
    );
    assert!(after.capture_generation >= before.capture_generation, "{step}: a key is never used again");
    assert!(!after.capture_requested || after.state == PaymentState::Authorized, "{step}: nothing to take");
    assert!(!before.unwanted || after.unwanted, "{step}: given back once");
    assert!(after.state.phase() >= before.state.phase(), "{step}: never back to an earlier phase");
    assert!(before.intent.is_none() || after.intent == before.intent, "{step}: a name stays");
    assert!(before.session.is_none() || after.session == before.session, "{step}: a name stays");
    assert!(after.end_generation >= before.end_generation, "{step}: a key is never used again");
    let can_end = after.state.is_live() || after.state == PaymentState::Failed;
    assert!(can_end || !after.end_requested, "{step}: nothing is left to end");
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
        assert_eq!(looks(state, Standing::Unclear, 0), state != PaymentState::Cancelled, "{state}");
        assert!(!looks(state, captured(0), 0), "{state}: money speaks for itself");
        assert!(!looks(state, Standing::Cancelled, 0), "{state}");
    }
    let PaymentEvent::Seen(charge) = seen(Standing::Unclear) else { unreachable!("it is a sighting") };
    let page = Sighting { session: Some("cs_1".to_owned().try_into().unwrap()), ..charge };
    assert!(!payment_in(PaymentState::Captured).needs_look(&page), "a finished page tells nothing new");
    assert!(payment_in(PaymentState::Processing).needs_look(&page));
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
        capture: CaptureMethod::Automatic,
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

/// One object's name, page, hold and settlement, told by some messages and not by others; seconds that collide.
fn any_fact() -> impl Strategy<Value = PaymentEvent> {
    let tells = any::<[bool; 4]>();
    (any_standing(), 0_i64..3, tells).prop_map(|(standing, second, [intent, session, hold, settled])| {
        // Only of what was taken there is a settlement.
        let settled = settled && matches!(standing, Standing::Captured { .. });
        PaymentEvent::Seen(Sighting {
            standing,
            at: NOW + Duration::seconds(second),
            intent: intent.then(|| "pi_1".to_owned().try_into().unwrap()),
            session: session.then(|| "cs_1".to_owned().try_into().unwrap()),
            capture_before: hold.then_some(NOW + Duration::WEEK),
            settlement: settled.then(|| BalanceTransaction {
                id: "txn_1".to_owned().try_into().unwrap(),
                amount: 1000,
                fee: 59,
                currency: usd(),
                at: NOW,
            }),
        })
    })
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
        decided in 0_u8..4,
        (once, twice) in (any::<u64>(), any::<u64>()),
    ) {
        // One intent is never both cancelled and paid. Where it matters (a wish to cancel: whichever came first
        // decides, the other is a break) the facts keep to that.
        let both = facts.iter().any(says_cancelled) && facts.iter().any(says_captured);
        let wished = OrderEvent::CancellationRequested(CancelReason::Fraudulent);
        let (payment, order) = match decided {
            // It was asked to end; or given up as never created, and does not come to life again.
            1 => (stepped(&born(), PaymentEvent::EndRequested), order()),
            2 => (stepped(&born(), PaymentEvent::Refused), order()),
            3 if !both => (born(), moved(&order(), wished)),
            _ => (born(), order()),
        };

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
