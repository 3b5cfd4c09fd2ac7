//! Somebody else is faster, or the store is away for a moment.

use paywright_domain::{ports::*, usecase::*, *};
use time::Duration;

use crate::{
    fate::Blow,
    support::{Shop, page},
};

/// How often somebody else may be faster before a use case gives up.
const ATTEMPTS: usize = 8;
/// The same, where many decide about one payment at once.
const ATTEMPTS_CONTENDED: usize = 300;

/// Runs each use case up to its commit, with `blows` for the commits that follow. Which go well is up to how often they
/// decide again.
async fn each(blows: &[Blow], goes_well: impl Fn(usize) -> bool) {
    let told_of =
        |name: &str, attempts: usize, outcome: Result<(), String>| match (outcome, goes_well(attempts)) {
            (Ok(()), true) | (Err(_), false) => {}
            (Ok(()), false) => panic!("{name} went well with {} blows", blows.len()),
            (Err(error), true) => panic!("{name}: {error}"),
        };
    let says = |name: &str, outcome| told_of(name, ATTEMPTS, outcome);
    let says_contended = |name: &str, outcome| told_of(name, ATTEMPTS_CONTENDED, outcome);
    let strike = |shop: &Shop| shop.fate.next_commits(blows.iter().copied());
    fn told<T, E: std::fmt::Debug>(outcome: Result<T, E>) -> Result<(), String> {
        outcome.map(drop).map_err(|error| format!("{error:?}"))
    }

    let shop = Shop::new();
    strike(&shop);
    says("place", told(shop.place_as(shop.operation(), shop.hats(1)).await));

    let shop = Shop::new();
    let order = shop.place().await;
    strike(&shop);
    says("start", told(shop.start(order.id, page("a")).await));

    let shop = Shop::new();
    let order = shop.place().await;
    strike(&shop);
    says("cancel", told(shop.cancel(order.id).await));

    let shop = Shop::new();
    let order = shop.place().await;
    shop.clock.set(order.expires_at);
    let job = shop.claim(QueueName::Effects).remove(0);
    strike(&shop);
    says_contended("watch", shop.run(&job).await);

    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.receive(shop.gateway.pay_session(&shop.page(&payment).id));
    let job = shop.claim(QueueName::Webhooks).remove(0);
    strike(&shop);
    says_contended("record", shop.run(&job).await);

    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(paywright_testkit::Fault::UnknownBefore);
    shop.start(order.id, page("a")).await.unwrap_err();
    shop.clock.advance(Duration::MINUTE);
    let job = shop.claim(QueueName::Effects).remove(0);
    strike(&shop);
    says_contended("perform", shop.run(&job).await);

    let (shop, (_, payment)) = paid().await;
    strike(&shop);
    says_contended("refund", told(shop.refund(payment.id, Some(1)).await));

    let (shop, (_, payment)) = paid().await;
    drop(shop.gateway.dashboard_refund(&shop.intent(&payment).id, 1));
    strike(&shop);
    says_contended("sync", told(shop.sync(payment.id).await));

    let (shop, (_, payment)) = paid().await;
    shop.hear(shop.gateway.open_dispute(&shop.intent(&payment).id, 3998, false)).await;
    strike(&shop);
    says("answer", told(shop.answer(shop.dispute().id, Say::Accept).await));

    let (shop, (_, payment)) = held().await;
    strike(&shop);
    says("capture", told(shop.capture(payment.id, None).await));

    let (shop, (_, payment)) = held().await;
    strike(&shop);
    says("void", told(shop.void(payment.id).await));

    let (shop, (order, _)) = held().await;
    strike(&shop);
    says("take first", told(shop.fulfil(order.id).await));

    let (shop, (order, _)) = paid().await;
    strike(&shop);
    says("give back", told(shop.cancel(order.id).await));

    let (shop, (order, _)) = paid().await;
    strike(&shop);
    says("advance", told(shop.fulfil(order.id).await));
}

async fn paid() -> (Shop, (Order, Payment)) {
    let shop = Shop::new();
    let paid = shop.paid_order().await;
    (shop, paid)
}

async fn held() -> (Shop, (Order, Payment)) {
    let shop = Shop::new();
    let held = shop.held_order().await;
    (shop, held)
}

/// Covers: D-11, fault 65, I16.
#[tokio::test]
async fn a_conflict_is_decided_again_on_fresh_state_up_to_a_bound() {
    for conflicts in [1, 2, ATTEMPTS - 1, ATTEMPTS, ATTEMPTS_CONTENDED - 1, ATTEMPTS_CONTENDED] {
        each(&vec![Blow::Conflict; conflicts], |attempts| conflicts < attempts).await;
    }
}

/// Covers: fault 66, fault 70.
#[tokio::test]
async fn a_store_that_is_away_is_an_error_that_may_be_tried_again() {
    each(&[Blow::FailBefore], |_| false).await;
}

/// Covers: D-11, I16.
#[tokio::test]
async fn a_decision_after_a_conflict_sees_what_the_other_one_did() {
    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, Channel::PaymentIntent).await.unwrap().payment;
    shop.receive(shop.gateway.pay_intent(payment.intent.as_ref().unwrap()));
    let job = shop.claim(QueueName::Webhooks).remove(0);

    // Cancelling reads the order, then the event is read, then cancelling commits.
    shop.fate.pause(true);
    let mut cancels = Box::pin(shop.cancel(order.id));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..2 {
        assert!(cancels.as_mut().poll(&mut context).is_pending());
    }
    shop.fate.pause(false);
    shop.run(&job).await.unwrap();
    assert!(matches!(cancels.await, Ok(Cancellation::Cancelled(_))));
    assert_eq!(shop.order(order.id).state, OrderState::Refunded, "it saw the money, and gave it back");
    let asked: Vec<_> = shop.gateway.arrived().iter().map(|call| call.operation.name()).collect();
    assert_eq!(asked, ["create_intent", "create_refund"], "there was nothing to end any more");
}
