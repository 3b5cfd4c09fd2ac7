//! Asking the gateway how a payment stands.

use paywright_domain::{usecase::*, *};
use paywright_testkit::{
    Fault,
    builders::{self, usd},
};
use time::Duration;

use crate::{
    fate::Blow,
    support::{Shop, page, ready, until_death},
};

/// Covers: I1, I5, W-15, fault 34, fault 156, X-5, D-15.
#[tokio::test]
async fn everything_that_was_never_told_is_learned_at_once() {
    for channel in [Channel::PaymentIntent, page("a")] {
        let shop = Shop::new();
        let order = shop.place().await;
        let payment = shop.start(order.id, channel.clone()).await.unwrap().payment;
        match channel {
            Channel::PaymentIntent => drop(shop.gateway.pay_intent(&shop.intent(&payment).id)),
            Channel::Checkout(_) => drop(shop.gateway.pay_session(&shop.page(&payment).id)),
        }
        let intent = shop.intent(&payment).id;
        drop(shop.gateway.dashboard_refund(&intent, 500));
        drop(shop.gateway.open_dispute(&intent, 1000, false));

        let synced = shop.sync(payment.id).await.unwrap();
        assert_eq!((synced.captured, synced.returned, synced.disputed), (usd(3998), usd(500), usd(1000)));
        assert!(synced.fee.is_some());
        assert_eq!(shop.order(order.id).state, OrderState::Paid);
        assert_eq!((shop.refunds(payment.id).len(), shop.store.disputes().len()), (1, 1));
        assert_eq!(shop.balance(Account::Clearing, "usd"), 0);
        assert!(shop.breaks().is_empty());
        shop.assert_sound();
    }
}

/// Covers: I28, I30, I22.
#[tokio::test]
async fn what_is_known_already_changes_nothing() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.refund(payment.id, Some(500)).await.unwrap();
    let operation = shop.operation();
    let syncs = SyncPayment::new(shop.ports.clone(), shop.policy.clone());
    let first = syncs.run(operation, payment.id).await.unwrap();
    let before = (shop.order(order.id), shop.refunds(payment.id), shop.store.journals(), shop.store.audit());
    assert_eq!(syncs.run(operation, payment.id).await.unwrap(), first, "the same request");
    shop.clock.advance(Duration::MINUTE);
    assert_eq!(shop.sync(payment.id).await.unwrap(), first, "another one");
    let now = (shop.order(order.id), shop.refunds(payment.id), shop.store.journals(), shop.store.audit());
    assert_eq!(now, before);
}

/// Covers: C-1, O-7, I5, fault 20.
#[tokio::test]
async fn a_payment_that_waits_has_ended_or_is_unknown_is_learned_as_it_is() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    assert_eq!(shop.sync(payment.id).await.unwrap().state, PaymentState::Pending);
    drop(shop.gateway.expire_session(&shop.page(&payment).id));
    assert_eq!(shop.sync(payment.id).await.unwrap().state, PaymentState::Cancelled);
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing, "the customer may try again");

    shop.gateway.fail_call(Fault::UnknownBefore);
    shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    let created = shop.payments(order.id).pop().unwrap();
    let synced = shop.sync(created.id).await.unwrap();
    assert_eq!(synced.state, PaymentState::Created, "without a name there is nothing to look at");
    shop.assert_sound();
}

/// Covers: I32, fault 1, fault 70.
#[tokio::test]
async fn a_payment_that_is_foreign_or_a_gateway_that_is_away_changes_nothing() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let error = shop.sync(builders::new_id(shop.clock_now())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let live = SyncPayment::new(shop.ports.clone(), Policy { mode: Mode::Live, ..shop.policy.clone() });
    let error = live.run(shop.operation(), payment.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "another mode's payments do not exist here");
    for fault in [Fault::UnknownBefore, Fault::NotAllowed, Fault::NotDone { after: None }] {
        shop.gateway.fail_look(fault.clone());
        let error = shop.sync(payment.id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{fault:?}");
    }
    assert_eq!((shop.order(order.id), shop.payment(order.id)), (order, payment));
}

/// Covers: I3, I24, fault 144, R-5.
#[tokio::test]
async fn what_does_not_fit_what_is_under_way_here_is_to_be_asked_again() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::UnknownBefore);
    shop.refund(payment.id, None).await.unwrap();
    drop(shop.gateway.dashboard_refund(&shop.intent(&payment).id, 3998));
    let error = shop.sync(payment.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "ours is reserved: {error}");
    shop.settle(Duration::MINUTE).await;
    shop.sync(payment.id).await.unwrap();
    assert_eq!(
        shop.order(order.id).state,
        OrderState::Refunded,
        "ours was refused, the other is on the books"
    );
    shop.assert_sound();
}

/// Covers: I3, I9, I10, R-5, fault 147, fault 156.
#[tokio::test]
async fn a_refund_that_came_back_before_it_was_heard_of_took_nothing() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let intent = shop.intent(&payment).id;
    drop(shop.gateway.dashboard_refund(&intent, 3998));
    drop(shop.gateway.refund_fails(&shop.refund_made().id));
    drop(shop.gateway.dashboard_refund(&intent, 3998));
    let synced = shop.sync(payment.id).await.unwrap();
    assert_eq!((synced.refunded, synced.returned), (usd(3998), usd(3998)), "not twice");
    let states: Vec<_> = shop.refunds(payment.id).iter().map(|refund| refund.state).collect();
    assert!(states.contains(&RefundState::Failed) && states.contains(&RefundState::Succeeded), "{states:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert_eq!((shop.balance(Account::Refunds, "usd"), shop.balance(Account::Clearing, "usd")), (3998, 0));
    shop.assert_sound();
}

/// Of two that came back, the one that is learned of first looks as if all were still given back.
///
/// Covers: I10, R-2, fault 147, fault 156.
#[tokio::test]
async fn refunds_that_came_back_together_all_wait_for_a_person() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.refund(payment.id, None).await.unwrap();
    drop(shop.gateway.refund_fails(&shop.refund_made().id));
    drop(shop.gateway.dashboard_refund(&shop.intent(&payment).id, 1000));
    drop(shop.gateway.refund_fails(&shop.gateway.refunds_made()[1].id));
    let synced = shop.sync(payment.id).await.unwrap();
    assert_eq!((synced.refunded, synced.returned), (usd(0), usd(0)), "nothing of it was given back");
    assert_eq!(shop.open_breaks(), [BreakKind::RefundFailed; 2]);

    shop.refund(payment.id, None).await.unwrap();
    assert!(shop.open_breaks().is_empty(), "all of it was given back after all");
    assert_eq!((shop.breaks().len(), shop.order(order.id).state), (2, OrderState::Refunded));
    shop.assert_sound();
}

/// Somebody looks at a payment, and before they hear the answer, or before they store it, the customer fails and somebody
/// else sees that. What was seen before is older, whenever it is heard.
///
/// Covers: I22.
#[test]
fn what_a_slow_look_saw_does_not_undo_what_a_later_one_saw() {
    for begins_at in [0, 970] {
        for call in 0.. {
            let shop = Shop::new();
            let order = ready(shop.place());
            let payment = ready(shop.start(order.id, Channel::PaymentIntent)).unwrap().payment;
            let intent = shop.intent(&payment).id;
            shop.clock.advance(Duration::SECOND + Duration::milliseconds(begins_at));
            ready(shop.hear(shop.gateway.require_action(&intent)));
            assert_eq!(shop.payment(order.id).state, PaymentState::RequiresAction);
            shop.clock.advance(Duration::milliseconds(10));
            shop.fate.falls(shop.fate.calls() + call, Blow::SleepAfter);
            let mut slow = Box::pin(shop.sync(payment.id));
            if until_death(slow.as_mut()).is_some() {
                assert!(call > 3, "it looks, and stores what it saw");
                break;
            }
            shop.clock.advance(Duration::milliseconds(20));
            drop(shop.gateway.decline(&intent, "insufficient_funds"));
            ready(shop.sync(payment.id)).unwrap();
            assert_eq!(shop.payment(order.id).state, PaymentState::Pending, "{begins_at} ms, call {call}");
            shop.clock.advance(Duration::milliseconds(20));
            let _ = ready(slow);
            assert_eq!(shop.payment(order.id).state, PaymentState::Pending, "{begins_at} ms, call {call}");
            shop.assert_sound();
        }
    }
}
