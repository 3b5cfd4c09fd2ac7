use proptest::prelude::*;
use strum::IntoEnumIterator;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::{Channel, PaymentEvent, ProductId, Sighting, Standing};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const TOTAL: u64 = 2000;

fn usd(minor: u64) -> Money {
    Money::from_minor(minor, "usd".parse().unwrap()).unwrap()
}

fn payment_id(number: u128) -> PaymentId {
    PaymentId::from_uuid(Uuid::from_u128(number))
}

fn item(unit_price: Money, quantity: u32) -> OrderItem {
    OrderItem { product: ProductId::from_uuid(Uuid::nil()), name: "A hat".to_owned(), unit_price, quantity }
}

fn draft(items: Vec<OrderItem>) -> Draft {
    Draft {
        id: OrderId::from_uuid(Uuid::nil()),
        mode: Mode::Test,
        customer: None,
        customer_email: None,
        currency: "usd".parse().unwrap(),
        items,
        capture: CaptureMethod::Automatic,
        metadata: Metadata::new(),
        token: "token".to_owned(),
        created_at: NOW,
        expires_at: NOW + time::Duration::DAY,
    }
}

fn placed() -> Order {
    Order::place(draft(vec![item(usd(1000), 2)])).unwrap().after().clone()
}

fn stepped(order: &Order, event: OrderEvent) -> Order {
    match order.apply(event).unwrap() {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => order.clone(),
    }
}

/// An order in a state, on the shortest way there; its money comes by payment 1.
fn order_in(state: OrderState) -> Order {
    use OrderEvent as E;
    let (ours, captured) = (payment_id(1), E::Captured(payment_id(1)));
    let way = match state {
        OrderState::Pending => vec![],
        OrderState::PaymentProcessing => vec![E::PaymentStarted],
        OrderState::Authorized => vec![E::Authorized(ours)],
        OrderState::Paid => vec![captured],
        OrderState::FulfillmentStarted => vec![captured, E::FulfillmentStarted],
        OrderState::Shipped => vec![captured, E::FulfillmentStarted, E::Shipped(Shipment::default())],
        OrderState::Completed => vec![captured, E::FulfillmentStarted, E::Completed],
        OrderState::Cancelled => vec![E::Cancelled(CancelReason::Expired)],
        OrderState::Refunded => vec![captured, E::FullyRefunded],
    };
    let order = way.into_iter().fold(placed(), |order, event| stepped(&order, event));
    assert_eq!(order.state, state);
    order
}

/// Every event, with the payment that the order knows and with one that it does not.
fn events() -> Vec<OrderEvent> {
    let mut events = OrderEvent::one_of_each().to_vec();
    events.retain(|event| !matches!(event, OrderEvent::Authorized(_) | OrderEvent::Captured(_)));
    for payment in [payment_id(1), payment_id(2)] {
        events.extend([OrderEvent::Authorized(payment), OrderEvent::Captured(payment)]);
    }
    events
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    To(OrderState),
    Already,
    Refused,
}

/// DESIGN section 3, written down a second time, without looking at the code.
fn expected(state: OrderState, cancelling: bool, event: &OrderEvent) -> Verdict {
    use {OrderState::*, Verdict::*};
    let open = [Pending, PaymentProcessing, Authorized].contains(&state);
    let bought = [Paid, FulfillmentStarted, Shipped, Completed].contains(&state);
    let ours = |payment: &PaymentId| *payment == payment_id(1);
    match event {
        OrderEvent::Placed => Refused,
        OrderEvent::PaymentStarted if [Pending, PaymentProcessing].contains(&state) && !cancelling => {
            To(PaymentProcessing)
        }
        OrderEvent::PaymentStarted => Refused,
        OrderEvent::Authorized(_) if [Pending, PaymentProcessing].contains(&state) => To(Authorized),
        OrderEvent::Authorized(payment) if (bought || state == Authorized) && ours(payment) => Already,
        OrderEvent::Authorized(_) => Refused,
        OrderEvent::Captured(_) if open => To(Paid),
        OrderEvent::Captured(payment) if bought && ours(payment) => Already,
        OrderEvent::Captured(_) => Refused,
        OrderEvent::AuthorizationLost if state == Authorized => To(Pending),
        OrderEvent::AuthorizationLost => Refused,
        OrderEvent::FulfillmentRequested if state == Authorized && !cancelling => To(Authorized),
        OrderEvent::FulfillmentRequested => Refused,
        OrderEvent::FulfillmentRefused if state == Authorized => Already,
        OrderEvent::FulfillmentRefused => Refused,
        OrderEvent::FulfillmentStarted if state == Paid => To(FulfillmentStarted),
        OrderEvent::FulfillmentStarted => Refused,
        OrderEvent::Shipped(_) if state == FulfillmentStarted => To(Shipped),
        OrderEvent::Shipped(_) => Refused,
        OrderEvent::Completed if [FulfillmentStarted, Shipped].contains(&state) => To(Completed),
        OrderEvent::Completed => Refused,
        OrderEvent::CancellationRequested(_) if open && !cancelling => To(state),
        OrderEvent::CancellationRequested(_) if open || state == Cancelled => Already,
        OrderEvent::CancellationRequested(_) => Refused,
        OrderEvent::CancellationRefused if open && cancelling => To(state),
        OrderEvent::CancellationRefused if open => Already,
        OrderEvent::CancellationRefused => Refused,
        OrderEvent::Cancelled(_) if open || [Paid, FulfillmentStarted].contains(&state) => To(Cancelled),
        OrderEvent::Cancelled(_) if state == Cancelled => Already,
        OrderEvent::Cancelled(_) => Refused,
        OrderEvent::FullyRefunded if bought || state == Cancelled => To(Refunded),
        OrderEvent::FullyRefunded if state == Refunded => Already,
        OrderEvent::FullyRefunded => Refused,
    }
}

fn verdict(order: &Order, event: &OrderEvent) -> Verdict {
    match order.apply(event.clone()) {
        Ok(Applied::Moved(step)) => Verdict::To(step.after().state),
        Ok(Applied::AlreadyTrue) => Verdict::Already,
        Err(_) => Verdict::Refused,
    }
}

/// Covers: I12.
#[test]
fn every_state_answers_every_event_as_designed() {
    for state in OrderState::iter() {
        let order = order_in(state);
        let mut variants = vec![(false, order.clone())];
        if state.is_unpaid() {
            let wish = OrderEvent::CancellationRequested(CancelReason::Duplicate);
            variants.push((true, stepped(&order, wish)));
        }
        for (cancelling, order) in variants {
            for event in events() {
                let expected = expected(state, cancelling, &event);
                assert_eq!(verdict(&order, &event), expected, "{state}, cancelling {cancelling}: {event:?}");
            }
        }
    }
}

/// Covers: I12, fault 151.
#[test]
fn fulfilment_that_waits_for_its_money_is_asked_for_once_and_ends_with_an_answer() {
    let waiting = stepped(&order_in(OrderState::Authorized), OrderEvent::FulfillmentRequested);
    assert!(waiting.fulfillment_requested);
    assert_eq!(waiting.apply(OrderEvent::FulfillmentRequested), Ok(Applied::AlreadyTrue), "asked once");
    let refused = stepped(&waiting, OrderEvent::FulfillmentRefused);
    assert_eq!((refused.state, refused.fulfillment_requested), (OrderState::Authorized, false));
    let lost = stepped(&waiting, OrderEvent::AuthorizationLost);
    assert_eq!((lost.state, lost.fulfillment_requested), (OrderState::Pending, false));
    let (begun, broken) = caught_up(&waiting, &captured(1));
    assert_eq!((begun.state, begun.fulfillment_requested), (OrderState::FulfillmentStarted, false));
    assert_eq!(broken, None, "it begins by itself once the money was taken");
    let wish = OrderEvent::CancellationRequested(CancelReason::RequestedByCustomer);
    let cancelling = stepped(&order_in(OrderState::Authorized), wish.clone());
    assert!(cancelling.apply(OrderEvent::FulfillmentRequested).is_err(), "it shall be cancelled");
    let (paid, _) = caught_up(&stepped(&waiting, wish), &captured(1));
    assert_eq!(
        (paid.state, paid.cancellation),
        (OrderState::FulfillmentStarted, None),
        "the money came first"
    );
}

#[test]
fn a_refusal_names_the_order_its_state_the_event_and_what_would_be_possible() {
    let error = order_in(OrderState::Paid).apply(OrderEvent::Completed).unwrap_err();
    assert_eq!((error.from, error.event), ("paid", "completed"));
    assert_eq!(error.allowed, ["fulfillment_started", "cancelled", "fully_refunded"]);
    assert!(error.id.starts_with("ord_"));
}

/// Covers: I12, I16, O-1, O-4, C-2.
#[test]
fn every_sequence_of_five_events_keeps_the_invariants() {
    fn explore(before: &Order, depth: u32, seen: &mut u32) {
        for event in if depth == 0 { vec![] } else { events() } {
            let Ok(Applied::Moved(step)) = before.apply(event) else { continue };
            *seen += 1;
            check(before, step.event(), step.after());
            explore(step.after(), depth - 1, seen);
        }
    }
    fn check(before: &Order, event: &OrderEvent, after: &Order) {
        let step = format!("{} --{event}--> {}", before.state, after.state);
        assert_eq!(after.version.number(), before.version.number() + 1, "{step}");
        assert_eq!(
            (after.id, after.total, &after.items, &after.token, after.expires_at),
            (before.id, before.total, &before.items, &before.token, before.expires_at),
            "{step}: what was bought is frozen"
        );
        assert!(before.state.is_unpaid() || !after.state.is_unpaid(), "{step}: a settled order never waits");
        if before.state == OrderState::Cancelled || before.state == OrderState::Completed {
            assert_eq!(after.state, OrderState::Refunded, "{step}: the only way out");
        }
        assert_ne!(before.state, OrderState::Refunded, "{step}: no way out");
        match after.state {
            OrderState::Pending | OrderState::PaymentProcessing => assert_eq!(after.paid_by, None, "{step}"),
            OrderState::Cancelled => {
                let bought = before.paid_by.filter(|_| !before.state.is_unpaid());
                assert_eq!(after.paid_by, bought, "{step}: what was only reserved bought nothing");
                assert!(after.cancellation.is_some(), "{step}: it says why");
            }
            OrderState::Authorized => assert!(after.paid_by.is_some(), "{step}"),
            OrderState::Paid
            | OrderState::FulfillmentStarted
            | OrderState::Shipped
            | OrderState::Completed => {
                assert!(after.paid_by.is_some(), "{step}");
                assert_eq!(after.cancellation, None, "{step}: the wish is lost when money came");
            }
            OrderState::Refunded => {}
        }
        if after.fulfillment_requested {
            let waits = [OrderState::Authorized, OrderState::Paid, OrderState::Refunded];
            assert!(waits.contains(&after.state), "{step}: nobody waits for money any more");
        }
        if before.paid_by.is_some() && !before.state.is_unpaid() {
            assert_eq!(after.paid_by, before.paid_by, "{step}: nobody else paid it");
        }
    }
    let mut seen = 0;
    explore(&placed(), 5, &mut seen);
    assert!(seen > 1_000, "only {seen} steps explored");
}

/// A payment of the order, in the state that these events lead to.
fn payment(number: u128, events: Vec<PaymentEvent>) -> Payment {
    payment_by(CaptureMethod::Automatic, number, events)
}

fn payment_by(capture: CaptureMethod, number: u128, events: Vec<PaymentEvent>) -> Payment {
    let order = placed();
    let birth = Payment::start(
        payment_id(number),
        order.id,
        order.mode,
        Channel::PaymentIntent,
        capture,
        order.total,
        order.created_at,
    );
    events.into_iter().fold(birth.after().clone(), |payment, event| match payment.apply(event).unwrap() {
        Applied::Moved(step) => step.after().clone(),
        Applied::AlreadyTrue => payment,
    })
}

fn seen(standing: Standing) -> PaymentEvent {
    PaymentEvent::Seen(Sighting {
        standing,
        at: NOW,
        intent: None,
        session: None,
        capture_before: None,
        settlement: None,
    })
}

fn captured(number: u128) -> Payment {
    payment(number, vec![seen(Standing::Captured { captured: TOTAL, refunded: 0 })])
}

/// Lets the order follow until it has caught up; says which breaks were met.
fn caught_up(order: &Order, payment: &Payment) -> (Order, Option<BreakKind>) {
    let mut order = order.clone();
    for _ in 0..3 {
        match order.follow(payment).unwrap() {
            Followed::Step(step) => order = step.after().clone(),
            Followed::Unmoved => return (order, None),
            Followed::Break(kind) => return (order, Some(kind)),
        }
    }
    panic!("{} never comes to rest", order.state)
}

/// Covers: O-1, D-5.
#[test]
fn a_paid_order_is_not_reopened_by_a_late_decline_or_failure() {
    use OrderState::*;
    for state in [Paid, FulfillmentStarted, Shipped, Completed, Refunded] {
        let order = order_in(state);
        for number in [1, 2] {
            for late in [
                vec![],
                vec![PaymentEvent::Refused],
                vec![seen(Standing::AwaitingMethod)],
                vec![seen(Standing::ActionRequired)],
                vec![seen(Standing::Processing)],
                vec![seen(Standing::Authorized(TOTAL))],
                vec![seen(Standing::Cancelled)],
            ] {
                assert_eq!(order.follow(&payment(number, late)), Ok(Followed::Unmoved), "{state}");
            }
        }
    }
}

/// Covers: O-4, fault 62, fault 155, I2.
#[test]
fn cancelled_and_refunded_orders_take_no_money_and_say_so() {
    for state in [OrderState::Cancelled, OrderState::Refunded] {
        let order = order_in(state);
        assert_eq!(order.follow(&captured(2)), Ok(Followed::Break(BreakKind::LateMoney)), "{state}");
    }
    let released =
        stepped(&order_in(OrderState::Authorized), OrderEvent::Cancelled(CancelReason::RequestedByCustomer));
    assert_eq!(
        released.follow(&captured(1)),
        Ok(Followed::Break(BreakKind::LateMoney)),
        "a released hold that is captured after all is late, too"
    );
    for bought in [OrderState::Paid, OrderState::FulfillmentStarted] {
        let given_up = stepped(&order_in(bought), OrderEvent::Cancelled(CancelReason::FulfillmentFailed));
        assert_eq!(
            given_up.follow(&captured(1)),
            Ok(Followed::Unmoved),
            "{bought}: its own money is expected"
        );
        assert_eq!(given_up.follow(&captured(2)), Ok(Followed::Break(BreakKind::LateMoney)), "{bought}");
    }
}

/// Covers: I2, D-10, fault 102.
#[test]
fn the_money_of_a_second_payment_is_surplus() {
    use OrderState::*;
    for state in [Paid, FulfillmentStarted, Shipped, Completed] {
        let order = order_in(state);
        assert_eq!(order.follow(&captured(2)), Ok(Followed::Break(BreakKind::SurplusPayment)), "{state}");
        assert_eq!(order.follow(&captured(1)), Ok(Followed::Unmoved), "{state}: its own is not");
    }
}

/// Covers: C-2, C-1.
#[test]
fn the_wish_to_cancel_is_lost_when_money_came() {
    for state in [OrderState::Pending, OrderState::PaymentProcessing, OrderState::Authorized] {
        let wish = OrderEvent::CancellationRequested(CancelReason::RequestedByCustomer);
        let (order, broken) = caught_up(&stepped(&order_in(state), wish), &captured(1));
        assert_eq!((order.state, order.cancellation, broken), (OrderState::Paid, None, None), "{state}");
    }
}

/// Covers: C-3, O-7.
#[test]
fn an_ended_payment_cancels_an_order_that_shall_be_cancelled_and_no_other() {
    let wish = OrderEvent::CancellationRequested(CancelReason::Fraudulent);
    for end in [PaymentEvent::Refused, seen(Standing::Cancelled)] {
        let ended = payment(1, vec![end]);
        let started = order_in(OrderState::PaymentProcessing);
        assert_eq!(started.follow(&ended), Ok(Followed::Unmoved), "the customer may try again");
        let (order, _) = caught_up(&stepped(&started, wish.clone()), &ended);
        assert_eq!(order.state, OrderState::Cancelled);
        assert_eq!(order.cancellation, Some(CancelReason::Fraudulent), "for the reason of the wish");
    }
    let lost = payment(1, vec![seen(Standing::Authorized(TOTAL)), seen(Standing::Cancelled)]);
    let held = order_in(OrderState::Authorized);
    let (order, _) = caught_up(&held, &lost);
    assert_eq!((order.state, order.paid_by), (OrderState::Pending, None), "a lost hold can be paid again");
    let (order, _) = caught_up(&held, &payment(2, vec![seen(Standing::Cancelled)]));
    assert_eq!(order, held, "another payment's end is not the hold's");
}

/// Covers: M-1, M-3, I4.
#[test]
fn less_than_the_total_neither_pays_nor_authorizes() {
    for state in [OrderState::Pending, OrderState::PaymentProcessing] {
        let order = order_in(state);
        for short in [
            Standing::Authorized(TOTAL - 1),
            Standing::Captured { captured: TOTAL - 1, refunded: 0 },
            Standing::Captured { captured: 0, refunded: 0 },
        ] {
            let short = payment(1, vec![seen(short)]);
            assert_eq!(caught_up(&order, &short), (order.clone(), Some(BreakKind::AmountMismatch)));
        }
    }
}

/// Covers: fault 150, C-5, M-3.
#[test]
fn a_part_of_a_hold_pays_the_order_when_the_merchant_may_choose_to_take_less() {
    let part = vec![seen(Standing::Captured { captured: TOTAL - 1, refunded: 0 })];
    for state in [OrderState::Pending, OrderState::PaymentProcessing, OrderState::Authorized] {
        let chosen = payment_by(CaptureMethod::Manual, 1, part.clone());
        assert_eq!(caught_up(&order_in(state), &chosen).0.state, OrderState::Paid, "{state}");
        let short = caught_up(&order_in(state), &payment(1, part.clone()));
        assert_eq!(short, (order_in(state), Some(BreakKind::AmountMismatch)), "{state}: nobody chose that");
    }
}

///
#[test]
fn only_money_that_was_sent_back_in_full_refunds_an_order() {
    let refunded = |reserved, sent| {
        let totals = PaymentEvent::RefundsChanged { refunded: usd(reserved), returned: usd(sent) };
        payment(1, vec![seen(Standing::Captured { captured: TOTAL, refunded: 0 }), totals])
    };
    for state in [OrderState::Pending, OrderState::Paid, OrderState::Completed] {
        let order = order_in(state);
        for (reserved, sent) in [(TOTAL - 1, TOTAL - 1), (TOTAL, 0), (TOTAL, TOTAL - 1)] {
            let (partly, _) = caught_up(&order, &refunded(reserved, sent));
            assert!(
                [OrderState::Paid, OrderState::Completed].contains(&partly.state),
                "{state}: {sent} sent"
            );
        }
        let (fully, broken) = caught_up(&order, &refunded(TOTAL, TOTAL));
        assert_eq!((fully.state, broken), (OrderState::Refunded, None), "{state}");
    }
}

/// An order that was paid and given back, and one whose hold was lost, is the same whichever was told first; for
/// `pending` and `payment_processing` that is what the next test says.
#[test]
fn pending_and_processing_orders_answer_alike() {
    let (pending, processing) = (order_in(OrderState::Pending), order_in(OrderState::PaymentProcessing));
    for event in events() {
        match (verdict(&pending, &event), verdict(&processing, &event)) {
            (Verdict::To(OrderState::Pending), Verdict::To(OrderState::PaymentProcessing)) => {}
            (a, b) => assert_eq!(a, b, "{event:?}"),
        }
    }
}

/// Covers: fault 108, fault 109, fault 153, fault 160, I8.
#[test]
fn a_draft_that_cannot_be_sold_names_the_field() {
    let eur = Money::from_minor(1000, "eur".parse().unwrap()).unwrap();
    let cases = [
        (vec![], "items"),
        (vec![item(usd(100), 1); Order::ITEMS_MAX + 1], "items"),
        (vec![item(usd(100), 1), item(usd(100), 0)], "items[1].quantity"),
        (vec![item(usd(100), Order::QUANTITY_MAX + 1)], "items[0].quantity"),
        (vec![item(usd(100), 1), item(eur, 1)], "items[1].product"),
        (vec![item(usd(49), 1)], "items"),
        (vec![item(usd(99_999_999), 1), item(usd(1), 1)], "items"),
        (vec![item(usd(i64::MAX.unsigned_abs()), 2)], "items"),
        (vec![item(usd(i64::MAX.unsigned_abs()), 1), item(usd(i64::MAX.unsigned_abs()), 1)], "items"),
    ];
    for (items, field) in cases {
        let shown = format!("{} lines", items.len());
        assert_eq!(Order::place(draft(items)).unwrap_err().field, field, "{shown}");
    }
}

proptest! {
    /// Covers: I8.
    #[test]
    fn the_total_is_the_sum_of_the_lines(lines in prop::collection::vec((0_u64..10_000, 1_u32..100), 1..20)) {
        let exact: u64 = lines.iter().map(|(price, quantity)| price * u64::from(*quantity)).sum();
        let items = lines.iter().map(|(price, quantity)| item(usd(*price), *quantity)).collect();
        match Order::place(draft(items)) {
            Ok(placed) => prop_assert_eq!(placed.after().total, usd(exact)),
            Err(_) => prop_assert!(!(50..=99_999_999).contains(&exact)),
        }
    }
}
