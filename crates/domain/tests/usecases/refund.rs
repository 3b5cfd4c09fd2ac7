//! Giving money back: by us, at the gateway's dashboard, and by neither.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{
    Fault,
    builders::{self, usd},
};
use time::Duration;

use crate::support::{Shop, after};

fn refund_calls(shop: &Shop) -> Vec<String> {
    let arrived = shop.gateway.arrived().into_iter();
    arrived.filter(|call| call.operation.name() == "create_refund").map(|call| call.key).collect()
}

/// Covers: I7, I9, I14, R-6, R-7, R-8.
#[tokio::test]
async fn a_refund_is_reserved_asked_for_and_sent() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let part = shop.refund(payment.id, Some(1000)).await.unwrap();
    assert_eq!((part.state, part.amount), (RefundState::Succeeded, usd(1000)));
    let made = shop.refund_made();
    assert_eq!((made.refund, made.payment, made.amount), (Some(part.id), Some(payment.id), usd(1000)));
    assert_eq!(part.gateway, Some(made.id));
    assert_eq!(made.reason.as_deref(), Some("requested_by_customer"));
    assert_eq!(made.metadata["paywright_reason"], "requested_by_customer");
    let now = shop.payment(order.id);
    assert_eq!((now.refunded, now.returned, now.refundable()), (usd(1000), usd(1000), usd(2998)));
    assert_eq!(shop.order(order.id).state, OrderState::Paid, "a part moves no order");

    let rest = shop.refund(payment.id, None).await.unwrap();
    assert_eq!(rest.amount, usd(2998), "everything that is left");
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    shop.hear(shop.gateway.events()).await;
    shop.settle(Duration::days(2)).await;
    assert_eq!(shop.refunds(payment.id), [part, rest], "the gateway's own messages tell nothing new");
    assert_eq!((shop.balance(Account::Refunds, "usd"), shop.balance(Account::Clearing, "usd")), (3998, 0));
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers: I17, I30, T-10, D-8, fault 100.
#[tokio::test]
async fn a_repeated_operation_is_one_refund() {
    let shop = Shop::new();
    let (_, payment) = shop.paid_order().await;
    let operation = shop.operation();
    let first = shop.refund_as(operation, payment.id, None).await.unwrap();
    let again = shop.refund_as(operation, payment.id, None).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(refund_calls(&shop), [format!("create_refund:{}:1", first.id)]);
    let other = shop.refund(payment.id, Some(1)).await.unwrap_err();
    assert!(matches!(other, RequestRefundError::TooMuch { refundable } if refundable.is_zero()), "{other:?}");
}

/// Covers: I3, R-1, R-3, T-9, fault 143, fault 144, fault 158.
#[tokio::test]
async fn what_is_on_its_way_back_cannot_be_given_back_again() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.hold_refunds(true);
    let waits = shop.refund(payment.id, Some(2000)).await.unwrap();
    assert_eq!(waits.state, RefundState::Pending, "the gateway's balance does not suffice yet");
    for amount in [1999, 3998, i64::MAX.unsigned_abs(), u64::MAX] {
        let error = shop.refund(payment.id, Some(amount)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let RequestRefundError::TooMuch { refundable } = error else { panic!("{error:?}") };
        assert_eq!(refundable, usd(1998), "{amount}");
    }
    shop.refund(payment.id, Some(1998)).await.unwrap();
    shop.settle(Duration::days(3)).await;
    assert_eq!(refund_calls(&shop).len(), 2, "what waits is not asked for again");
    assert_eq!(shop.order(order.id).state, OrderState::Paid, "nothing was sent yet");
    for made in shop.gateway.refunds_made() {
        shop.hear(shop.gateway.refund_succeeds(&made.id)).await;
    }
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    shop.assert_sound();
}

/// Covers: R-1, I32, fault 108, fault 153.
#[tokio::test]
async fn what_cannot_be_given_back_is_refused_and_changes_nothing() {
    let shop = Shop::new();
    let (_, payment) = shop.paid_order().await;
    let new = |payment| NewRefund {
        payment,
        amount: Some(1000),
        reason: RefundReason::Goodwill,
        note: None,
        expected_refundable: None,
    };
    let cases = [
        (NewRefund { amount: Some(0), ..new(payment.id) }, ErrorKind::Invalid),
        (NewRefund { note: Some(String::new()), ..new(payment.id) }, ErrorKind::Invalid),
        (NewRefund { note: Some("x".repeat(501)), ..new(payment.id) }, ErrorKind::Invalid),
        (NewRefund { reason: RefundReason::LatePayment, ..new(payment.id) }, ErrorKind::Invalid),
        (NewRefund { expected_refundable: Some(3997), ..new(payment.id) }, ErrorKind::Outdated),
        (new(builders::new_id(shop.clock_now())), ErrorKind::NotFound),
    ];
    for (new, kind) in cases {
        let refunds = RequestRefund::new(shop.ports.clone(), shop.policy.clone());
        let error = refunds.run(shop.operation(), Actor::System, new.clone()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{new:?}: {error}");
    }
    let live = Policy { mode: Mode::Live, ..shop.policy.clone() };
    let refunds = RequestRefund::new(shop.ports.clone(), live);
    let error = refunds.run(shop.operation(), Actor::System, new(payment.id)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "another mode's payments do not exist here");
    let (_, held) = shop.held_order().await;
    let error = shop.refund(held.id, None).await.unwrap_err();
    assert!(matches!(error, RequestRefundError::NotCaptured(PaymentState::Authorized)), "{error:?}");
    assert!(refund_calls(&shop).is_empty() && shop.store.refunds().is_empty());

    let right = NewRefund { expected_refundable: Some(3998), ..new(payment.id) };
    let refunds = RequestRefund::new(shop.ports.clone(), shop.policy.clone());
    refunds.run(shop.operation(), Actor::System, right).await.unwrap();
}

/// Covers: M-4, M-5, fault 110.
#[tokio::test]
async fn a_refund_keeps_to_the_steps_of_its_currency() {
    // What is paid, what is refused, what is given back: in whole hundreds where the gateway counts hundredths that
    // must be whole.
    for (currency, paid, wrong, right) in
        [("isk", 500_000, Some(150), 200), ("ugx", 500_000, Some(1), 100), ("jpy", 5_000, None, 1)]
    {
        let mut shop = Shop::new();
        let currency: Currency = currency.parse().unwrap();
        let unit_price = Money::from_minor(paid, currency).unwrap();
        shop.hat = Product { unit_price, ..builders::product() };
        shop.offer(&shop.hat);
        let (_, payment) = shop.paid_order().await;
        assert_eq!(payment.captured.minor(), 2 * paid);
        if let Some(wrong) = wrong {
            let error = shop.refund(payment.id, Some(wrong)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{currency}: {error}");
        }
        let refund = shop.refund(payment.id, Some(right)).await.unwrap();
        assert_eq!(refund.amount, Money::from_minor(right, currency).unwrap());
        assert_eq!(shop.refund_made().amount, refund.amount, "no factor of a hundred in between");
        shop.assert_sound();
    }
}

/// Covers: I10, R-2, R-3, fault 147.
#[tokio::test]
async fn a_refund_that_the_gateway_refuses_is_failed_said_so_and_can_be_tried_again() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::Rejected("insufficient_funds".to_owned()));
    let operation = shop.operation();
    let error = shop.refund_as(operation, payment.id, None).await.unwrap_err();
    assert!(
        matches!(&error, RequestRefundError::Refused(no) if no.code == "insufficient_funds"),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Refused);
    let failed = shop.refund_as(operation, payment.id, None).await.unwrap();
    assert_eq!((failed.state, failed.failure.as_deref()), (RefundState::Failed, Some("insufficient_funds")));
    assert_eq!(shop.payment(order.id).refundable(), usd(3998));
    assert_eq!(shop.open_breaks(), [BreakKind::RefundFailed]);

    shop.refund(payment.id, None).await.unwrap();
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert!(shop.open_breaks().is_empty(), "it was given back after all");
    assert_eq!(shop.breaks(), [BreakKind::RefundFailed], "and stays part of the story");
    shop.assert_sound();
}

/// Covers: I9, I10, R-2, fault 147, I11, X-5.
#[tokio::test]
async fn a_refund_that_comes_back_after_it_was_sent_can_be_given_again() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let first = shop.refund(payment.id, None).await.unwrap();
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    let made = shop.refund_made().id;
    shop.clock.advance(Duration::days(20));
    let failed = shop.gateway.refund_fails(&made);
    shop.hear([failed.clone(), failed].concat()).await;
    let now = shop.payment(order.id);
    assert_eq!((now.refunded, now.returned, now.refundable()), (usd(0), usd(0), usd(3998)));
    assert_eq!(shop.refunds(payment.id)[0].failure.as_deref(), Some("lost_or_stolen_card"));
    assert_eq!((shop.open_breaks(), shop.breaks().len()), (vec![BreakKind::RefundFailed], 1));
    assert_eq!(shop.store.open_breaks()[0].at_risk, Some(first.amount));

    shop.refund(payment.id, None).await.unwrap();
    shop.sync(payment.id).await.unwrap();
    assert!(shop.open_breaks().is_empty());
    assert_eq!(shop.balance(Account::Refunds, "usd"), 3998, "given back once in the end");
    assert_eq!(shop.balance(Account::Clearing, "usd"), 0);
    shop.assert_sound();
}

/// Covers: R-3, I10.
#[tokio::test]
async fn a_refund_that_somebody_withdraws_frees_its_amount_without_alarm() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.hold_refunds(true);
    shop.refund(payment.id, None).await.unwrap();
    shop.hear(shop.gateway.refund_cancelled(&shop.refund_made().id)).await;
    assert_eq!(shop.refunds(payment.id)[0].state, RefundState::Cancelled);
    assert_eq!(shop.payment(order.id).refundable(), usd(3998));
    assert!(shop.breaks().is_empty());
    assert_eq!(shop.balance(Account::Refunds, "usd"), 0);
    shop.assert_sound();
}

/// Covers: R-5, fault 156, I1, I22, fault 31, fault 32, D-15.
#[tokio::test]
async fn a_refund_made_at_the_dashboard_is_adopted_once() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    let intent = shop.intent(&payment).id;
    let partly = shop.gateway.dashboard_refund(&intent, 1000);
    assert_eq!(partly.len(), 2, "two events tell of one change");
    shop.hear([partly.clone(), partly].concat()).await;
    let [adopted] = &shop.refunds(payment.id)[..] else { panic!("one refund") };
    assert_eq!((adopted.amount, adopted.state), (usd(1000), RefundState::Succeeded));
    assert_eq!((adopted.reason, adopted.gateway.clone()), (RefundReason::Other, Some(shop.refund_made().id)));
    let told = shop.store.audit().into_iter().find(|row| row.entry.event == "adopted").unwrap();
    assert_eq!(told.entry.actor, "stripe", "not by us");

    let error = shop.refund(payment.id, Some(2999)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "what the dashboard gave counts");
    shop.hear(shop.gateway.dashboard_refund(&intent, 2998)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert_eq!(shop.refunds(payment.id).len(), 2);
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers: R-5, I3, I24, fault 144, fault 156.
#[tokio::test]
async fn a_dashboard_refund_that_leaves_nothing_for_ours_wins_when_the_gateway_has_said_so() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::UnknownBefore);
    let ours = shop.refund(payment.id, None).await.unwrap();
    assert_eq!(ours.state, RefundState::Requested, "nobody knows yet");
    shop.receive(shop.gateway.dashboard_refund(&shop.intent(&payment).id, 3998));
    let mut wrong = Vec::new();
    for job in shop.claim(QueueName::Webhooks) {
        if let Err(error) = shop.run(&job).await {
            shop.store.retry(job.lease, Duration::MINUTE, &error).await.unwrap();
            wrong.push(error);
        }
    }
    assert!(
        wrong.len() == 1 && wrong[0].contains("Illegal"),
        "ours is reserved until it was refused: {wrong:?}"
    );
    shop.settle(Duration::minutes(10)).await;
    let states: Vec<_> = shop.refunds(payment.id).iter().map(|refund| refund.state).collect();
    assert!(states.contains(&RefundState::Failed) && states.contains(&RefundState::Succeeded), "{states:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    assert_eq!(shop.gateway.refunds_made().len(), 1);
    assert!(shop.open_breaks().is_empty(), "all of it was given back");
    shop.assert_sound();
}

/// Covers: D-15, U-3, I7, I22, I26.
#[tokio::test]
async fn a_refund_that_is_heard_of_before_its_answer_is_known_by_our_id() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.fail_call(Fault::UnknownAfter);
    let ours = shop.refund(payment.id, None).await.unwrap();
    assert_eq!((ours.state, ours.gateway), (RefundState::Requested, None));
    shop.receive(shop.gateway.events());
    for job in shop.claim(QueueName::Webhooks) {
        shop.run(&job).await.unwrap();
    }
    let [told] = &shop.refunds(payment.id)[..] else { panic!("one refund") };
    assert_eq!((told.id, told.state), (ours.id, RefundState::Succeeded));
    assert_eq!(told.gateway, Some(shop.refund_made().id), "its name is learned from the message");
    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.refunds(payment.id).len(), 1, "the answer of the call tells nothing new");
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    shop.assert_sound();
}

/// Covers: fault 22, fault 21, M-1, I4, I32.
#[tokio::test]
async fn a_refund_that_is_not_the_one_we_asked_for_is_a_break_and_moves_nothing() {
    type Lie = fn(&mut RefundSnapshot);
    let lies: [(Lie, BreakKind); 4] = [
        (|told| told.amount = Some(usd(999)), BreakKind::AmountMismatch),
        (|told| told.amount = None, BreakKind::AmountMismatch),
        (
            |told| told.amount = Some(Money::from_minor(1000, "eur".parse().unwrap()).unwrap()),
            BreakKind::AmountMismatch,
        ),
        (|told| told.mode = Some(Mode::Live), BreakKind::ModeMismatch),
    ];
    for (lie, kind) in lies {
        let shop = Shop::new();
        let (order, payment) = shop.paid_order().await;
        shop.gateway.hold_refunds(true);
        let refund = shop.refund(payment.id, Some(1000)).await.unwrap();
        let before = (shop.order(order.id), shop.payment(order.id), vec![refund]);
        let mut told = shop.refund_made().snapshot(Some(Mode::Test));
        told.sighting.standing = RefundStanding::Succeeded;
        lie(&mut told);
        for _ in 0..2 {
            shop.hear(vec![shop.gateway.refund_event("refund.updated", told.clone())]).await;
        }
        let now = (shop.order(order.id), shop.payment(order.id), shop.refunds(payment.id));
        assert_eq!(now, before, "{told:?}");
        assert_eq!(shop.breaks(), [kind], "said once: {told:?}");
    }
}

/// Covers: fault 33, R-5, O-5, I5, I11.
#[tokio::test]
async fn a_refund_event_before_the_capture_is_known_is_settled_by_a_look() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    let intent = shop.intent(&payment).id;
    let paid = shop.gateway.pay_intent(&intent);
    shop.clock.advance(Duration::SECOND);
    let refunded = shop.gateway.dashboard_refund(&intent, 3998);
    for event in refunded {
        shop.hear(vec![event]).await;
        assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    }
    shop.hear(paid).await;
    assert_eq!(shop.order(order.id).state, OrderState::Refunded, "the capture is old news");
    assert_eq!(shop.payment(order.id).returned, usd(3998));
    assert_eq!((shop.balance(Account::Sales, "usd"), shop.balance(Account::Refunds, "usd")), (-3998, 3998));
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers, I15, I30, fault 62.
#[tokio::test]
async fn cancelling_a_paid_order_gives_back_what_is_left_once() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.fulfil(order.id).await.unwrap();
    shop.refund(payment.id, Some(1000)).await.unwrap();
    let cancels = CancelOrder::new(shop.ports.clone(), shop.policy.clone());
    let operation = shop.operation();
    for _ in 0..2 {
        let failed = cancels.fulfillment_failed(operation, Actor::System, order.id, "The hat burned.").await;
        assert!(matches!(failed, Ok(Cancellation::Cancelled(_))), "{failed:?}");
    }
    assert_eq!(shop.order(order.id).state, OrderState::Refunded, "everything was sent");
    assert_eq!(shop.order(order.id).cancellation, Some(CancelReason::FulfillmentFailed));
    let made = shop.gateway.refunds_made();
    assert_eq!(made.iter().map(|refund| refund.amount.minor()).collect::<Vec<_>>(), [1000, 2998]);
    assert_eq!(made[1].metadata["failure_reason"], "The hat burned.");
    assert_eq!(shop.refunds(payment.id)[1].note.as_deref(), Some("The hat burned."));
    shop.assert_sound();

    let unpaid = shop.place().await;
    let error =
        cancels.fulfillment_failed(shop.operation(), Actor::System, unpaid.id, "No hats.").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "nothing of it could be fulfilled yet");
}

/// Covers: I13, R-3, S-5, fault 34.
#[tokio::test]
async fn a_refund_of_which_nothing_is_heard_any_more_is_asked_about() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.gateway.hold_refunds(true);
    shop.refund(payment.id, None).await.unwrap();
    drop(shop.gateway.refund_succeeds(&shop.refund_made().id));
    shop.settle(Duration::hours(2)).await;
    assert!(shop.clock_now() < after(Duration::DAY), "before the order's own timer");
    assert_eq!(shop.order(order.id).state, OrderState::Refunded);
    shop.assert_sound();
}

/// Covers: fault 34, fault 147, I1, I10.
#[tokio::test]
async fn a_total_that_went_down_tells_that_a_refund_came_back() {
    let shop = Shop::new();
    let (order, payment) = shop.paid_order().await;
    shop.refund(payment.id, Some(1000)).await.unwrap();
    drop(shop.gateway.refund_fails(&shop.refund_made().id));
    let told = shop.intent(&payment).snapshot(Mode::Test, shop.clock_now());
    shop.hear(vec![shop.gateway.event("charge.updated", told)]).await;
    assert_eq!(shop.refunds(payment.id)[0].state, RefundState::Failed);
    assert_eq!(shop.payment(order.id).refundable(), usd(3998));
    assert_eq!(shop.open_breaks(), [BreakKind::RefundFailed]);
    shop.assert_sound();
}
