//! Money where several things are true at once: a payment beside an earlier one, an object beside its double, a refund
//! beside its reversal.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{Fault, builders::usd};
use time::Duration;

use crate::{
    support::{Shop, page},
    unknown::{Ask, asked},
};

/// A timer whose look finds the order paid commits it, although the order had another payment before.
///
/// Covers: fault 149, I5, I13.
#[tokio::test]
async fn a_capture_that_only_the_timer_sees_pays_an_order_that_had_another_payment_before() {
    let shop = Shop::new();
    let new = NewOrder { capture: Some(CaptureMethod::Manual), ..shop.hats(2) };
    let order = shop.place_as(shop.operation(), new).await.unwrap().id;
    shop.start(order, page("a")).await.unwrap();
    let payment = shop.start(order, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    shop.hear(shop.gateway.authorize_intent(&intent)).await;
    assert_eq!((shop.payments(order).len(), shop.order(order).state), (2, OrderState::Authorized));
    drop(shop.gateway.dashboard_capture(&intent, 3998));
    let wrong = shop.settle(Duration::days(8)).await;
    assert_eq!(shop.order(order).state, OrderState::Paid, "{wrong:?}");
    assert!(shop.calls("cancel_intent").is_empty(), "the payment that paid is no rival of itself");
    assert!(wrong.is_empty(), "{wrong:?}");
    shop.assert_sound();
}

/// An order that expired while a delayed method is under way: its payment is asked to end, and is not looked at every
/// minute for ever.
///
/// Covers: I13.
#[tokio::test]
async fn an_expired_order_whose_payment_is_under_way_is_looked_after_in_peace() {
    let shop = Shop::new();
    let order = shop.place().await.id;
    let payment = shop.start(order, Channel::PaymentIntent).await.unwrap().payment;
    shop.hear(shop.gateway.delay_intent(&shop.intent(&payment).id)).await;
    shop.settle(Duration::hours(30)).await;
    assert!(shop.payment(order).version.number() < 60, "{:?}", shop.payment(order).version);
    assert!(!shop.calls("cancel_intent").is_empty(), "nobody waits for it any more");
    shop.assert_sound();
}

/// The gateway shows a hold that was released as given back; nothing was taken, so nothing can be.
///
/// Covers: fault 149, C-5.
#[tokio::test]
async fn a_released_hold_that_is_shown_as_a_refund_is_no_refund() {
    let shop = Shop::new();
    let (order, payment) = shop.held_order().await;
    let intent = shop.intent(&payment).id;
    let ended = shop.gateway.expire_hold(&intent);
    let snapshot = RefundSnapshot {
        refund: None,
        payment: None,
        intent: Some(intent),
        mode: Some(Mode::Test),
        amount: Some(usd(3998)),
        reason: Some("expired_uncaptured_charge".to_owned()),
        sighting: RefundSighting {
            id: "re_released".to_owned().try_into().unwrap(),
            standing: RefundStanding::Succeeded,
            failure: None,
            settlement: None,
            reversal: None,
        },
        created_at: shop.clock_now(),
        origin: Origin::default(),
    };
    shop.receive(vec![shop.gateway.refund_event("refund.created", snapshot)]);
    let wrong = shop.work().await;
    assert!(wrong.is_empty(), "{wrong:?}");
    shop.hear(ended).await;
    assert_eq!(
        (shop.order(order.id).state, shop.payment(order.id).state),
        (OrderState::Pending, PaymentState::Cancelled)
    );
    assert!(shop.refunds(payment.id).is_empty());
    shop.assert_sound();
}

/// Messages only name the movements of the balance; a refund that was made or came back elsewhere is explained all the
/// same.
///
/// Covers: I9, I10.
#[tokio::test]
async fn what_a_refund_moved_is_booked_although_messages_only_name_it() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let intent = shop.intent(&payment).id;
    let unexpanded = |kind: &str| {
        let mut snapshot = shop.refund_made().snapshot(Some(Mode::Test));
        (snapshot.sighting.settlement, snapshot.sighting.reversal) = (None, None);
        vec![shop.gateway.refund_event(kind, snapshot)]
    };
    drop(shop.gateway.dashboard_refund(&intent, 1000));
    shop.hear(unexpanded("refund.created")).await;
    shop.settle(Duration::days(3)).await;
    assert_eq!(shop.payment(order.id).returned, usd(1000));
    assert_eq!(shop.balance(Account::Clearing, "usd"), 0, "what was sent has left the balance");
    drop(shop.gateway.refund_fails(&shop.refund_made().id));
    shop.hear(unexpanded("refund.failed")).await;
    shop.settle(Duration::days(3)).await;
    assert_eq!(shop.payment(order.id).refunded, usd(0));
    assert_eq!(shop.balance(Account::Clearing, "usd"), 0, "what came back is in the balance again");
    shop.assert_sound();
}

/// A creation's second object is told by an event before its own answer is heard.
///
/// Covers: fault 15, I24, D-10.
#[tokio::test]
async fn the_answer_of_a_creation_whose_object_became_a_payment_of_its_own_is_taken() {
    let (shop, order) = asked(Ask::CreateIntent, Fault::SpentBefore).await;
    shop.clock.advance(Duration::minutes(3));
    // The second generation is performed, and its answer lost.
    shop.gateway.pass_call();
    shop.gateway.fail_call(Fault::UnknownAfter);
    shop.work().await;
    assert_eq!(shop.calls("create_intent").len(), 2);
    let second = shop.gateway.intents().pop().unwrap().id;
    let heard = shop.gateway.events();
    let repaired = shop.gateway.repair_later(&shop.calls("create_intent")[0].key());
    shop.hear(repaired).await;
    assert!(shop.payment(order).intent.is_some_and(|intent| intent != second));
    shop.hear(heard).await;
    assert_eq!(shop.payments(order).len(), 2, "the second object is a payment of its own");
    let wrong = shop.settle(Duration::minutes(30)).await;
    let states: Vec<_> = shop.calls("create_intent").iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Absent, CallState::Done], "{wrong:?}");
    assert_eq!(shop.payable(), 1);
    shop.assert_sound();
}

/// Covers: I13, D-10.
#[tokio::test]
async fn a_second_object_does_not_cancel_an_order_whose_payment_may_still_be_paid() {
    let (shop, order) = asked(Ask::CreateIntent, Fault::SpentBefore).await;
    shop.settle(Duration::minutes(3)).await;
    let first = shop.calls("create_intent")[0].key();
    let ours = shop.payment(order);
    shop.gateway.fail_call(Fault::UnknownBefore);
    assert!(matches!(shop.cancel(order).await, Ok(Cancellation::Requested(_))));
    shop.hear(shop.gateway.repair_later(&first)).await;
    let now = shop.payments(order).into_iter().find(|payment| payment.id == ours.id).unwrap();
    assert!(
        shop.order(order).state != OrderState::Cancelled || !now.state.is_live(),
        "the order is cancelled while its payment is {}",
        now.state
    );
    shop.settle(Duration::HOUR).await;
    assert_eq!((shop.order(order).state, shop.payable()), (OrderState::Cancelled, 0));
    shop.assert_sound();
}

/// Covers: I13.
#[tokio::test]
async fn a_lost_dispute_is_not_looked_after_for_ever() {
    let shop = Shop::new();
    let (_, payment) = shop.paid_order().await;
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, false)).await;
    shop.hear(shop.gateway.lose_dispute(&shop.dispute_opened().id)).await;
    shop.settle(Duration::days(30)).await;
    let before = shop.store.jobs().len();
    shop.settle(Duration::days(30)).await;
    assert_eq!(shop.store.jobs().len(), before);
}

/// A payment of a cancelled order that is disputed when it comes to light.
///
/// Covers: I2.
#[tokio::test]
async fn late_money_whose_dispute_was_won_is_given_back() {
    let (shop, order) = asked(Ask::CreateIntent, Fault::SpentBefore).await;
    shop.clock.advance(GatewayCall::SEND_WITHIN);
    shop.settle(Duration::minutes(5)).await;
    assert_eq!(shop.payment(order).state, PaymentState::Failed, "given up");
    shop.cancel(order).await.unwrap();
    assert_eq!(shop.order(order).state, OrderState::Cancelled);
    drop(shop.gateway.repair_later(&shop.calls("create_intent")[0].key()));
    let intent = shop.gateway.intents()[0].id.clone();
    drop(shop.gateway.pay_intent(&intent));
    let opened = shop.gateway.open_dispute(&intent, 3998, false);
    // The dispute is heard of first, and the payment with it.
    shop.hear(opened).await;
    let refunded = shop.payment(order).refunded;
    shop.hear(shop.gateway.win_dispute(&shop.dispute_opened().id)).await;
    shop.settle(Duration::HOUR).await;
    let now = shop.payment(order);
    assert_eq!((refunded, now.unwanted, now.returned), (usd(0), true, usd(3998)), "{:?}", shop.open_breaks());
    shop.assert_sound();
}

/// Covers: fault 152, I17.
#[tokio::test]
async fn another_amount_than_the_one_that_is_being_taken_is_no_success() {
    let shop = Shop::new();
    let (_, payment) = shop.held_order().await;
    shop.gateway.fail_call(Fault::UnknownBefore);
    assert!(shop.capture(payment.id, None).await.unwrap().capture_requested);
    let error = shop.capture(payment.id, Some(1000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "all of it is being taken");
    shop.settle(Duration::HOUR).await;
    shop.assert_sound();
}

/// Covers: fault 15, I1, I7.
#[tokio::test]
async fn a_refund_that_the_gateway_made_twice_is_for_a_person() {
    let mut shop = Shop::new();
    shop.policy.order_lifetime = Duration::days(30);
    let (_, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::SpentBefore);
    shop.refund(payment.id, Some(1000)).await.unwrap();
    shop.settle(Duration::minutes(3)).await;
    assert!(shop.open_breaks().is_empty());
    let again = shop.gateway.repair_later(&shop.calls("create_refund")[0].key());
    shop.hear([again.clone(), again].concat()).await;
    assert_eq!(shop.open_breaks(), [BreakKind::IdentityMismatch]);
    assert_eq!(shop.store.open_breaks()[0].at_risk, Some(usd(1000)), "went back twice");
    shop.assert_sound();
}

/// A refund that is to be asked for again under another key, and that the gateway makes under the first one meanwhile.
///
/// Covers: fault 15, I1, I7, I18.
#[tokio::test]
async fn what_came_to_be_meanwhile_is_not_asked_for_again() {
    let mut shop = Shop::new();
    shop.policy.order_lifetime = Duration::days(30);
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::SpentBefore);
    shop.refund(payment.id, Some(1000)).await.unwrap();
    shop.clock.advance(Duration::minutes(3));
    shop.gateway.pass_call();
    shop.gateway.fail_call(Fault::NotDone { after: None });
    shop.work().await;
    let calls = shop.calls("create_refund");
    assert_eq!(calls.len(), 2);
    shop.hear(shop.gateway.repair_later(&calls[0].key())).await;
    shop.settle(Duration::HOUR).await;
    assert_eq!(shop.gateway.refunds_made().len(), 1, "given back once");
    let states: Vec<_> = shop.calls("create_refund").iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Absent, CallState::Done]);
    assert_eq!((shop.payment(order.id).returned, shop.refunds(payment.id).len()), (usd(1000), 1));
    assert!(shop.open_breaks().is_empty());
    shop.assert_sound();
}
