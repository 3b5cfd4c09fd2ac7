//! Customers who ask their bank for the money back.

use std::collections::BTreeMap;

use paywright_domain::{
    DisputeStatus, Evidence, GatewayCall, GatewayDisputeId, IntentId, Operation,
    ports::{DisputeSnapshot, Fact, Gateway, GatewayError, Heard, Reply},
};

use crate::{World, common::call, rejected};

async fn disputed(world: &World, card: &str) -> (IntentId, DisputeSnapshot) {
    let intent = world.paid(1, card).await;
    let disputes = world.stripe.disputes(&intent).await.unwrap();
    assert_eq!(disputes.len(), 1);
    (intent, disputes.into_iter().next().unwrap())
}

async fn answer(world: &World, call: &GatewayCall) -> Result<DisputeSnapshot, GatewayError> {
    world.stripe.perform(call).await.map(|reply| match reply {
        Reply::Dispute(snapshot) => *snapshot,
        other => panic!("not about a dispute: {other:?}"),
    })
}

async fn looked(world: &World, id: &GatewayDisputeId) -> DisputeSnapshot {
    world.stripe.dispute(id).await.unwrap().unwrap()
}

fn evidence(text: &str) -> Evidence {
    Evidence::parse(BTreeMap::from([("uncategorized_text".to_owned(), text.to_owned())])).unwrap()
}

fn amounts(dispute: &DisputeSnapshot) -> Vec<(i64, bool)> {
    dispute.movements.iter().map(|moved| (moved.amount, moved.fee > 0)).collect()
}

/// Covers: fault 148, X-1, X-2, X-4.
#[tokio::test]
async fn a_dispute_is_answered_and_won_and_its_money_comes_back_without_the_fee() {
    let world = World::new().await;
    let (intent, dispute) = disputed(&world, "4000000000000259").await;
    let seen = &dispute.sighting;
    assert_eq!((&seen.status, seen.reason.as_str()), (&DisputeStatus::NeedsResponse, "fraudulent"));
    assert_eq!((seen.amount.minor(), seen.submitted, seen.refundable), (1999, false, false));
    assert_eq!(dispute.intent, Some(intent));
    assert!(seen.due_by.unwrap() > world.now().await);
    assert_eq!(amounts(&dispute), [(-1999, true)]);

    let name = dispute.id.clone();
    let stage = Operation::StageEvidence { dispute: name.clone(), evidence: evidence("winning_evidence") };
    let staged = answer(&world, &call(1, stage)).await.unwrap().sighting;
    assert_eq!((staged.status, staged.submitted), (DisputeStatus::NeedsResponse, false));
    let submit = Operation::SubmitEvidence { dispute: name.clone(), evidence: evidence("winning_evidence") };
    let mut submit = call(1, submit);
    let submitted = answer(&world, &submit).await.unwrap().sighting;
    assert_eq!((submitted.status, submitted.submitted), (DisputeStatus::UnderReview, true));

    world.advance("1h").await;
    let won = looked(&world, &name).await;
    assert_eq!((&won.sighting.status, won.sighting.due_by), (&DisputeStatus::Won, None));
    assert_eq!(amounts(&won), [(-1999, true), (1999, false)]);
    submit.generation += 1;
    rejected(answer(&world, &submit).await);
}

/// Covers: fault 148.
#[tokio::test]
async fn an_accepted_dispute_is_lost() {
    let world = World::new().await;
    let (_, dispute) = disputed(&world, "4000000000000259").await;
    let mut close = call(1, Operation::CloseDispute { dispute: dispute.id.clone() });
    assert_eq!(answer(&world, &close).await.unwrap().sighting.status, DisputeStatus::Lost);
    close.generation += 1;
    rejected(answer(&world, &close).await);
    assert_eq!(amounts(&looked(&world, &dispute.id).await), [(-1999, true)]);
}

/// Covers: fault 145, fault 148.
#[tokio::test]
async fn an_inquiry_moves_nothing_and_leaves_the_payment_refundable() {
    let world = World::new().await;
    let (_, dispute) = disputed(&world, "4000000000001976").await;
    assert_eq!(dispute.sighting.status, DisputeStatus::WarningNeedsResponse);
    assert!(dispute.sighting.refundable && dispute.movements.is_empty());
}

/// Covers: I23, X-1.
#[tokio::test]
async fn each_event_of_a_dispute_names_it_and_its_payment() {
    let world = World::new().await;
    let (intent, dispute) = disputed(&world, "4000000000000259").await;
    let submit =
        Operation::SubmitEvidence { dispute: dispute.id.clone(), evidence: evidence("winning_evidence") };
    answer(&world, &call(1, submit)).await.unwrap();
    world.advance("1h").await;
    let mut kinds = Vec::new();
    for (kind, heard) in world.heard().await {
        if let Heard::Fact(Fact::Dispute(told)) = heard {
            assert_eq!((&told.id, told.intent.as_ref()), (&dispute.id, Some(&intent)), "{kind}");
            kinds.push(kind.trim_start_matches("charge.dispute.").to_owned());
        }
    }
    assert_eq!(kinds, ["created", "funds_withdrawn", "updated", "funds_reinstated", "closed"]);
}

#[tokio::test]
async fn what_is_no_dispute_is_none() {
    let world = World::new().await;
    let missing = GatewayDisputeId::try_from("du_missing".to_owned()).unwrap();
    assert!(world.stripe.dispute(&missing).await.unwrap().is_none());
    let intent = world.paid(1, "4242424242424242").await;
    assert!(world.stripe.disputes(&intent).await.unwrap().is_empty());
}
