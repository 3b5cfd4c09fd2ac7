//! Starting payments.

use std::sync::Arc;

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{Fault, builders, builders::usd};
use secrecy::ExposeSecret;
use time::Duration;

use crate::support::{Shop, about_payment, page, ready};

fn secret(started: &Started) -> &str {
    match &started.way {
        Way::ClientSecret(secret) => secret.expose_secret(),
        Way::Page(url) => panic!("a page: {url}"),
    }
}

fn url(started: &Started) -> &str {
    match &started.way {
        Way::Page(url) => url,
        Way::ClientSecret(_) => panic!("a client secret"),
    }
}

fn creates(operation: &Operation) -> bool {
    matches!(operation, Operation::CreateIntent { .. } | Operation::CreateSession { .. })
}

/// A gateway that answers truthfully, except for what `lie` changes.
fn lying(shop: &Shop, lie: fn(&mut Answer)) -> Ports {
    let mut gateway = MockGateway::new();
    let fake = shop.gateway.clone();
    gateway.expect_perform().returning(move |call| {
        ready(fake.perform(call)).map(|mut reply| {
            lie(about_payment(&mut reply));
            reply
        })
    });
    let fake = shop.gateway.clone();
    gateway.expect_intent().returning(move |id| {
        ready(fake.intent(id)).map(|found| {
            found.map(|mut answer| {
                lie(&mut answer);
                answer
            })
        })
    });
    Ports { gateway: Arc::new(gateway), ..shop.ports.clone() }
}

/// A gateway where the payment's page was finished, which is looked at once; its intent stands like this.
fn behind_finished_page(shop: &Shop, payment: &Payment, standing: Standing) -> Ports {
    let mut gateway = MockGateway::new();
    let fake = shop.gateway.clone();
    gateway.expect_perform().returning(move |call| ready(fake.perform(call)));
    let fake = shop.gateway.clone();
    gateway.expect_session().times(1).returning(move |id| {
        let mut answer = ready(fake.session(id)).unwrap().unwrap();
        answer.url = None;
        answer.snapshot.sighting.standing = Standing::Unclear;
        answer.snapshot.sighting.intent = Some(builders::intent_id());
        Ok(Some(answer))
    });
    let (payment, seen) = (payment.clone(), builders::seen(standing));
    gateway.expect_intent().times(1).returning(move |id| {
        let sighting = Sighting { intent: Some(id.clone()), ..seen.clone() };
        let snapshot = Snapshot {
            order: Some(payment.order),
            payment: Some(payment.id),
            mode: Mode::Test,
            amount: Some(payment.amount),
            sighting,
            settled: false,
            refusal: None,
            origin: Origin::default(),
        };
        Ok(Some(Answer { snapshot, client_secret: None, url: None }))
    });
    gateway.expect_disputes().returning(|_| Ok(Vec::new()));
    gateway.expect_refunds().returning(|_| Ok(Vec::new()));
    Ports { gateway: Arc::new(gateway), ..shop.ports.clone() }
}

/// Covers: I6, I5.
#[tokio::test]
async fn an_order_is_paid_by_intent() {
    let shop = Shop::new();
    let order = shop.place().await;
    let started = shop.start(order.id, Channel::PaymentIntent).await.unwrap();
    let intent = shop.intent(&started.payment);
    assert_eq!(secret(&started), format!("{}_secret_fake", intent.id));
    assert_eq!(
        (started.payment.state, started.payment.intent),
        (PaymentState::Pending, Some(intent.id.clone()))
    );
    assert_eq!((intent.amount, shop.order(order.id).state), (order.total, OrderState::PaymentProcessing));

    shop.hear(shop.gateway.pay_intent(&intent.id)).await;
    let (order, payment) = (shop.order(order.id), shop.payment(order.id));
    assert_eq!((order.state, order.paid_by), (OrderState::Paid, Some(payment.id)));
    assert_eq!((payment.state, payment.captured), (PaymentState::Captured, order.total));
    assert!(shop.breaks().is_empty());
    shop.assert_sound();
}

/// Covers: I6, W-9.
#[tokio::test]
async fn an_order_is_paid_on_the_hosted_page() {
    let shop = Shop::new();
    let order = shop.place().await;
    let started = shop.start(order.id, page("a")).await.unwrap();
    let session = shop.page(&started.payment);
    assert!(url(&started).contains(session.id.as_str()));
    assert_eq!(session.amount, order.total);

    shop.hear(shop.gateway.pay_session(&session.id)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(shop.payment(order.id).intent, Some(shop.intent(&started.payment).id));
    shop.assert_sound();
}

/// Covers: I17, I30, D-1, D-3, D-4, fault 100.
#[tokio::test]
async fn a_repeated_operation_gives_the_same_payment_and_one_intent() {
    for channel in [Channel::PaymentIntent, page("a")] {
        let shop = Shop::new();
        let order = shop.place().await;
        let operation = shop.operation();
        let first = shop.start_as(operation, order.id, channel.clone()).await.unwrap();
        let version = shop.payment(order.id).version;
        let again = shop.start_as(operation, order.id, channel).await.unwrap();
        assert_eq!(again.payment.id, first.payment.id);
        assert_eq!(format!("{:?}", again.way), format!("{:?}", first.way));
        assert_eq!(shop.payment(order.id).version, version, "that it still waits is no news");
        assert_eq!((shop.gateway.arrived().len(), shop.payable()), (1, 1));
        shop.assert_sound();
    }
}

/// Covers: D-2, D-10, fault 101, I2.
#[tokio::test]
async fn two_tabs_share_one_page() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, page("a")).await.unwrap();
    let second = shop.start(order.id, page("a")).await.unwrap();
    assert_eq!((url(&first), first.payment.id), (url(&second), second.payment.id));
    assert_eq!(shop.gateway.sessions().len(), 1);
    shop.assert_sound();
}

/// Covers: D-10, I2, fault 102, fault 103.
#[tokio::test]
async fn another_way_to_pay_ends_the_first_at_the_gateway_before_it_begins() {
    let ways = [Channel::PaymentIntent, page("a"), page("b")];
    for (from, to) in [(0, 1), (1, 0), (1, 2)] {
        let shop = Shop::new();
        let order = shop.place().await;
        let first = shop.start(order.id, ways[from].clone()).await.unwrap().payment;
        let second = shop.start(order.id, ways[to].clone()).await.unwrap().payment;
        assert_ne!(first.id, second.id);
        let states: Vec<_> = shop.payments(order.id).iter().map(|payment| payment.state).collect();
        assert_eq!(states, [PaymentState::Cancelled, PaymentState::Pending]);
        let asked: Vec<_> = shop.gateway.arrived().iter().map(|call| creates(&call.operation)).collect();
        assert_eq!(asked, [true, false, true], "create, end, create");
        assert_eq!(shop.payable(), 1);
        assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
        shop.assert_sound();
    }
}

/// Covers: D-10, I2, C-1, fault 102.
#[tokio::test]
async fn a_payment_that_is_paid_at_that_moment_pays_the_order_and_no_second_begins() {
    for (from, to) in [(Channel::PaymentIntent, page("a")), (page("a"), Channel::PaymentIntent)] {
        let shop = Shop::new();
        let order = shop.place().await;
        let first = shop.start(order.id, from.clone()).await.unwrap().payment;
        match from {
            Channel::PaymentIntent => drop(shop.gateway.pay_intent(&shop.intent(&first).id)),
            Channel::Checkout(_) => drop(shop.gateway.pay_session(&shop.page(&first).id)),
        }
        let error = shop.start(order.id, to).await.unwrap_err();
        assert!(matches!(error, StartPaymentError::Illegal(_)), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(shop.order(order.id).state, OrderState::Paid);
        assert_eq!((shop.payments(order.id).len(), shop.paid(), shop.payable()), (1, 1, 0));
        assert!(shop.breaks().is_empty());
        shop.assert_sound();
    }
}

/// Covers: I5, C-6, W-9.
#[tokio::test]
async fn a_customer_who_comes_back_finds_what_the_gateway_knows() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, page("a")).await.unwrap().payment;
    drop(shop.gateway.pay_session(&shop.page(&first).id));
    let error = shop.start(order.id, page("a")).await.unwrap_err();
    assert!(matches!(error, StartPaymentError::Illegal(_)), "paid, though no message came: {error:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Paid);

    let order = shop.place().await;
    let first = shop.start(order.id, page("a")).await.unwrap().payment;
    drop(shop.gateway.expire_session(&shop.page(&first).id));
    let second = shop.start(order.id, page("a")).await.unwrap().payment;
    assert_ne!(first.id, second.id, "the page was closed, so there is a new one");
    assert_eq!(shop.payable(), 1);
    shop.assert_sound();
}

/// Covers: A-1, I2.
#[tokio::test]
async fn a_delayed_payment_under_way_is_not_paid_a_second_time() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    drop(shop.gateway.delay_intent(&shop.intent(&first).id));
    let error = shop.start(order.id, page("a")).await.unwrap_err();
    assert!(matches!(error, StartPaymentError::InProgress), "{error:?}");
    assert_eq!((shop.payment(order.id).state, shop.payable()), (PaymentState::Processing, 1));
    assert!(!shop.payment(order.id).end_requested, "the gateway would not end it, so it goes on");
    shop.assert_sound();
}

///
#[tokio::test]
async fn a_finished_page_whose_money_is_under_way_is_looked_at_once() {
    let shop = Shop::new();
    let order = shop.place().await;
    shop.start(order.id, page("a")).await.unwrap();
    let ports = behind_finished_page(&shop, &shop.payment(order.id), Standing::Processing);
    let outcome = StartPayment::new(ports, shop.policy.clone())
        .run(shop.operation(), Actor::Shopper, order.id, page("a"))
        .await;
    assert!(matches!(outcome, Err(StartPaymentError::InProgress)), "{outcome:?}");
    assert_eq!(shop.payment(order.id).state, PaymentState::Processing);
}

/// The delayed method failed after the page was finished: its intent waits for another method, which nobody can give.
///
///
#[tokio::test]
async fn a_finished_page_whose_delayed_method_failed_is_over_and_its_order_can_be_paid_again() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, page("a")).await.unwrap().payment;
    let ports = behind_finished_page(&shop, &first, Standing::AwaitingMethod);
    let again = StartPayment::new(ports, shop.policy.clone())
        .run(shop.operation(), Actor::Shopper, order.id, page("a"))
        .await
        .unwrap();
    let states: Vec<_> = shop.payments(order.id).iter().map(|payment| payment.state).collect();
    assert_eq!(states, [PaymentState::Cancelled, PaymentState::Pending]);
    assert_eq!(again.payment.session, Some(shop.page(&again.payment).id), "a page of its own");
}

/// As above, by whoever looks without wanting to pay: the order ends, although the page can no longer be closed.
///
///
#[tokio::test]
async fn a_finished_page_whose_delayed_method_failed_holds_up_neither_a_look_nor_the_end_of_its_order() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    let ports = behind_finished_page(&shop, &payment, Standing::AwaitingMethod);
    shop.gateway.fail_call(Fault::Rejected("checkout_session_not_open".to_owned()));
    let cancelled = CancelOrder::new(ports, shop.policy.clone())
        .run(shop.operation(), Actor::Shopper, order.id, CancelReason::RequestedByCustomer)
        .await;
    assert!(matches!(cancelled, Ok(Cancellation::Cancelled(_))), "{cancelled:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Cancelled);

    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    let ports = behind_finished_page(&shop, &payment, Standing::AwaitingMethod);
    let syncs = SyncPayment::new(ports, shop.policy.clone());
    assert_eq!(syncs.run(shop.operation(), payment.id).await.unwrap().state, PaymentState::Cancelled);
}

/// Covers: fault 19, D-5.
#[tokio::test]
async fn a_refused_creation_fails_the_payment_and_a_new_operation_may_try_again() {
    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(Fault::Rejected("amount_too_small".to_owned()));
    let operation = shop.operation();
    let error = shop.start_as(operation, order.id, Channel::PaymentIntent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(matches!(&error, StartPaymentError::Refused(no) if no.code == "amount_too_small"), "{error:?}");
    assert_eq!(shop.payment(order.id).state, PaymentState::Failed);

    let again = shop.start_as(operation, order.id, Channel::PaymentIntent).await.unwrap_err();
    assert!(matches!(again, StartPaymentError::InProgress), "one operation starts one payment: {again:?}");
    let second = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    shop.hear(shop.gateway.pay_intent(&shop.intent(&second).id)).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    shop.assert_sound();
}

/// Covers: fault 18.
#[tokio::test]
async fn wrong_credentials_fail_no_payment() {
    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(Fault::NotAllowed);
    let error = shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    assert!(matches!(error, StartPaymentError::Gateway(GatewayError::NotAllowed(_))), "{error:?}");
    assert_eq!(shop.payment(order.id).state, PaymentState::Created);

    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.payment(order.id).state, PaymentState::Pending, "once they are right again, it goes on");
    shop.assert_sound();
}

/// Covers: fault 1, fault 2, fault 3, fault 16, I18, I24, I26, T-1, U-2, D-3, W-7 (the part about calls).
#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_the_worker_with_the_same_key() {
    let faults = [Fault::UnknownBefore, Fault::UnknownAfter, Fault::NotDone { after: None }];
    for fault in faults {
        for channel in [Channel::PaymentIntent, page("a")] {
            let shop = Shop::new();
            let order = shop.place().await;
            shop.gateway.fail_call(fault.clone());
            let operation = shop.operation();
            let error = shop.start_as(operation, order.id, channel.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            let waiting = shop.start(order.id, channel.clone()).await.unwrap_err();
            assert!(matches!(waiting, StartPaymentError::InProgress), "{waiting:?}");

            shop.settle(Duration::MINUTE).await;
            let keys: Vec<_> = shop.gateway.arrived().into_iter().map(|call| call.key).collect();
            assert_eq!(keys.len(), 2, "{fault:?}");
            assert_eq!(keys[0], keys[1]);
            assert_eq!(shop.payable(), 1, "{fault:?}: one object");
            let again = shop.start_as(operation, order.id, channel).await.unwrap();
            assert_eq!(
                (again.payment.state, again.payment.id),
                (PaymentState::Pending, shop.payment(order.id).id)
            );
            shop.assert_sound();
        }
    }
}

/// Covers: fault 21, fault 22, I4, M-1, M-2.
#[tokio::test]
async fn the_way_to_pay_another_payment_is_never_handed_out() {
    type Lie = fn(&mut Answer);
    // The last field: whether it shows in an object that we know by its name, too.
    let lies: [(Lie, BreakKind, bool); 3] = [
        (|answer| answer.snapshot.amount = Some(usd(1)), BreakKind::AmountMismatch, true),
        (|answer| answer.snapshot.mode = Mode::Live, BreakKind::ModeMismatch, true),
        (
            |answer| answer.snapshot.payment = Some(PaymentId::from_uuid(uuid::Uuid::max())),
            BreakKind::IdentityMismatch,
            false,
        ),
    ];
    for (lie, kind, always) in lies {
        // At its creation.
        let shop = Shop::new();
        let order = shop.place().await;
        let starts = StartPayment::new(lying(&shop, lie), shop.policy.clone());
        let outcome = starts.run(shop.operation(), Actor::Shopper, order.id, Channel::PaymentIntent).await;
        assert!(matches!(outcome, Err(StartPaymentError::Gateway(_))), "{outcome:?}");
        assert_eq!((shop.breaks(), shop.payment(order.id).state), (vec![kind], PaymentState::Created));

        if !always {
            continue;
        }
        // And when it is looked at again.
        let shop = Shop::new();
        let order = shop.place().await;
        let known = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
        let starts = StartPayment::new(lying(&shop, lie), shop.policy.clone());
        for _ in 0..2 {
            let outcome =
                starts.run(shop.operation(), Actor::Shopper, order.id, Channel::PaymentIntent).await;
            assert!(matches!(outcome, Err(StartPaymentError::Gateway(_))), "{outcome:?}");
        }
        assert_eq!((shop.breaks(), shop.payment(order.id)), (vec![kind], known), "said once, nothing moved");
    }
}

#[tokio::test]
async fn an_order_that_takes_no_money_starts_no_payment() {
    let shop = Shop::new();
    let foreign = shop.start(builders::new_id(shop.clock_now()), page("a")).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);

    let order = shop.place().await;
    let live = Policy { mode: Mode::Live, ..shop.policy.clone() };
    let starts = StartPayment::new(shop.ports.clone(), live);
    let other_mode = starts.run(shop.operation(), Actor::Shopper, order.id, page("a")).await.unwrap_err();
    assert_eq!(other_mode.kind(), ErrorKind::NotFound, "another mode's orders do not exist here");

    shop.cancel(order.id).await.unwrap();
    let cancelled = shop.start(order.id, page("a")).await.unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Conflict);
    assert!(shop.gateway.arrived().is_empty());
}

/// Covers: FACTS section 6.
#[tokio::test]
async fn a_page_is_open_between_half_an_hour_and_a_day() {
    for (lifetime, minutes) in
        [(Duration::minutes(5), 31), (Duration::hours(2), 120), (Duration::days(9), 1380)]
    {
        let mut shop = Shop::new();
        shop.policy.order_lifetime = lifetime;
        let order = shop.place().await;
        let payment = shop.start(order.id, page("a")).await.unwrap().payment;
        assert_eq!(shop.page(&payment).expires_at, shop.clock_now() + Duration::minutes(minutes));
    }
}

/// Covers: I2, D-10.
#[tokio::test]
async fn a_payment_that_is_being_ended_is_not_handed_out_again() {
    let shop = Shop::new();
    let order = shop.place().await;
    let first = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.gateway.fail_call(Fault::UnknownBefore);
    let changed = shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    assert_eq!(changed.kind(), ErrorKind::Unavailable, "{changed:?}");
    assert!(shop.payment(order.id).end_requested);
    let back = shop.start(order.id, page("a")).await.unwrap_err();
    assert!(matches!(back, StartPaymentError::InProgress), "{back:?}");

    shop.settle(Duration::MINUTE).await;
    let second = shop.start(order.id, page("a")).await.unwrap().payment;
    assert_ne!(first.id, second.id);
    assert_eq!(shop.payable(), 1);
    shop.assert_sound();
}

/// Covers: fault 10, I18.
#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_a_bug_and_fails_no_payment() {
    let shop = Shop::new();
    let order = shop.place().await;
    let mut gateway = MockGateway::new();
    gateway.expect_perform().returning(|_| Err(GatewayError::KeyReused { message: "other".to_owned() }));
    gateway.expect_find().returning(|_| Ok(None));
    let ports = Ports { gateway: Arc::new(gateway), ..shop.ports.clone() };
    let starts = StartPayment::new(ports, shop.policy.clone());
    let error = starts.run(shop.operation(), Actor::Shopper, order.id, page("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug, "{error:?}");
    assert_eq!(shop.payment(order.id).state, PaymentState::Created, "it may exist");
    assert_eq!(shop.store.calls().len(), 1, "never another key");
}
