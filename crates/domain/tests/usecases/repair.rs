//! The gateway does hours later what it had failed at.

use paywright_domain::{ports::*, *};
use paywright_testkit::{Fault, builders::usd};
use time::Duration;

use crate::{
    support::Shop,
    unknown::{Ask, asked},
};

/// A creation whose key was spent, done under another one, and then by the gateway's late repair under the first.
async fn repaired() -> (Shop, OrderId, Vec<InboxEvent>, IntentId) {
    let (shop, order) = asked(Ask::CreateIntent, Fault::SpentBefore).await;
    shop.settle(Duration::minutes(3)).await;
    assert_eq!(shop.payment(order).state, PaymentState::Pending);
    shop.clock.advance(Duration::hours(3));
    let first = shop.calls("create_intent")[0].key();
    let events = shop.gateway.repair_later(&first);
    let second = shop.gateway.intents().pop().unwrap().id;
    assert_eq!((shop.gateway.intents().len(), shop.payable()), (2, 2), "for a moment there are two");
    (shop, order, events, second)
}

/// Covers: fault 15, I2, D-10, D-7.
#[tokio::test]
async fn a_second_object_from_a_late_repair_is_ended() {
    let (shop, order, events, second) = repaired().await;
    shop.hear([events.clone(), events].concat()).await;
    assert_eq!(shop.payable(), 1, "only the one that we know can be paid");
    let [ours, stray] = &shop.payments(order)[..] else { panic!("two payments") };
    assert_eq!((stray.intent.as_ref(), stray.state), (Some(&second), PaymentState::Cancelled));
    assert_eq!((ours.state, shop.breaks()), (PaymentState::Pending, vec![BreakKind::IdentityMismatch]));
    shop.hear(shop.gateway.pay_intent(&shop.intent(ours).id)).await;
    assert_eq!((shop.order(order).state, shop.order(order).paid_by), (OrderState::Paid, Some(ours.id)));
    shop.assert_sound();
}

/// Covers: fault 15, fault 102, I2, I5, D-10.
#[tokio::test]
async fn of_two_objects_that_were_both_paid_one_pays_the_order_and_the_other_is_given_back() {
    for second_first in [false, true] {
        let (shop, order, created, second) = repaired().await;
        let first = shop.payment(order).intent.unwrap();
        let mut paid = [shop.gateway.pay_intent(&first), shop.gateway.pay_intent(&second)];
        if second_first {
            paid.reverse();
        }
        let [one, other] = paid;
        shop.hear([one.clone(), created, other, one].concat()).await;
        shop.settle(Duration::HOUR).await;
        let payments = shop.payments(order);
        assert_eq!(payments.len(), 2);
        let returned: Vec<_> = payments.iter().map(|payment| payment.returned.minor()).collect();
        assert!(
            returned.contains(&0) && returned.contains(&3998),
            "second first: {second_first}: {returned:?}"
        );
        assert_eq!(shop.refund_made().amount, usd(3998), "given back once");
        let by = shop.order(order).paid_by.unwrap();
        let bought = payments.iter().find(|payment| payment.id == by).unwrap();
        assert_eq!((shop.order(order).state, bought.returned), (OrderState::Paid, usd(0)));
        assert_eq!(
            shop.open_breaks(),
            [BreakKind::IdentityMismatch],
            "for a person; the surplus is explained"
        );
        shop.assert_sound();
    }
}

/// Covers: fault 15, I2, I5, T-1.
#[tokio::test]
async fn a_payment_that_was_given_up_and_exists_after_all_is_ended_or_pays() {
    for paid in [false, true] {
        let (shop, order) = asked(Ask::CreateIntent, Fault::SpentBefore).await;
        shop.clock.advance(GatewayCall::SEND_WITHIN);
        shop.settle(Duration::minutes(5)).await;
        assert_eq!(shop.payment(order).state, PaymentState::Failed, "given up");
        let mut events = shop.gateway.repair_later(&shop.calls("create_intent")[0].key());
        let intent = shop.gateway.intents()[0].id.clone();
        if paid {
            events = shop.gateway.pay_intent(&intent);
        }
        shop.hear(events).await;
        let expected = if paid {
            (OrderState::Paid, PaymentState::Captured)
        } else {
            (OrderState::PaymentProcessing, PaymentState::Cancelled)
        };
        assert_eq!((shop.order(order).state, shop.payment(order).state), expected, "paid: {paid}");
        assert_eq!(shop.payable(), 0, "it is not paid any more");
        assert!(shop.breaks().is_empty());
        shop.assert_sound();
    }
}

/// While the first pays the order, nobody knows what the gateway calls the second.
///
/// Covers: fault 15, I2, I13, D-10.
#[tokio::test]
async fn a_payment_is_ended_whose_answer_comes_when_another_has_paid() {
    let (shop, order) = asked(Ask::CreateIntent, Fault::SpentBefore).await;
    shop.clock.advance(GatewayCall::SEND_WITHIN);
    shop.settle(Duration::minutes(5)).await;
    assert_eq!(shop.payment(order).state, PaymentState::Failed, "given up");
    shop.gateway.fail_call(Fault::UnknownAfter);
    let _ = shop.start(order, Channel::PaymentIntent).await.unwrap_err();
    assert_eq!(shop.payments(order)[1].state, PaymentState::Created);

    drop(shop.gateway.repair_later(&shop.calls("create_intent")[0].key()));
    let first = shop.gateway.intents().pop().unwrap().id;
    shop.hear(shop.gateway.pay_intent(&first)).await;
    assert_eq!(shop.order(order).state, OrderState::Paid);
    shop.settle(Duration::HOUR).await;
    assert_eq!((shop.payments(order)[1].state, shop.payable()), (PaymentState::Cancelled, 0));
    shop.assert_sound();
}

/// Covers: fault 15, I1, I3, I7, I10, U-3.
#[tokio::test]
async fn a_refund_from_a_late_repair_is_on_our_books() {
    // Given up before.
    let (shop, order) = asked(Ask::Refund, Fault::SpentBefore).await;
    shop.gateway.pass_call();
    for _ in 1..GatewayCall::GENERATIONS_MAX {
        shop.gateway.pass_call();
        shop.gateway.fail_call(Fault::SpentBefore);
    }
    shop.settle(Duration::minutes(20)).await;
    let payment = shop.payment(order).id;
    assert_eq!(shop.refunds(payment)[0].state, RefundState::Failed);
    shop.hear(shop.gateway.repair_later(&shop.calls("create_refund")[2].key())).await;
    let [refund] = &shop.refunds(payment)[..] else { panic!("one refund") };
    assert_eq!(
        (refund.state, refund.failure.as_ref()),
        (RefundState::Succeeded, None),
        "it exists after all"
    );
    assert_eq!(shop.order(order).state, OrderState::Refunded);
    assert!(shop.open_breaks().is_empty(), "all of it was given back");
    shop.assert_sound();

    // Done before under another key: money went back twice, and both are on the books.
    let mut shop = Shop::new();
    shop.policy.order_lifetime = Duration::days(30);
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::SpentBefore);
    shop.refund(payment.id, Some(1000)).await.unwrap();
    shop.settle(Duration::minutes(3)).await;
    assert_eq!(shop.refunds(payment.id)[0].state, RefundState::Succeeded);
    let again = shop.gateway.repair_later(&shop.calls("create_refund")[0].key());
    shop.hear([again.clone(), again].concat()).await;
    assert_eq!(shop.payment(order.id).returned, usd(2000), "as the gateway has it");
    assert_eq!(shop.intent(&payment).refunded(), 2000);
    assert_eq!(shop.refunds(payment.id).len(), 2);
    shop.assert_sound();
}
