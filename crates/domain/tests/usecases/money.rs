//! Money that nobody expected: late, twice, too little, or not ours; and money that is told of twice.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{
    Fault,
    builders::{self, usd},
};
use time::Duration;

use crate::support::{Shop, after, page};

/// An order that was cancelled while its payment slipped through at the gateway; the message about the money.
async fn paid_late() -> (Shop, Order, Payment, InboxEvent) {
    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(Fault::UnknownAfter);
    shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    // We give it up, and the customer has it open all the same.
    shop.clock.advance(Duration::MINUTE);
    shop.gateway.fail_call(Fault::Rejected("api_error".to_owned()));
    shop.work().await;
    assert_eq!(shop.payment(order.id).state, PaymentState::Failed);
    shop.cancel(order.id).await.unwrap();
    let payment = shop.payment(order.id);
    let paid = shop.gateway.pay_intent(&shop.intent(&payment).id).remove(0);
    (shop, order, payment, paid)
}

fn refund_calls(shop: &Shop) -> usize {
    shop.calls("create_refund").len()
}

/// Covers: fault 62, fault 155, C-2, O-4, I2, I15, I22, I30, fault 31.
#[tokio::test]
async fn late_money_is_given_back_exactly_once_whatever_is_repeated() {
    let (shop, order, payment, paid) = paid_late().await;
    let twin =
        shop.gateway.event("charge.succeeded", shop.intent(&payment).snapshot(Mode::Test, shop.clock_now()));
    shop.hear(vec![paid.clone(), twin, paid.clone()]).await;
    for _ in 0..3 {
        shop.hear(vec![paid.clone()]).await;
        shop.sync(payment.id).await.unwrap();
        shop.settle(Duration::HOUR).await;
    }
    shop.hear(shop.gateway.events()).await;
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled, "money does not reopen it");
    let refund = &shop.refunds(payment.id)[..];
    assert!(matches!(
        refund,
        [Refund { reason: RefundReason::LatePayment, state: RefundState::Succeeded, .. }]
    ));
    assert_eq!((shop.refund_made().amount, refund_calls(&shop)), (usd(3998), 1));
    assert_eq!(
        (shop.breaks(), shop.open_breaks()),
        (vec![BreakKind::LateMoney], vec![]),
        "said, and explained"
    );
    assert_eq!(shop.balance(Account::Clearing, "usd"), 0);
    shop.assert_sound();
}

/// Covers: fault 62, fault 144, fault 147, I10, C-2.
#[tokio::test]
async fn late_money_that_cannot_be_given_back_stays_a_break_until_it_can() {
    let (shop, _, payment, paid) = paid_late().await;
    shop.gateway.fail_call(Fault::Rejected("insufficient_funds".to_owned()));
    shop.hear(vec![paid.clone()]).await;
    assert_eq!(shop.open_breaks(), [BreakKind::LateMoney, BreakKind::RefundFailed]);
    assert_eq!(shop.store.open_breaks()[0].at_risk, Some(usd(3998)));
    shop.hear(vec![paid]).await;
    shop.settle(Duration::DAY).await;
    assert_eq!(refund_calls(&shop), 1, "a person decides now");
    shop.refund(payment.id, None).await.unwrap();
    assert!(shop.open_breaks().is_empty());
    shop.assert_sound();
}

/// Covers: D-10, fault 102, I2, I22, fault 31, fault 156.
#[tokio::test]
async fn surplus_money_is_given_back_exactly_once_and_never_counted_twice() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let second = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.hear(shop.gateway.pay_session(&shop.page(&second).id)).await;
    // The first tab pays what the gateway had confirmed to be cancelled.
    let mut told = shop.intent(&first).snapshot(Mode::Test, shop.clock_now());
    told.sighting.standing = Standing::Captured { captured: 3998, refunded: 0 };
    for _ in 0..4 {
        shop.hear(vec![shop.gateway.event("payment_intent.succeeded", told.clone())]).await;
    }
    let surplus = shop.refunds(first.id);
    assert!(matches!(surplus[..], [Refund { reason: RefundReason::SurplusPayment, .. }]), "{surplus:?}");
    assert_eq!((refund_calls(&shop), shop.breaks()[0]), (1, BreakKind::SurplusPayment));
    let order = shop.order(order.id);
    assert_eq!((order.state, order.paid_by), (OrderState::Paid, Some(second.id)));
    assert_eq!(shop.refunds(second.id), [], "its own money stays");
}

/// Covers: fault 145, fault 155, X-2.
#[tokio::test]
async fn late_money_that_is_disputed_is_not_paid_out_twice() {
    let (shop, _, payment, _) = paid_late().await;
    // Of both only the dispute was told.
    shop.receive(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, false));
    shop.settle(Duration::HOUR).await;
    let sent = shop.gateway.refunds_made().len();
    assert_eq!(sent, 0, "the issuer takes it back");
    assert_eq!(shop.payment(payment.order).disputed, usd(3998));
    assert!(shop.open_breaks().contains(&BreakKind::LateMoney), "for a person");
    shop.assert_sound();
}

/// Covers: M-1, M-3, I4, fault 22, fault 55.
#[tokio::test]
async fn too_little_money_pays_nothing_is_a_break_and_stays_on_the_books() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let mut told = shop.intent(&payment).snapshot(Mode::Test, shop.clock_now());
    told.sighting.standing = Standing::Captured { captured: 100, refunded: 0 };
    for _ in 0..2 {
        shop.hear(vec![shop.gateway.event("payment_intent.succeeded", told.clone())]).await;
    }
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
    assert_eq!((shop.breaks(), refund_calls(&shop)), (vec![BreakKind::AmountMismatch], 0));
    let payment = shop.payment(order.id);
    assert_eq!((payment.captured, payment.refundable()), (usd(100), usd(100)), "a person may give it back");
    assert_eq!(shop.balance(Account::Sales, "usd"), -100);
}

/// Covers: fault 82, W-10, fault 53, I5, I20.
#[tokio::test]
async fn money_of_a_payment_that_is_not_here_becomes_a_break_after_a_while() {
    for kind in ["payment", "refund"] {
        let shop = Shop::new();
        let (_, payment) = shop.paid_order().await;
        let lost = Payment {
            id: builders::new_id(shop.clock_now()),
            intent: Some(builders::intent_id()),
            ..payment
        };
        let captured = Standing::Captured { captured: 3998, refunded: 0 };
        let event = if kind == "payment" {
            shop.gateway.event("payment_intent.succeeded", builders::snapshot(&lost, captured))
        } else {
            let refund = builders::refund(&lost, usd(1000)).after().clone();
            let told = builders::refund_snapshot(&lost, &refund, RefundStanding::Succeeded);
            shop.gateway.refund_event("refund.created", told)
        };
        shop.receive(vec![event]);
        let wrong = shop.work().await;
        assert!(wrong[0].contains("UnknownPayment"), "its commit may not be visible yet: {wrong:?}");
        assert!(shop.breaks().is_empty());
        shop.settle(RecordEvent::FOREIGN_AFTER + Duration::MINUTE).await;
        let [found] = &shop.store.open_breaks()[..] else { panic!("one break") };
        assert_eq!((found.kind, found.order, found.payment), (BreakKind::ForeignObject, None, None));
        assert!(found.detail.contains(&lost.id.to_string()), "{}", found.detail);
        assert_eq!(found.at_risk, Some(if kind == "payment" { usd(3998) } else { usd(1000) }));
    }
}

/// Covers: M-3, fault 150, I1, I11.
#[tokio::test]
async fn a_part_that_somebody_took_at_the_dashboard_pays_the_order_and_is_shown_to_a_person() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let told = shop.gateway.dashboard_capture(&shop.intent(&payment).id, 1000);
    shop.hear([told.clone(), told].concat()).await;
    let now = shop.payment(order.id);
    assert_eq!((now.captured, now.capturable, now.refundable()), (usd(1000), usd(0), usd(1000)));
    assert_eq!(
        (shop.order(order.id).state, shop.breaks()),
        (OrderState::Paid, vec![BreakKind::AmountMismatch])
    );
    shop.settle(Duration::days(2)).await;
    assert_eq!((shop.balance(Account::Sales, "usd"), shop.balance(Account::Clearing, "usd")), (-1000, 0));
    shop.assert_sound();
}

/// Covers: I22, I30, fault 31, fault 32, fault 33, D-11, D-12, D-15, D-18.
#[tokio::test]
async fn every_message_of_a_long_life_told_again_and_backwards_changes_nothing() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    shop.capture(payment.id, Some(3000)).await.unwrap();
    shop.refund(payment.id, Some(500)).await.unwrap();
    let intent = shop.intent(&payment).id;
    shop.hear(shop.gateway.dashboard_refund(&intent, 200)).await;
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.open_dispute(&intent, 1000, false)).await;
    shop.clock.advance(Duration::DAY);
    shop.hear(shop.gateway.win_dispute(&shop.dispute_opened().id)).await;
    shop.sync(payment.id).await.unwrap();
    let books = shop.store.journals();
    let before = (shop.order(order.id), shop.payment(order.id), shop.refunds(payment.id));

    let mut events = shop.gateway.events();
    events.reverse();
    for (number, event) in events.iter_mut().enumerate() {
        // Other events about the same changes.
        event.id = format!("evt_again_{number}");
    }
    assert!(events.len() > 10);
    shop.hear(events).await;
    assert_eq!((shop.order(order.id), shop.payment(order.id), shop.refunds(payment.id)), before);
    assert_eq!(shop.store.journals(), books, "nothing is booked twice");
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers: S-5, I9, fault 34.
#[tokio::test]
async fn a_fee_that_is_told_late_is_booked_late_and_in_the_balances_currency() {
    let shop = Shop::new();
    shop.gateway.settle_late(true);
    shop.gateway.settle_in("eur".parse().unwrap(), 900);
    let (order, payment) = shop.paid_order().await;
    assert_eq!(payment.fee, None);
    assert_eq!(shop.balance(Account::Clearing, "usd"), 3998, "taken, and not in the balance yet");
    shop.clock.advance(Duration::days(2));
    shop.hear(shop.gateway.settle(&shop.intent(&payment).id)).await;
    let fee = shop.payment(order.id).fee.unwrap().amount;
    assert_eq!(fee.currency().code(), "eur");
    shop.refund(payment.id, Some(1000)).await.unwrap();
    assert_eq!((shop.balance(Account::Clearing, "usd"), shop.balance(Account::Clearing, "eur")), (0, 0));
    let held = i64::try_from(3998 * 900 / 1000 - fee.minor() - 900).unwrap();
    assert_eq!(shop.balance(Account::GatewayBalance, "eur"), held);
    assert_eq!(shop.balance(Account::Exchange, "eur") + held + i64::try_from(fee.minor()).unwrap(), 0);
    shop.assert_sound();
}

/// Covers: I13, S-5.
#[tokio::test]
async fn a_fee_that_never_comes_is_not_waited_for_for_ever() {
    let shop = Shop::new();
    shop.gateway.settle_late(true);
    shop.paid_order().await;
    shop.settle(Duration::days(40)).await;
    let waiting = shop.store.jobs().into_iter().filter(|job| job.due_at > after(Duration::days(9)));
    assert_eq!(waiting.count(), 0);
}
