//! Outcomes that no answer told: found by our own id, in lists.

use paywright_domain::{
    GatewayCall, Mode, Operation,
    ports::{Gateway, GatewayError, Reply},
};

use crate::{
    World,
    common::{about_payment, call, create_intent},
    create_session,
    refunds::{about_refund, create_refund},
};

/// A call that is being sent now.
async fn fresh(world: &World, call: GatewayCall) -> GatewayCall {
    GatewayCall { recorded_at: world.now().await, ..call }
}

async fn found(world: &World, call: &GatewayCall) -> Option<Reply> {
    world.stripe.find(call).await.unwrap()
}

/// Covers: I24, U-3, fault 2.
#[tokio::test]
async fn a_payment_whose_answer_was_lost_is_found() {
    let world = World::new().await;
    let call = fresh(&world, create_intent(1)).await;
    assert!(found(&world, &call).await.is_none());
    world.fault("reset", true, "/v1/payment_intents", 2).await;
    let lost = world.perform(&call).await;
    assert!(matches!(lost, Err(GatewayError::Unknown(_))), "{lost:?}");
    let answer = about_payment(Ok(found(&world, &call).await.unwrap())).unwrap();
    assert_eq!(answer.snapshot.payment, Some(call.payment));
    assert!(answer.client_secret.is_some(), "the customer can go on");
    let other = fresh(&world, create_intent(2)).await;
    assert!(found(&world, &other).await.is_none(), "it is of another payment");
}

/// Covers: I24, D-7, fault 14, fault 15.
#[tokio::test]
async fn a_stored_500_spends_the_key_and_what_it_did_is_found() {
    let world = World::new().await;
    for (seed, effect) in [(1, true), (2, false)] {
        let call = fresh(&world, create_intent(seed)).await;
        world.fault("error_500", effect, "/v1/payment_intents", 1).await;
        let first = world.perform(&call).await;
        assert!(matches!(first, Err(GatewayError::Unknown(_))), "{first:?}");
        let again = world.perform(&call).await;
        assert!(matches!(again, Err(GatewayError::Spent(_))), "{again:?}");
        assert_eq!(found(&world, &call).await.is_some(), effect);
    }
}

/// Covers: I24.
#[tokio::test]
async fn a_page_whose_answer_was_lost_is_found() {
    let world = World::new().await;
    let expires_at = world.now().await + time::Duration::HOUR;
    let call = fresh(&world, create_session(1, expires_at)).await;
    assert!(found(&world, &call).await.is_none());
    world.fault("error_500", true, "/v1/checkout/sessions", 1).await;
    assert!(world.perform(&call).await.is_err());
    let page = about_payment(Ok(found(&world, &call).await.unwrap())).unwrap();
    assert_eq!(page.snapshot.payment, Some(call.payment));
    assert!(page.url.is_some() && page.snapshot.sighting.session.is_some());
}

/// Covers: I7, I24, U-3, fault 144.
#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_found_by_our_id() {
    let world = World::new().await;
    let intent = world.paid(1, "4242424242424242").await;
    world.refund(&create_refund(1, 1, &intent, 500)).await.unwrap();
    let call = create_refund(1, 2, &intent, 500);
    assert!(found(&world, &call).await.is_none(), "another refund of the same amount is not this one");
    world.fault("error_500", true, "/v1/refunds", 1).await;
    assert!(world.refund(&call).await.is_err());
    let refund = about_refund(Ok(found(&world, &call).await.unwrap())).unwrap();
    assert_eq!(refund.intent, Some(intent));
    assert!(refund.sighting.settlement.is_some());
}

/// Covers: fault 28.
#[tokio::test]
async fn it_is_found_behind_many_newer_ones_and_the_first_of_two_counts() {
    let world = World::new().await;
    let call = fresh(&world, create_intent(1)).await;
    let first = world.perform(&call).await.unwrap().snapshot.sighting.intent;
    let second = GatewayCall { generation: 1, ..call.clone() };
    assert_ne!(world.perform(&second).await.unwrap().snapshot.sighting.intent, first);
    for _ in 0..120 {
        world.post("/v1/payment_intents", "amount=500&currency=usd".to_owned()).await;
    }
    let answer = about_payment(Ok(found(&world, &call).await.unwrap())).unwrap();
    assert_eq!(answer.snapshot.sighting.intent, first);
}

/// What an error of its own left half done Stripe may complete hours later, when the key is not known any more.
///
/// Covers: I24, D-7.
#[tokio::test]
async fn what_was_made_before_the_call_is_not_it_and_what_came_long_after_is() {
    let world = World::new().await;
    let call = fresh(&world, create_intent(1)).await;
    world.perform(&call).await.unwrap();
    for (hours, is_it) in [(2, false), (0, true), (-22, true), (-30, true), (-100, true)] {
        let recorded_at = call.recorded_at + time::Duration::hours(hours);
        let seen = found(&world, &GatewayCall { recorded_at, ..call.clone() }).await;
        assert_eq!(seen.is_some(), is_it, "{hours}");
    }
}

#[tokio::test]
async fn what_changes_something_is_not_searched_for_and_the_other_mode_is_not_asked() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    assert!(found(&world, &call(1, Operation::Capture { intent, amount: 1 })).await.is_none());
    let live = GatewayCall { mode: Mode::Live, ..create_intent(1) };
    assert!(matches!(world.stripe.find(&live).await, Err(GatewayError::NotAllowed(_))));
}
