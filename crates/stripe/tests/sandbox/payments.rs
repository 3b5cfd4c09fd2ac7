//! Payments and pages: made, paid, declined, ended.

use paywright_domain::{
    IntentId, Mode, Money, Operation, SessionId, Standing,
    ports::{Gateway, GatewayError, Snapshot},
};
use secrecy::ExposeSecret;

use crate::{
    World, cancel,
    common::{call, create_intent, stripe_with},
    rejected,
};

#[tokio::test]
async fn a_new_intent_waits_for_a_method_and_names_our_payment() {
    let world = World::new().await;
    let call = create_intent(1);
    let answer = world.perform(&call).await.unwrap();
    let Snapshot { order, payment, mode, amount, settled, sighting, refusal, origin } = answer.snapshot;
    assert_eq!(order, Some(call.order));
    assert_eq!((payment, mode, settled, refusal), (Some(call.payment), Mode::Test, false, None));
    assert_eq!(amount, Money::from_minor(1999, "usd".parse().unwrap()).ok());
    assert_eq!(sighting.standing, Standing::AwaitingMethod);
    let intent = sighting.intent.unwrap();
    assert!(answer.client_secret.unwrap().expose_secret().starts_with(intent.as_str()));
    assert!(origin.request.unwrap().starts_with("req_"));
    assert!((sighting.at - world.now().await).abs() <= time::Duration::seconds(2));
}

/// Covers: fault 2, fault 3.
#[tokio::test]
async fn a_repeat_under_the_same_key_is_the_same_intent_and_tells_of_its_birth() {
    let world = World::new().await;
    let call = create_intent(1);
    let first = world.perform(&call).await.unwrap();
    world.pay(first.snapshot.sighting.intent.as_ref().unwrap(), "4000002760003184").await;
    world.advance("1h").await;
    let again = world.perform(&call).await.unwrap();
    assert_eq!(first.snapshot.sighting.intent, again.snapshot.sighting.intent);
    assert_eq!(again.snapshot.sighting.standing, Standing::AwaitingMethod, "the stored answer");
    let later = again.snapshot.sighting.at - first.snapshot.sighting.at;
    assert!(later.abs() <= time::Duration::seconds(2), "not of the hour of the repeat: {later}");
    let events = world.events().await;
    assert_eq!(events.iter().filter(|event| event.kind == "payment_intent.created").count(), 1);
}

/// Covers: fault 10.
#[tokio::test]
async fn the_same_key_with_other_parameters_is_a_refusal_of_its_own() {
    let world = World::new().await;
    let mut call = create_intent(1);
    world.perform(&call).await.unwrap();
    if let Operation::CreateIntent { amount, .. } = &mut call.operation {
        *amount += 1;
    }
    let outcome = world.perform(&call).await;
    assert!(matches!(outcome, Err(GatewayError::KeyReused { .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_amount_that_stripe_does_not_take_is_rejected() {
    let world = World::new().await;
    let mut call = create_intent(1);
    if let Operation::CreateIntent { amount, .. } = &mut call.operation {
        *amount = 1;
    }
    assert_eq!(rejected(world.perform(&call).await), "amount_too_small");
}

#[tokio::test]
async fn an_intent_is_cancelled_once_and_then_rejected() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    let mut call = cancel(1, &intent);
    let answer = world.perform(&call).await.unwrap();
    assert_eq!(answer.snapshot.sighting.standing, Standing::Cancelled);
    let again = world.perform(&call).await.unwrap();
    assert_eq!(again.snapshot.sighting.standing, Standing::Cancelled, "the stored answer");
    call.generation += 1;
    assert_eq!(rejected(world.perform(&call).await), "payment_intent_unexpected_state");
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::Cancelled);
}

#[tokio::test]
async fn a_paid_intent_cannot_be_cancelled_and_tells_what_was_taken_and_given_back() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4242424242424242").await;
    assert_eq!(rejected(world.perform(&cancel(1, &intent)).await), "payment_intent_unexpected_state");
    let taken = world.intent(&intent).await.sighting.standing;
    assert_eq!(taken, Standing::Captured { captured: 1999, refunded: 0 });
    world.post("/v1/refunds", format!("payment_intent={intent}&amount=500")).await;
    let taken = world.intent(&intent).await.sighting.standing;
    assert_eq!(taken, Standing::Captured { captured: 1999, refunded: 500 });
}

/// Covers: fault 19.
#[tokio::test]
async fn a_decline_is_shown_once_however_often_we_look_and_can_be_followed_by_a_payment() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4000000000009995").await;
    let seen = world.intent(&intent).await;
    let refusal = seen.refusal.unwrap();
    assert_eq!(seen.sighting.standing, Standing::AwaitingMethod);
    assert_eq!(
        (refusal.code.as_str(), refusal.decline_code.as_deref()),
        ("card_declined", Some("insufficient_funds"))
    );
    assert_eq!(refusal.message, "Your card has insufficient funds.");
    assert_eq!(world.intent(&intent).await.refusal.unwrap().key, refusal.key);
    world.pay(&intent, "4242424242424242").await;
    let seen = world.intent(&intent).await;
    assert_eq!(
        (seen.sighting.standing, seen.refusal),
        (Standing::Captured { captured: 1999, refunded: 0 }, None)
    );
}

#[tokio::test]
async fn three_d_secure_asks_the_customer_and_its_failure_is_a_decline() {
    let world = World::new().await;
    let intent = world.created_intent(1).await;
    world.pay(&intent, "4000002760003184").await;
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::ActionRequired);
    world.control(&format!("/payment_intents/{intent}/authenticate"), r#"{"outcome":"fail"}"#).await;
    let seen = world.intent(&intent).await;
    assert_eq!(seen.sighting.standing, Standing::AwaitingMethod);
    assert_eq!(seen.refusal.unwrap().code, "payment_intent_authentication_failure");
}

#[tokio::test]
async fn a_session_is_open_and_then_expired_once() {
    let world = World::new().await;
    let (session, answer) = world.created_session(1).await;
    assert_eq!(answer.snapshot.payment, Some(create_intent(1).payment));
    assert_eq!(answer.snapshot.amount.map(Money::minor), Some(2000));
    assert_eq!(answer.snapshot.sighting.standing, Standing::AwaitingMethod);
    assert!(answer.url.unwrap().starts_with("http"));
    let mut call = call(1, Operation::ExpireSession { session: session.clone() });
    let answer = world.perform(&call).await.unwrap();
    assert_eq!((answer.snapshot.sighting.standing, answer.url), (Standing::Cancelled, None));
    call.generation += 1;
    rejected(world.perform(&call).await);
    let seen = world.stripe.session(&session).await.unwrap().unwrap();
    assert_eq!(seen.snapshot.sighting.standing, Standing::Cancelled);
}

#[tokio::test]
async fn a_paid_session_names_its_intent_which_says_that_it_is_paid() {
    let world = World::new().await;
    let (session, _) = world.created_session(1).await;
    let pay = format!("/checkout/sessions/{session}/pay");
    world.control(&pay, r#"{"card":"4000000000000002","email":"jenny@example.com"}"#).await;
    let seen = world.stripe.session(&session).await.unwrap().unwrap();
    assert_eq!(seen.snapshot.sighting.standing, Standing::AwaitingMethod, "a decline leaves it open");
    world.control(&pay, r#"{"card":"4242424242424242","email":"jenny@example.com"}"#).await;
    let seen = world.stripe.session(&session).await.unwrap().unwrap();
    assert_eq!((seen.snapshot.sighting.standing, seen.url), (Standing::Unclear, None));
    let intent = world.intent(&seen.snapshot.sighting.intent.unwrap()).await;
    assert_eq!(intent.sighting.standing, Standing::Captured { captured: 2000, refunded: 0 });
    assert_eq!(intent.payment, Some(create_intent(1).payment), "our metadata reached the intent");
}

#[tokio::test]
async fn what_does_not_exist_is_none_and_what_is_of_the_other_mode_neither() {
    let world = World::new().await;
    let missing = IntentId::try_from("pi_missing".to_owned()).unwrap();
    assert!(world.stripe.intent(&missing).await.unwrap().is_none());
    let missing = SessionId::try_from("cs_test_missing".to_owned()).unwrap();
    assert!(world.stripe.session(&missing).await.unwrap().is_none());
    let intent = world.created_intent(1).await;
    let live = stripe_with(world.sandbox.url(), |settings| {
        settings.mode = Mode::Live;
        settings.secret_key = "sk_live_canary".to_owned().into();
    });
    assert!(live.intent(&intent).await.unwrap().is_none());
}
