//! Money on its way back.

use std::collections::BTreeSet;

use paywright_domain::{
    GatewayCall, IntentId, Metadata, Money, Operation, RefundId, RefundStanding, Standing, Subject,
    ports::{Fact, Gateway, GatewayError, Heard, RefundSnapshot, Reply},
};

use crate::{
    World,
    common::{NOW, call},
    rejected,
};

impl World {
    pub(crate) async fn refund(&self, call: &GatewayCall) -> Result<RefundSnapshot, GatewayError> {
        about_refund(self.stripe.perform(call).await)
    }
}

/// The answer of a call about a refund.
pub(crate) fn about_refund(outcome: Result<Reply, GatewayError>) -> Result<RefundSnapshot, GatewayError> {
    outcome.map(|reply| match reply {
        Reply::Refund(snapshot) => *snapshot,
        other => panic!("not about a refund: {other:?}"),
    })
}

/// Refunds of the same `n` are the same.
pub(crate) fn create_refund(seed: u8, n: u8, intent: &IntentId, amount: u64) -> GatewayCall {
    let reason = Some("duplicate".to_owned());
    let metadata = Metadata::from([("paywright_reason".to_owned(), "duplicate".to_owned())]);
    let operation = Operation::CreateRefund { intent: intent.clone(), amount, reason, metadata };
    GatewayCall { subject: Subject::Refund(RefundId::from_parts(NOW, &[n; 10])), ..call(seed, operation) }
}

/// Covers: I7.
#[tokio::test]
async fn a_refund_is_made_once_and_names_ours() {
    let world = World::new().await;
    let intent = world.paid(1, "4242424242424242").await;
    let call = create_refund(1, 1, &intent, 500);
    let made = world.refund(&call).await.unwrap();
    assert_eq!(made.refund.map(Subject::Refund), Some(call.subject));
    assert_eq!((made.payment, made.intent.as_ref()), (Some(call.payment), Some(&intent)));
    assert_eq!(made.amount, Money::from_minor(500, "usd".parse().unwrap()).ok());
    assert_eq!(
        (made.sighting.standing, made.reason.as_deref()),
        (RefundStanding::Succeeded, Some("duplicate"))
    );
    let moved = made.sighting.settlement.clone().unwrap();
    assert_eq!((moved.amount, moved.fee), (-500, 0));
    assert!((made.created_at - world.now().await).abs() <= time::Duration::seconds(2));

    let again = world.refund(&call).await.unwrap();
    assert_eq!(again.sighting.id, made.sighting.id);
    let all = world.stripe.refunds(&intent).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0].sighting, all[0].refund), (&made.sighting, made.refund));
    let taken = world.intent(&intent).await.sighting.standing;
    assert_eq!(taken, Standing::Captured { captured: 1999, refunded: 500 });
}

/// Covers: I3, R-1, fault 143.
#[tokio::test]
async fn more_than_was_taken_is_refused_with_a_code_to_show() {
    let world = World::new().await;
    let intent = world.paid(1, "4242424242424242").await;
    assert_eq!(rejected(world.refund(&create_refund(1, 1, &intent, 2000)).await), "invalid_amount");
    world.refund(&create_refund(1, 2, &intent, 1999)).await.unwrap();
    assert_eq!(rejected(world.refund(&create_refund(1, 3, &intent, 1)).await), "charge_already_refunded");
    assert_eq!(world.stripe.refunds(&intent).await.unwrap().len(), 1);
}

/// Covers: fault 145.
#[tokio::test]
async fn disputed_money_is_not_given_back() {
    let world = World::new().await;
    let intent = world.paid(1, "4000000000000259").await;
    assert_eq!(rejected(world.refund(&create_refund(1, 1, &intent, 500)).await), "charge_disputed");
    assert!(world.stripe.refunds(&intent).await.unwrap().is_empty());
}

///
#[tokio::test]
async fn a_pending_refund_succeeds_later() {
    let world = World::new().await;
    let intent = world.paid(1, "4000000000007726").await;
    let made = world.refund(&create_refund(1, 1, &intent, 500)).await.unwrap();
    assert_eq!(made.sighting.standing, RefundStanding::Pending);
    world.advance("1m").await;
    let seen = world.stripe.refunds(&intent).await.unwrap().remove(0).sighting;
    assert_eq!((&seen.id, seen.standing), (&made.sighting.id, RefundStanding::Succeeded));
    assert_eq!(told(&world, "refund.updated").await.sighting.standing, RefundStanding::Succeeded);
}

/// Covers: I10, R-2, fault 147.
#[tokio::test]
async fn a_refund_that_had_succeeded_comes_back_with_its_money() {
    let world = World::new().await;
    let intent = world.paid(1, "4000000000005126").await;
    let made = world.refund(&create_refund(1, 1, &intent, 500)).await.unwrap();
    assert_eq!(made.sighting.standing, RefundStanding::Succeeded);
    world.advance("1m").await;
    let seen = world.stripe.refunds(&intent).await.unwrap().remove(0).sighting;
    assert_eq!(seen.standing, RefundStanding::Failed);
    assert!(seen.failure.is_some());
    assert_eq!(seen.settlement.unwrap().amount, -500);
    assert_eq!(seen.reversal.unwrap().amount, 500);
    let told = told(&world, "refund.failed").await;
    assert_eq!((told.sighting.standing, told.refund), (RefundStanding::Failed, made.refund));
    let taken = world.intent(&intent).await.sighting.standing;
    assert_eq!(taken, Standing::Captured { captured: 1999, refunded: 0 });
}

/// Covers: R-5, fault 28, fault 156.
#[tokio::test]
async fn all_refunds_of_a_payment_are_listed_over_many_pages_and_no_others() {
    let world = World::new().await;
    let intent = world.paid(1, "4242424242424242").await;
    let other = world.paid(2, "4242424242424242").await;
    world.post("/v1/refunds", format!("payment_intent={other}&amount=1")).await;
    for _ in 0..205 {
        world.post("/v1/refunds", format!("payment_intent={intent}&amount=2")).await;
    }
    let all = world.stripe.refunds(&intent).await.unwrap();
    assert_eq!(all.len(), 205);
    let names: BTreeSet<_> = all.iter().map(|refund| &refund.sighting.id).collect();
    assert_eq!(names.len(), 205, "each once");
    assert!(all.iter().all(|refund| refund.refund.is_none() && refund.intent.as_ref() == Some(&intent)));
    let missing = IntentId::try_from("pi_missing".to_owned()).unwrap();
    assert!(world.stripe.refunds(&missing).await.is_ok_and(|refunds| refunds.is_empty()));
}

/// What the newest event of this type tells of a refund.
async fn told(world: &World, kind: &str) -> RefundSnapshot {
    match world.heard().await.into_iter().rfind(|(heard, _)| heard == kind) {
        Some((_, Heard::Fact(Fact::Refund(snapshot)))) => *snapshot,
        other => panic!("{kind}: {other:?}"),
    }
}
