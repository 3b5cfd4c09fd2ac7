//! Somebody else is faster, or the store is away for a moment.

use paywright_domain::{ports::*, usecase::*, *};
use time::Duration;

use crate::support::{Blow, Shop, page};

/// How often somebody else may be faster before a use case gives up.
const ATTEMPTS: usize = 8;

/// Runs each use case up to its commit, with `blows` for the commits that follow.
async fn each(blows: &[Blow], goes_well: bool) {
    let says = |name: &str, outcome: Result<(), String>| match (outcome, goes_well) {
        (Ok(()), true) | (Err(_), false) => {}
        (Ok(()), false) => panic!("{name} went well with {} blows", blows.len()),
        (Err(error), true) => panic!("{name}: {error}"),
    };
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
    says("expire", shop.run(&job).await);

    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.receive(shop.gateway.pay_session(&shop.page(&payment).id));
    let job = shop.claim(QueueName::Webhooks).remove(0);
    strike(&shop);
    says("record", shop.run(&job).await);

    let shop = Shop::new();
    let order = shop.place().await;
    shop.gateway.fail_call(paywright_testkit::Fault::UnknownBefore);
    shop.start(order.id, page("a")).await.unwrap_err();
    shop.clock.advance(Duration::MINUTE);
    let job = shop.claim(QueueName::Effects).remove(0);
    strike(&shop);
    says("perform", shop.run(&job).await);

    let shop = Shop::new();
    let order = shop.place().await;
    let payment = shop.start(order.id, page("a")).await.unwrap().payment;
    shop.hear(shop.gateway.pay_session(&shop.page(&payment).id)).await;
    strike(&shop);
    says("advance", told(shop.advance_as(shop.operation(), order.id, Advance::StartFulfillment).await));
}

/// Covers: D-11, fault 65, I16.
#[tokio::test]
async fn a_conflict_is_decided_again_on_fresh_state_up_to_a_bound() {
    for conflicts in 1..ATTEMPTS {
        each(&vec![Blow::Conflict; conflicts], true).await;
    }
    each(&[Blow::Conflict; ATTEMPTS], false).await;
}

/// Covers: fault 66, fault 70.
#[tokio::test]
async fn a_store_that_is_away_is_an_error_that_may_be_tried_again() {
    each(&[Blow::FailBefore], false).await;
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
    let error = cancels.await.unwrap_err();
    assert!(matches!(&error, CancelOrderError::Illegal(no) if no.from == "paid"), "{error:?}");
    assert_eq!(shop.order(order.id).state, OrderState::Paid);
    assert_eq!(shop.gateway.arrived().len(), 1, "nothing was asked of the gateway");
}
