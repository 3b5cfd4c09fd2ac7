//! Performing recorded calls.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::{Fault, JobState, builders};
use time::Duration;

use crate::{
    fate::Blow,
    support::{Shop, about_payment, page, ready},
};

fn performs(shop: &Shop) -> PerformCall {
    PerformCall::new(shop.ports.clone(), shop.policy.clone())
}

/// A payment whose creation was recorded and sent, with an outcome that nobody knows.
async fn unknown(shop: &Shop, fault: Fault) -> (Order, GatewayCall) {
    let order = shop.place().await;
    shop.gateway.fail_call(fault);
    shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    (order, shop.store.calls().remove(0))
}

/// Covers: I18, I26, I30, T-1, fault 3, fault 85.
#[tokio::test]
async fn a_call_performed_twice_is_one_payment() {
    let shop = Shop::new();
    let (order, call) = unknown(&shop, Fault::UnknownAfter).await;
    shop.clock.advance(Duration::HOUR);
    let [job] = &shop.claim(QueueName::Effects)[..] else { panic!("one call") };
    let first = performs(&shop).run(job.lease).await.unwrap();
    assert_eq!((first.payment.state, first.answer.is_some()), (PaymentState::Pending, true));
    let again = performs(&shop).run(job.lease).await.unwrap();
    assert_eq!((again.payment, again.answer.is_none()), (first.payment, true), "it was answered before");
    assert_eq!((shop.gateway.intents().len(), shop.gateway.arrived().len()), (1, 2));
    assert!(shop.gateway.arrived().iter().all(|arrived| arrived.key == call.key()));
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
    shop.assert_sound();
}

/// Covers: I19, fault 27, I18.
#[tokio::test]
async fn a_call_that_the_gateway_may_have_forgotten_is_never_sent() {
    let shop = Shop::new();
    let (order, call) = unknown(&shop, Fault::UnknownBefore).await;
    shop.clock.set(call.recorded_at + GatewayCall::SEND_WITHIN - Duration::SECOND);
    assert!(call.may_be_sent(shop.clock_now()));
    shop.clock.advance(Duration::SECOND);
    let jobs = shop.claim(QueueName::Effects);
    let job = jobs.iter().find(|job| job.task == Task::PerformCall(call.id)).unwrap();
    shop.gateway.fail_look(Fault::UnknownBefore);
    let error = performs(&shop).run(job.lease).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(shop.payment(order.id).state, PaymentState::Created, "it may exist: only a search can tell");
    let start = shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    assert!(matches!(start, StartPaymentError::InProgress), "{start:?}");

    performs(&shop).run(job.lease).await.unwrap();
    assert_eq!(shop.gateway.arrived().len(), 1, "nothing was sent");
    assert_eq!(shop.store.calls(), [GatewayCall { state: CallState::Absent, ..call }]);
    assert_eq!(
        shop.payment(order.id).state,
        PaymentState::Failed,
        "the gateway has none, and nobody waits for it"
    );
}

/// Covers: fault 18, fault 9, fault 11.
#[tokio::test]
async fn a_call_that_was_not_performed_stays_recorded() {
    for fault in [Fault::NotAllowed, Fault::NotDone { after: None }, Fault::UnknownBefore] {
        let shop = Shop::new();
        let (order, call) = unknown(&shop, fault.clone()).await;
        shop.clock.advance(Duration::MINUTE);
        shop.gateway.fail_call(fault.clone());
        let [job] = &shop.claim(QueueName::Effects)[..] else { panic!("one call") };
        let error = performs(&shop).run(job.lease).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{fault:?}");
        assert_eq!(shop.store.calls(), [call]);
        assert_eq!(shop.payment(order.id).state, PaymentState::Created, "{fault:?} fails no payment");
    }
}

/// The first request under the key may have been performed, so nothing is known.
///
/// Covers: fault 10, I18.
#[tokio::test]
async fn a_key_that_was_used_for_another_request_neither_fails_the_payment_nor_gets_another_key() {
    let shop = Shop::new();
    let (order, call) = unknown(&shop, Fault::UnknownBefore).await;
    shop.clock.advance(Duration::MINUTE);
    shop.gateway.fail_call(Fault::KeyReused);
    let [job] = &shop.claim(QueueName::Effects)[..] else { panic!("one call") };
    let error = performs(&shop).run(job.lease).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug, "{error:?}");
    assert_eq!(shop.store.calls(), [call]);
    assert_eq!(shop.payment(order.id).state, PaymentState::Created);
    let start = shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    assert!(matches!(start, StartPaymentError::InProgress), "no second payment: {start:?}");
}

/// Covers: I16, I27, fault 90, fault 91.
#[tokio::test]
async fn a_worker_that_lost_its_lease_has_no_effect() {
    let shop = Shop::new();
    let (order, _) = unknown(&shop, Fault::UnknownBefore).await;
    shop.clock.advance(Duration::MINUTE);
    let zombie = shop.claim(QueueName::Effects).remove(0);
    shop.clock.advance(Duration::MINUTE);
    let next = shop.claim(QueueName::Effects).remove(0);
    let error = performs(&shop).run(zombie.lease).await.unwrap_err();
    assert!(matches!(error, PerformCallError::Store(StoreError::LeaseLost)), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(shop.payment(order.id).state, PaymentState::Created);

    performs(&shop).run(next.lease).await.unwrap();
    assert_eq!(shop.payment(order.id).state, PaymentState::Pending);
    assert_eq!(shop.gateway.intents().len(), 1, "the zombie's call carried the same key");
    shop.assert_sound();
}

/// Covers: I27, fault 91.
#[tokio::test]
async fn every_use_case_of_a_job_leaves_no_effect_when_its_lease_is_lost() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.receive(shop.gateway.pay_session(&shop.page(&payment).id));
    let events = shop.claim(QueueName::Webhooks);
    shop.clock.set(order.expires_at);
    let timers = shop.claim(QueueName::Effects);
    let (before, jobs) = (shop.order(order.id), [events, timers].concat());
    assert_eq!(jobs.len(), 3);
    for job in jobs {
        shop.fate.next_commits([Blow::LeaseLost]);
        let error = shop.run(&job).await.unwrap_err();
        assert!(error.contains("LeaseLost"), "{error}");
        assert_eq!((shop.order(order.id), shop.payment(order.id).state), (before.clone(), payment.state));
    }
    let lost = CancelOrderError::Store(StoreError::LeaseLost);
    assert_eq!(lost.kind(), ErrorKind::Unavailable, "somebody else does it: not our fault");
}

/// Covers: T-2.
#[tokio::test]
async fn a_call_that_was_never_recorded_is_not_made() {
    let shop = Shop::new();
    let lease = Lease { job: builders::new_id(shop.clock_now()), token: 1 };
    let error = performs(&shop).run(lease).await.unwrap_err();
    assert!(matches!(error, PerformCallError::UnknownCall), "{error:?}");
    assert!(shop.gateway.arrived().is_empty());
}

/// Covers: fault 22, I4, M-1.
#[tokio::test]
async fn an_answer_about_another_payment_is_a_break_and_moves_nothing() {
    let shop = Shop::new();
    let (order, _) = unknown(&shop, Fault::UnknownBefore).await;
    let mut gateway = MockGateway::new();
    let fake = shop.gateway.clone();
    gateway.expect_perform().returning(move |call| {
        ready(fake.perform(call)).map(|mut reply| {
            about_payment(&mut reply).snapshot.amount = Some(builders::usd(1));
            reply
        })
    });
    shop.clock.advance(Duration::MINUTE);
    let [job] = &shop.claim(QueueName::Effects)[..] else { panic!("one call") };
    let ports = Ports { gateway: std::sync::Arc::new(gateway), ..shop.ports.clone() };
    PerformCall::new(ports, shop.policy.clone()).run(job.lease).await.unwrap();
    assert_eq!(shop.breaks(), [BreakKind::AmountMismatch]);
    assert_eq!(shop.payment(order.id).state, PaymentState::Created);
    assert_eq!(shop.order(order.id).state, OrderState::PaymentProcessing);
}

/// Covers: C-2, I24.
#[tokio::test]
async fn a_refused_end_is_explained_by_a_look_and_waits_for_it() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    drop(shop.gateway.pay_intent(&shop.intent(&payment).id));
    shop.gateway.fail_look(Fault::UnknownBefore);
    assert!(matches!(shop.cancel(order.id).await, Ok(Cancellation::Requested(_))), "refused, but why?");
    assert_eq!(shop.store.calls()[1].state, CallState::Recorded);
    shop.settle(Duration::MINUTE).await;
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(shop.store.calls()[1].state, CallState::Rejected);
    shop.assert_sound();
}

/// The gateway refuses to end a payment that it does not let us see, of an order that is cancelled already.
///
/// Covers: I13.
#[tokio::test]
async fn a_refused_end_of_a_cancelled_orders_payment_completes_its_job() {
    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(Fault::Rejected("api_error".to_owned()));
    let failed = shop.start(order.id, Channel::PaymentIntent).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Refused);
    shop.cancel(order.id).await.unwrap();

    // It exists after all.
    let payment = shop.payment(order.id);
    let mut sighting = builders::seen(Standing::Processing);
    sighting.intent = Some(builders::intent_id());
    let told = Snapshot {
        order: Some(payment.order),
        payment: Some(payment.id),
        mode: Mode::Test,
        amount: Some(payment.amount),
        sighting,
        settled: false,
        refusal: None,
        origin: Origin::default(),
    };
    shop.hear(vec![shop.gateway.event("payment_intent.processing", told)]).await;
    let call = shop.calls("cancel_intent").remove(0);
    let job = shop.store.jobs().into_iter().find(|job| job.id == call.id).unwrap();
    let note = job.note.as_deref();
    assert_eq!(
        (job.state, note),
        (JobState::Done, Some("rejected: resource_missing")),
        "asked to end, refused"
    );
    assert_eq!(
        (shop.order(order.id).state, shop.payment(order.id).end_requested),
        (OrderState::Cancelled, false)
    );
}
