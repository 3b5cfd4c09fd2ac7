//! Cancelling orders, and letting them expire: the gateway first, then we.

use paywright_domain::{usecase::*, *};
use paywright_testkit::{Fault, IntentStatus, JobState, builders};
use time::Duration;

use crate::support::{Shop, after, page};

fn is_cancelled(outcome: &Result<Cancellation, CancelOrderError>) -> bool {
    matches!(outcome, Ok(Cancellation::Cancelled(_)))
}

fn is_requested(outcome: &Result<Cancellation, CancelOrderError>) -> bool {
    matches!(outcome, Ok(Cancellation::Requested(_)))
}

/// Covers: I30, O-7.
#[tokio::test]
async fn an_order_without_a_payment_is_cancelled_at_once() {
    let shop = Shop::new();
    let order = shop.place().await;
    let operation = shop.operation();
    for _ in 0..2 {
        let outcome = shop.cancel_as(operation, order.id).await;
        assert!(is_cancelled(&outcome), "{outcome:?}");
    }
    let other = shop.cancel(order.id).await;
    assert!(is_cancelled(&other), "it is so already: {other:?}");
    let order = shop.order(order.id);
    assert_eq!((order.version.number(), order.cancellation), (2, Some(CancelReason::RequestedByCustomer)));
    assert!(shop.gateway.arrived().is_empty());
    shop.assert_sound();
}

/// Covers: C-1, I2, I17.
#[tokio::test]
async fn an_open_payment_is_ended_at_the_gateway_first() {
    for channel in [Channel::PaymentIntent, page("a")] {
        let shop = Shop::new();
        let order = shop.place().await;
        shop.start(order.id, channel).await.unwrap();
        let operation = shop.operation();
        for _ in 0..2 {
            let outcome = shop.cancel_as(operation, order.id).await;
            assert!(is_cancelled(&outcome), "{outcome:?}");
        }
        assert_eq!((shop.order(order.id).state, shop.payable()), (OrderState::Cancelled, 0));
        assert_eq!(shop.payment(order.id).state, PaymentState::Cancelled);
        assert_eq!(shop.gateway.arrived().len(), 2, "create, end");
        shop.settle(Duration::days(3)).await;
        assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
        shop.assert_sound();
    }
}

/// Covers: C-1, C-2, fault 62, I5.
#[tokio::test]
async fn an_order_that_was_just_paid_keeps_the_money_and_is_paid() {
    for channel in [Channel::PaymentIntent, page("a")] {
        let shop = Shop::new();
        let order = shop.place().await;
        let payment = shop.start(order.id, channel.clone()).await.unwrap().payment;
        let events = match channel {
            Channel::PaymentIntent => shop.gateway.pay_intent(&shop.intent(&payment).id),
            Channel::Checkout(_) => shop.gateway.pay_session(&shop.page(&payment).id),
        };
        let operation = shop.operation();
        for _ in 0..2 {
            let error = shop.cancel_as(operation, order.id).await.unwrap_err();
            assert!(matches!(error, CancelOrderError::Illegal(_)), "{error:?}");
        }
        assert_eq!((shop.order(order.id).state, shop.order(order.id).cancellation), (OrderState::Paid, None));
        shop.hear(events).await;
        shop.settle(Duration::days(3)).await;
        assert_eq!(shop.order(order.id).state, OrderState::Paid);
        assert!(shop.breaks().is_empty());
        shop.assert_sound();
    }
}

/// Covers: C-2, I24, U-6, fault 2, fault 3.
#[tokio::test]
async fn a_payment_of_which_nobody_knows_whether_it_exists_is_ended_once_that_is_known() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter] {
        let shop = Shop::new();
        let order = shop.place().await;
        shop.gateway.fail_call(fault.clone());
        shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
        let outcome = shop.cancel(order.id).await;
        assert!(is_requested(&outcome), "{outcome:?}");
        assert_eq!(shop.store.calls().len(), 1, "without a name there is nothing to end yet");
        let start = shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
        assert_eq!(start.kind(), ErrorKind::Conflict, "no new payment of an order that shall be cancelled");

        shop.settle(Duration::MINUTE).await;
        let calls = shop.store.calls();
        assert_eq!(calls.len(), 2, "the answer to the creation records the end");
        assert!(calls.iter().all(|call| call.state == CallState::Done));
        assert_eq!((shop.order(order.id).state, shop.payable()), (OrderState::Cancelled, 0), "{fault:?}");
        shop.assert_sound();
    }
}

/// Covers: C-2, O-7.
#[tokio::test]
async fn a_payment_that_was_never_created_cancels_the_order_too() {
    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(Fault::UnknownBefore);
    shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    assert!(is_requested(&shop.cancel(order.id).await));
    shop.gateway.fail_call(Fault::Rejected("amount_too_small".to_owned()));
    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.payment(order.id).state, PaymentState::Failed);
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
    shop.assert_sound();
}

/// Covers: I24, U-6, D-7, fault 1, fault 18.
#[tokio::test]
async fn a_gateway_that_does_not_answer_leaves_a_request_that_the_worker_finishes() {
    let faults =
        [Fault::UnknownBefore, Fault::UnknownAfter, Fault::NotDone { after: None }, Fault::NotAllowed];
    for fault in faults {
        let shop = Shop::new();
        let order = shop.place().await;
        shop.start(order.id, page("a")).await.unwrap();
        shop.gateway.fail_call(fault.clone());
        let operation = shop.operation();
        for _ in 0..2 {
            let outcome = shop.cancel_as(operation, order.id).await;
            assert!(is_requested(&outcome), "{fault:?}: {outcome:?}");
        }
        shop.settle(Duration::MINUTE).await;
        let keys: Vec<_> = shop.gateway.arrived().into_iter().skip(1).map(|call| call.key).collect();
        assert_eq!(keys[0], keys[1], "the same key");
        assert!(is_cancelled(&shop.cancel_as(operation, order.id).await), "{fault:?}");
        assert_eq!(shop.payable(), 0);
        shop.assert_sound();
    }
}

/// Covers: A-1, C-2.
#[tokio::test]
async fn a_payment_that_cannot_be_ended_goes_on_and_so_does_its_order() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    drop(shop.gateway.delay_intent(&intent));
    let operation = shop.operation();
    for _ in 0..2 {
        let error = shop.cancel_as(operation, order.id).await.unwrap_err();
        assert!(matches!(error, CancelOrderError::PaymentUnderWay), "also when repeated: {error:?}");
    }
    let (now, ended) = (shop.order(order.id), shop.payment(order.id));
    assert_eq!((now.state, now.cancellation), (OrderState::PaymentProcessing, None));
    assert_eq!((ended.state, ended.end_requested), (PaymentState::Processing, false));

    shop.hear(shop.gateway.pay_intent(&intent)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    shop.assert_sound();
}

/// Covers: C-2, I18.
#[tokio::test]
async fn a_second_attempt_to_cancel_uses_a_new_key() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    drop(shop.gateway.delay_intent(&intent));
    shop.cancel(order.id).await.unwrap_err();
    // The delayed method failed, so the payment waits for another one.
    shop.clock.advance(Duration::SECOND);
    shop.hear(shop.gateway.decline(&intent, "insufficient_funds")).await;
    assert!(is_cancelled(&shop.cancel(order.id).await), "now the gateway ends it");
    let keys: Vec<_> = shop.store.calls().into_iter().map(|call| call.key()).collect();
    assert!(keys[1].ends_with(":1") && keys[2].ends_with(":2"), "{keys:?}");
    shop.assert_sound();
}

#[tokio::test]
async fn an_order_that_is_settled_or_foreign_is_not_cancelled() {
    let shop = Shop::new();
    let unknown = shop.cancel(builders::new_id(shop.clock_now())).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);

    let order = shop.place().await;
    let live = Policy { mode: Mode::Live, ..shop.policy.clone() };
    let cancels = CancelOrder::new(shop.ports.clone(), live);
    let reason = CancelReason::Duplicate;
    let foreign = cancels.run(shop.operation(), Actor::Shopper, order.id, reason).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound, "another mode's orders do not exist here");

    let (order, _) = shop.paid_order().await;
    shop.fulfil(order.id).await.unwrap();
    shop.advance_as(shop.operation(), order.id, Advance::Complete).await.unwrap();
    let error = shop.cancel(order.id).await.unwrap_err();
    assert!(matches!(&error, CancelOrderError::Illegal(no) if no.from == "completed"), "{error:?}");
    assert!(shop.gateway.refunds_made().is_empty());
}

/// Covers: fault 20, O-7, C-1.
#[tokio::test]
async fn an_unpaid_order_expires_and_its_payment_ends_at_the_gateway() {
    for channel in [None, Some(Channel::PaymentIntent), Some(page("a"))] {
        let shop = Shop::new();
        let order = shop.place().await;
        if let Some(channel) = channel {
            shop.start(order.id, channel).await.unwrap();
        }
        shop.settle(Duration::DAY - Duration::MINUTE).await;
        assert!(shop.order(order.id).cancellation.is_none(), "not yet");
        shop.settle(Duration::MINUTE).await;
        let expired = shop.order(order.id);
        assert_eq!(
            (expired.state, expired.cancellation),
            (OrderState::Cancelled, Some(CancelReason::Expired))
        );
        assert_eq!(shop.payable(), 0);
        shop.assert_sound();
    }
}

/// Covers: C-1, fault 62.
#[tokio::test]
async fn an_order_that_was_paid_in_time_does_not_expire_though_no_message_came() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    drop(shop.gateway.pay_intent(&shop.intent(&payment).id));
    shop.settle(Duration::days(2)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers: A-1, U-6, I13.
#[tokio::test]
async fn an_expiry_that_the_gateway_refuses_is_tried_again() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    drop(shop.gateway.delay_intent(&intent));
    shop.settle(Duration::DAY).await;
    let refused = shop.order(order.id);
    assert_eq!((refused.state, refused.cancellation), (OrderState::PaymentProcessing, None));
    let timer = shop.store.jobs().into_iter().find(|job| job.state == JobState::Waiting).unwrap();
    assert_eq!(timer.due_at, shop.clock_now() + Duration::HOUR, "the gateway is not asked all the time");

    shop.clock.advance(Duration::SECOND);
    shop.hear(shop.gateway.decline(&intent, "insufficient_funds")).await;
    shop.settle(Duration::HOUR).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled, "the timer was set anew");
    assert_eq!(shop.payable(), 0);
    shop.assert_sound();
}

/// The timer rang while somebody's wish was under way, and then the gateway refused: it must ring again.
///
/// Covers: I13, U-6.
#[tokio::test]
async fn an_order_expires_though_its_timer_rang_during_a_cancellation_that_was_refused() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    drop(shop.gateway.delay_intent(&intent));
    shop.clock.set(order.expires_at - Duration::SECOND);
    shop.gateway.fail_call(Fault::UnknownBefore);
    assert!(is_requested(&shop.cancel(order.id).await));
    shop.settle(Duration::minutes(20)).await;
    assert_eq!(shop.order(order.id).cancellation, None, "the gateway refused");

    shop.hear(shop.gateway.decline(&intent, "insufficient_funds")).await;
    shop.settle(Duration::hours(2)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
}

/// A wish to cancel moves the timer forward, to watch over it. When it is given up, the order keeps its lifetime.
#[tokio::test]
async fn a_refused_cancellation_does_not_shorten_the_orders_life() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    drop(shop.gateway.delay_intent(&shop.intent(&payment).id));
    shop.cancel(order.id).await.unwrap_err();
    shop.settle(Duration::hours(23)).await;
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
    let timers: Vec<_> = shop.store.jobs().into_iter().filter(|job| job.state == JobState::Waiting).collect();
    assert_eq!(timers.iter().map(|job| job.due_at).collect::<Vec<_>>(), [order.expires_at]);
}

#[tokio::test]
async fn a_timer_that_rings_early_changes_nothing_and_is_set_anew() {
    let shop = Shop::new();
    let order = shop.place().await;
    // The store's clock is ahead of ours.
    shop.clock.set(order.expires_at);
    let [job] = &shop.claim(ports::QueueName::Effects)[..] else { panic!("one timer") };
    shop.clock.set(order.created_at);
    shop.run(job).await.unwrap();
    assert_eq!(shop.order(order.id), order);
    shop.settle(Duration::DAY).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
}

/// Covers: C-3, fault 149.
#[tokio::test]
async fn an_order_whose_hold_is_lost_waits_for_money_and_still_expires() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    shop.hear(shop.gateway.authorize_intent(&intent)).await;
    shop.settle(Duration::days(2)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Authorized, "a hold does not expire with the order");
    shop.hear(shop.gateway.dashboard_cancel(&intent)).await;
    assert_eq!((shop.order(order.id).state, shop.order(order.id).paid_by), (OrderState::Pending, None));
    shop.settle(Duration::days(2)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);
    shop.assert_sound();
}

/// An old payment's end is told twice, the second time while another payment is live. It must not cancel the order
/// over the live one's head.
///
/// Covers: C-2, D-10, I2, fault 31.
#[tokio::test]
async fn the_end_of_an_earlier_payment_does_not_cancel_an_order_with_a_live_one() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, page("a")).await.unwrap().payment;
    let second = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    shop.gateway.fail_call(Fault::UnknownBefore);
    assert!(is_requested(&shop.cancel(order.id).await));
    let late = shop
        .gateway
        .event("checkout.session.expired", shop.page(&first).snapshot(Mode::Test, after(Duration::ZERO)));
    shop.receive(vec![late]);
    for job in shop.claim(ports::QueueName::Webhooks) {
        shop.run(&job).await.unwrap();
    }
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing, "the second may still be paid");

    drop(shop.gateway.pay_intent(&shop.intent(&second).id));
    shop.settle(Duration::HOUR).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// A hosted page's intent can be cancelled once it is authorized; the page itself cannot be expired any more.
///
/// Covers: C-2, fault 151.
#[tokio::test]
async fn a_hold_is_released_by_cancelling_its_intent() {
    for channel in [Channel::PaymentIntent, page("a")] {
        let shop = Shop::new();
        let order = shop.place().await;
        let payment = shop.start(order.id, channel.clone()).await.unwrap().payment;
        if let Channel::Checkout(_) = channel {
            shop.hear(shop.gateway.decline_session(&shop.page(&payment).id, "lost_card")).await;
        }
        shop.clock.advance(Duration::SECOND);
        let intent = shop.intent(&payment).id;
        shop.hear(shop.gateway.authorize_intent(&intent)).await;
        assert_eq!(shop.order(order.id).state, OrderState::Authorized);

        let outcome = shop.cancel(order.id).await;
        assert!(is_cancelled(&outcome), "{outcome:?}");
        let call = shop.store.calls().pop().unwrap();
        assert!(matches!(call.operation, Operation::CancelIntent { .. }), "{call:?}");
        assert_eq!(shop.intent(&payment).status, IntentStatus::Cancelled);
        assert_eq!(shop.order(order.id).paid_by, None);
        shop.assert_sound();
    }
}
