//! Money that is reserved first: taking it, releasing it, and losing it.

use paywright_domain::{usecase::*, *};
use paywright_testkit::{Fault, IntentStatus, builders::usd};
use time::Duration;

use crate::{
    fate::Blow,
    support::{Shop, after},
};

/// Covers: I17, I30, T-10, R-6.
#[tokio::test]
async fn a_hold_is_taken_once_and_pays_the_order() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    assert_eq!((order.state, order.paid_by), (OrderState::Authorized, Some(payment.id)));
    assert_eq!((payment.capturable, payment.capture_before), (usd(3998), Some(after(Duration::WEEK))));
    let operation = shop.operation();
    for _ in 0..2 {
        let taken = shop.holds().capture(operation, Actor::System, payment.id, None).await.unwrap();
        assert_eq!(
            (taken.state, taken.captured, taken.capturable),
            (PaymentState::Captured, usd(3998), usd(0))
        );
    }
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    let calls = shop.calls("capture");
    assert!(matches!(calls[..], [GatewayCall { operation: Operation::Capture { amount: 3998, .. }, .. }]));
    let error = shop.capture(payment.id, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "there is nothing left to take");
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers: fault 150, C-5, R-1, M-3, I9.
#[tokio::test]
async fn a_part_is_taken_the_rest_is_released_and_only_the_part_can_be_given_back() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let taken = shop.capture(payment.id, Some(1000)).await.unwrap();
    assert_eq!((taken.captured, taken.capturable, taken.refundable()), (usd(1000), usd(0), usd(1000)));
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert!(shop.breaks().is_empty(), "the merchant chose it");
    let second = shop.capture(payment.id, Some(1)).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Conflict, "the rest was released");
    let error = shop.refund(payment.id, Some(1001)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    shop.refund(payment.id, None).await.unwrap();
    shop.settle(Duration::days(2)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert_eq!((shop.balance(Account::Sales, "usd"), shop.balance(Account::Clearing, "usd")), (-1000, 0));
    shop.assert_sound();
}

/// Covers: fault 152, fault 108, I32.
#[tokio::test]
async fn more_than_is_reserved_or_nothing_is_refused_without_asking_the_gateway() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let asked = shop.gateway.arrived().len();
    for amount in [0, 3999, i64::MAX.unsigned_abs(), u64::MAX] {
        let error = shop.capture(payment.id, Some(amount)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{amount}");
        let advance = Advance::StartFulfillment { amount: Some(amount) };
        let error = shop.advance_as(shop.operation(), order.id, advance).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{amount}");
    }
    let live = SettleHold::new(shop.ports.clone(), Policy { mode: Mode::Live, ..shop.policy.clone() });
    let error = live.void(shop.operation(), Actor::System, payment.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "another mode's payments do not exist here");
    assert_eq!((shop.order(order.id), shop.payment(order.id)), (order, payment));
    assert_eq!(shop.gateway.arrived().len(), asked);
}

/// Covers: C-3, I17, I30, fault 101.
#[tokio::test]
async fn a_released_hold_lets_the_order_be_paid_again() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let operation = shop.operation();
    for _ in 0..2 {
        let released = shop.holds().void(operation, Actor::System, payment.id).await.unwrap();
        assert_eq!(released.state, PaymentState::Cancelled);
    }
    assert_eq!((shop.order(order.id).state, shop.order(order.id).paid_by), (OrderState::Pending, None));
    assert_eq!(shop.calls("cancel_intent").len(), 1);
    let error = shop.fulfil(order.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "nothing is reserved any more");
    let (_, paid) = shop.paid_order().await;
    assert_eq!(shop.void(paid.id).await.unwrap_err().kind(), ErrorKind::Conflict, "taken money is refunded");

    let again = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    shop.hear(shop.gateway.pay_intent(&shop.intent(&again).id)).await;
    shop.capture(again.id, None).await.unwrap();
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    shop.assert_sound();
}

/// Covers: C-3, I15, I30.
#[tokio::test]
async fn fulfilment_takes_the_money_first_and_begins_by_itself() {
    let faults =
        [None, Some(Fault::UnknownBefore), Some(Fault::UnknownAfter), Some(Fault::NotDone { after: None })];
    for fault in faults {
        let shop = Shop::new();
        let (order, payment) = shop.held_order().await;
        fault.iter().for_each(|fault| shop.gateway.fail_call(fault.clone()));
        let operation = shop.operation();
        let advance = Advance::StartFulfillment { amount: Some(3000) };
        for _ in 0..2 {
            let now = shop.advance_as(operation, order.id, advance.clone()).await.unwrap();
            let begun = now.state == OrderState::FulfillmentStarted;
            assert_eq!((begun, now.fulfillment_requested), (fault.is_none(), fault.is_some()), "{fault:?}");
        }
        shop.settle(Duration::MINUTE).await;
        assert_eq!(shop.order(order.id).state, OrderState::FulfillmentStarted, "{fault:?}");
        assert_eq!(shop.payment(order.id).captured, usd(3000));
        assert_eq!(shop.calls("capture").len(), 1, "{fault:?}");
        assert!(shop.breaks().is_empty());
        assert_eq!(shop.payment(order.id).id, payment.id);
        shop.assert_sound();
    }
}

/// A client that sends its request again at once: one of the two takes the money after the other saw the order, and
/// before it sees the payment.
///
/// Covers: C-3, I15, I30.
#[tokio::test]
async fn fulfilment_is_not_refused_for_what_the_same_operation_just_did() {
    for same in [true, false] {
        let shop = Shop::new();
        let (order, _) = shop.held_order().await;
        let (first, second) = (shop.operation(), shop.operation());
        let advance = Advance::StartFulfillment { amount: None };
        shop.fate.pause(true);
        let late = shop.advance_as(if same { first } else { second }, order.id, advance.clone());
        let mut late = Box::pin(late);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert!(late.as_mut().poll(&mut context).is_pending());
        }
        shop.fate.pause(false);
        let begun = shop.advance_as(first, order.id, advance).await.unwrap();
        assert_eq!(begun.state, OrderState::FulfillmentStarted);
        let told = shop.store.audit();
        match late.await {
            Ok(again) => assert!(same && again == begun, "{again:?}"),
            Err(error) => assert!(!same && error.kind() == ErrorKind::Conflict, "{error:?}"),
        }
        assert_eq!((shop.store.audit(), shop.calls("capture").len()), (told, 1), "nothing happened twice");
        shop.assert_sound();
    }
}

/// Covers: C-3, fault 149.
#[tokio::test]
async fn fulfilment_does_not_begin_without_the_money() {
    let shop = Shop::new();
    let (order, _) = shop.held_order().await;
    shop.gateway.fail_call(Fault::Rejected("capture_failed".to_owned()));
    let error = shop.fulfil(order.id).await.unwrap_err();
    assert!(matches!(&error, AdvanceOrderError::Refused(no) if no.code == "capture_failed"), "{error:?}");
    let now = shop.order(order.id);
    assert_eq!((now.state, now.fulfillment_requested), (OrderState::Authorized, false));
    assert!(!shop.payment(order.id).capture_requested);
    shop.fulfil(order.id).await.unwrap();
    assert_eq!(shop.order(order.id).state, OrderState::FulfillmentStarted, "another try under another key");
    let keys: Vec<_> = shop.calls("capture").iter().map(GatewayCall::key).collect();
    assert!(keys[0].ends_with(":1") && keys[1].ends_with(":2"), "{keys:?}");
    shop.assert_sound();
}

/// Covers: C-3, fault 149, fault 151.
#[tokio::test]
async fn a_hold_that_is_gone_at_the_gateway_is_found_gone_by_whoever_wants_its_money() {
    for fulfils in [false, true] {
        let shop = Shop::new();
        let (order, payment) = shop.held_order().await;
        drop(shop.gateway.expire_hold(&shop.intent(&payment).id));
        if fulfils {
            assert_eq!(shop.fulfil(order.id).await.unwrap_err().kind(), ErrorKind::Refused);
        } else {
            assert_eq!(shop.capture(payment.id, None).await.unwrap_err().kind(), ErrorKind::Refused);
        }
        let now = shop.order(order.id);
        assert_eq!((now.state, now.paid_by, now.fulfillment_requested), (OrderState::Pending, None, false));
        assert_eq!(shop.payment(order.id).state, PaymentState::Cancelled);
        shop.settle(Duration::days(3)).await;
        assert_eq!(shop.order(order.id).state, OrderState::Cancelled, "nobody paid it again");
        shop.assert_sound();
    }
}

/// Covers: fault 151, M-3, I1, fault 34.
#[tokio::test]
async fn what_the_dashboard_did_with_the_hold_wins() {
    // Released there, taken here.
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    shop.hear(shop.gateway.dashboard_cancel(&shop.intent(&payment).id)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Pending);
    shop.assert_sound();

    // Taken there, released here.
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let told = shop.gateway.dashboard_capture(&shop.intent(&payment).id, 3998);
    assert_eq!(shop.void(payment.id).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    shop.hear(told).await;
    assert!(shop.breaks().is_empty(), "as much as was asked for");
    shop.assert_sound();

    // Another part there than here.
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let told = shop.gateway.dashboard_capture(&shop.intent(&payment).id, 1500);
    assert_eq!(shop.capture(payment.id, Some(3000)).await.unwrap_err().kind(), ErrorKind::Refused);
    shop.hear(told).await;
    assert_eq!(shop.payment(order.id).captured, usd(1500), "the gateway's amount is the truth");
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(shop.breaks(), [BreakKind::AmountMismatch], "and a person should know");
    shop.assert_sound();
}

/// Covers: C-3, fault 149, I13.
#[tokio::test]
async fn a_hold_that_runs_out_is_told_of_and_decided_about_before_it_does() {
    for (policy, payment_ends, order_ends) in [
        (ExpiringHold::Void, PaymentState::Cancelled, OrderState::Pending),
        (ExpiringHold::Capture, PaymentState::Captured, OrderState::Paid),
    ] {
        let mut shop = Shop::new();
        shop.policy.expiring_hold = policy;
        let (order, payment) = shop.held_order().await;
        shop.settle(Duration::days(6) - Duration::MINUTE).await;
        assert!(!shop.payment(order.id).hold_told, "not yet");
        shop.settle(Duration::MINUTE).await;
        assert!(shop.payment(order.id).hold_told, "a day before");
        shop.settle(Duration::hours(22) - Duration::MINUTE).await;
        assert_eq!(shop.payment(order.id).state, PaymentState::Authorized);
        shop.settle(Duration::MINUTE).await;
        assert!(shop.clock_now() < payment.capture_before.unwrap());
        assert_eq!(shop.payment(order.id).state, payment_ends, "{policy:?}");
        assert_eq!(shop.order(order.id).state, order_ends, "{policy:?}");
        let told = shop.store.audit().into_iter().filter(|row| row.entry.event == "hold_expiring").count();
        assert_eq!(told, 1, "told once");
        shop.assert_sound();
    }
}

/// Covers: C-3, fault 149, fault 34, fault 29, I13.
#[tokio::test]
async fn a_hold_that_ran_out_while_nobody_could_ask_is_found_lost() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    shop.clock.set(payment.capture_before.unwrap() + Duration::HOUR);
    shop.gateway.fail_look(Fault::UnknownBefore);
    let wrong = shop.settle(Duration::MINUTE).await;
    assert!(wrong.is_empty(), "a hold is decided about although nobody could look: {wrong:?}");
    assert_eq!(
        (shop.payment(order.id).state, shop.intent(&payment).status),
        (PaymentState::Cancelled, IntentStatus::Cancelled)
    );
    assert_eq!(shop.order(order.id).state, OrderState::Pending, "it has a second chance");
    shop.settle(Duration::days(2)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
    shop.assert_sound();
}

/// Covers: I16, I27, fault 151.
#[tokio::test]
async fn a_hold_that_is_being_taken_is_not_released_at_the_same_time() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    shop.gateway.fail_call(Fault::UnknownBefore);
    assert!(shop.capture(payment.id, None).await.unwrap().capture_requested);
    assert_eq!(shop.capture(payment.id, Some(1)).await.unwrap_err().kind(), ErrorKind::Conflict);
    let again = shop.capture(payment.id, None).await.unwrap();
    assert_eq!((again.capture_asked, again.capture_generation), (Some(usd(3998)), 1), "one amount at a time");
    shop.fate.next_commits([Blow::FailBefore]);
    assert_eq!(shop.void(payment.id).await.unwrap_err().kind(), ErrorKind::Unavailable);
    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    shop.assert_sound();
}
