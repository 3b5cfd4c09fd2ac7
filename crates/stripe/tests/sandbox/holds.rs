//! Money that is reserved first and taken later.

use paywright_domain::{
    CaptureMethod, GatewayCall, IntentId, Operation, Standing,
    ports::{Fact, Gateway, Heard},
};

use crate::{
    World, cancel,
    common::{call, create_intent},
    create_session, rejected,
};

/// Asks that money is only reserved.
fn manual(mut call: GatewayCall) -> GatewayCall {
    match &mut call.operation {
        Operation::CreateIntent { capture_method, .. } | Operation::CreateSession { capture_method, .. } => {
            *capture_method = CaptureMethod::Manual;
        }
        other => panic!("creates nothing: {other:?}"),
    }
    call
}

async fn held(world: &World, seed: u8) -> IntentId {
    let answer = world.perform(&manual(create_intent(seed))).await.unwrap();
    let intent = answer.snapshot.sighting.intent.unwrap();
    world.pay(&intent, "4242424242424242").await;
    intent
}

fn capture(seed: u8, intent: &IntentId, amount: u64) -> GatewayCall {
    call(seed, Operation::Capture { intent: intent.clone(), amount })
}

const ALL: Standing = Standing::Captured { captured: 1999, refunded: 0 };

/// Covers: C-3, fault 149.
#[tokio::test]
async fn a_hold_is_taken_whole_and_says_until_when_it_could_be() {
    let world = World::new().await;
    let intent = held(&world, 1).await;
    let seen = world.intent(&intent).await;
    assert_eq!(seen.sighting.standing, Standing::Authorized(1999));
    assert!(!seen.settled);
    let left = seen.sighting.capture_before.unwrap() - world.now().await;
    assert!((6..=7).contains(&left.whole_days()), "{left}");

    let mut call = capture(1, &intent, 1999);
    assert_eq!(world.perform(&call).await.unwrap().snapshot.sighting.standing, ALL);
    assert_eq!(world.perform(&call).await.unwrap().snapshot.sighting.standing, ALL, "the stored answer");
    call.generation += 1;
    assert_eq!(rejected(world.perform(&call).await), "payment_intent_unexpected_state");
}

/// Covers: fault 150.
#[tokio::test]
async fn a_part_of_a_hold_is_taken_once_and_the_rest_released() {
    let world = World::new().await;
    let intent = held(&world, 1).await;
    let answer = world.perform(&capture(1, &intent, 1500)).await.unwrap();
    let Standing::Captured { captured, .. } = answer.snapshot.sighting.standing else { panic!("{answer:?}") };
    assert_eq!((captured, answer.snapshot.amount.unwrap().minor()), (1500, 1999));
    let rest = GatewayCall { generation: 1, ..capture(1, &intent, 499) };
    assert_eq!(rejected(world.perform(&rest).await), "payment_intent_unexpected_state");
}

/// Covers: fault 152.
#[tokio::test]
async fn more_than_the_hold_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let intent = held(&world, 1).await;
    assert_eq!(rejected(world.perform(&capture(1, &intent, 2000)).await), "amount_too_large");
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::Authorized(1999));
}

/// Covers: fault 151.
#[tokio::test]
async fn a_voided_hold_cannot_be_taken() {
    let world = World::new().await;
    let intent = held(&world, 1).await;
    let answer = world.perform(&cancel(1, &intent)).await.unwrap();
    assert_eq!(answer.snapshot.sighting.standing, Standing::Cancelled);
    assert_eq!(rejected(world.perform(&capture(1, &intent, 1999)).await), "payment_intent_unexpected_state");
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::Cancelled);
}

/// Covers: fault 149.
#[tokio::test]
async fn a_hold_that_ran_out_is_cancelled_and_no_event_tells_otherwise() {
    let world = World::new().await;
    let intent = held(&world, 1).await;
    world.advance("8d").await;
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::Cancelled);
    rejected(world.perform(&capture(1, &intent, 1999)).await);
    let heard = world.heard().await;
    let of = |kind: &str| &heard.iter().find(|(heard, _)| heard == kind).unwrap().1;
    assert!(matches!(of("charge.expired"), Heard::Nothing(_)));
    let Heard::Fact(Fact::Payment(told)) = of("payment_intent.canceled") else { panic!("not a payment") };
    assert_eq!(told.sighting.standing, Standing::Cancelled);
    let Heard::Fact(Fact::Payment(told)) = of("charge.succeeded") else { panic!("not a payment") };
    assert_eq!(told.sighting.standing, Standing::Authorized(1999));
    assert!(told.sighting.capture_before.is_some());
}

#[tokio::test]
async fn a_page_reserves_money_where_that_was_asked() {
    let world = World::new().await;
    let call = manual(create_session(1, world.now().await + time::Duration::HOUR));
    let session = world.perform(&call).await.unwrap().snapshot.sighting.session.unwrap();
    let card = r#"{"card":"4242424242424242","email":"jenny@example.com"}"#;
    world.control(&format!("/checkout/sessions/{session}/pay"), card).await;
    let page = world.stripe.session(&session).await.unwrap().unwrap();
    let intent = page.snapshot.sighting.intent.unwrap();
    assert_eq!(world.intent(&intent).await.sighting.standing, Standing::Authorized(2000));
    let answer = world.perform(&capture(1, &intent, 2000)).await.unwrap();
    assert_eq!(answer.snapshot.sighting.standing, Standing::Captured { captured: 2000, refunded: 0 });
}

/// Covers: I1.
#[tokio::test]
async fn the_fee_is_told_as_soon_as_the_capture_is_booked() {
    let world = World::new().await;
    let intent = world.paid(1, "4242424242424242").await;
    let early = world.intent(&intent).await;
    assert_eq!((early.settled, early.sighting.settlement), (false, None), "it comes later than the capture");
    world.advance("5s").await;
    let seen = world.intent(&intent).await;
    let moved = seen.sighting.settlement.unwrap();
    assert!(seen.settled && moved.fee > 0);
    assert_eq!((moved.amount, moved.currency.code()), (1999, "usd"));
    let told = world.heard().await.into_iter().rfind(|(kind, _)| kind == "charge.updated").unwrap().1;
    let Heard::Fact(Fact::Payment(told)) = told else { panic!("not a payment") };
    assert_eq!((told.settled, told.sighting.settlement), (true, None), "the event only names it");
}
