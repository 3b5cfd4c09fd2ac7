//! What Stripe keeps of payments, refunds and disputes, also of those that are not ours.

use std::collections::HashSet;

use paywright_domain::{
    DisputeStatus, RefundStanding, Standing,
    ports::{Archive, Window},
};

use crate::{World, all, common::create_intent, refunds::create_refund};

/// Covers: S-5, I1.
#[tokio::test]
async fn payments_are_listed_with_what_they_moved_ours_and_others() {
    let world = World::new().await;
    let paid = world.paid(1, "4242424242424242").await;
    let early = world.stripe.payments(world.always().await, None).await.unwrap().rows;
    assert_eq!(early[0].sighting.settlement, None, "it is booked a little later");
    world.many(1).await;
    world.advance("5s").await;

    let listed = world.stripe.payments(world.always().await, None).await.unwrap();
    assert_eq!((listed.rows.len(), listed.next), (2, None));
    let [foreign, ours] = &listed.rows[..] else { panic!() };
    assert_eq!((ours.payment, ours.sighting.intent.as_ref()), (Some(create_intent(1).payment), Some(&paid)));
    assert_eq!(ours.sighting.standing, Standing::Captured { captured: 1999, refunded: 0 });
    let moved = ours.sighting.settlement.as_ref().unwrap();
    assert_eq!((moved.amount, moved.fee), (1999, 88));
    assert_eq!((foreign.payment, &foreign.sighting.standing), (None, &Standing::AwaitingMethod));
}

/// Covers: fault 28, I24.
#[tokio::test]
async fn nothing_is_missed_or_listed_twice_while_more_is_made() {
    let world = World::new().await;
    let first = world.created_intent(1).await;
    world.many(204).await;
    let window = world.always().await;
    let (mut names, mut parts, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let part = world.stripe.payments(window, after).await.unwrap();
        parts.push(part.rows.len());
        names.extend(part.rows.into_iter().map(|payment| payment.sighting.intent.unwrap()));
        world.many(3).await;
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(parts, [100, 100, 5]);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 205);
    assert_eq!(names.last(), Some(&first));
}

#[tokio::test]
async fn refunds_are_listed_also_those_of_the_dashboard() {
    let world = World::new().await;
    let intent = world.paid(1, "4242424242424242").await;
    let call = create_refund(1, 1, &intent, 500);
    let ours = world.refund(&call).await.unwrap();
    let path = format!("/payment_intents/{intent}/refund");
    let theirs = world.control(&path, r#"{"amount":300}"#).await["id"].as_str().unwrap().to_owned();
    world.control(&format!("/refunds/{theirs}/fail"), "{}").await;

    let listed = world.stripe.refunds(world.always().await, None).await.unwrap().rows;
    let [failed, made] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&made.sighting, made.refund, made.payment), (&ours.sighting, ours.refund, ours.payment));
    assert_eq!((failed.sighting.id.as_str(), failed.intent.as_ref()), (theirs.as_str(), Some(&intent)));
    assert_eq!((failed.refund, failed.sighting.standing), (None, RefundStanding::Failed));
    let moved = |of: &Option<paywright_domain::BalanceTransaction>| of.as_ref().unwrap().amount;
    assert_eq!((moved(&failed.sighting.settlement), moved(&failed.sighting.reversal)), (-300, 300));
}

#[tokio::test]
async fn disputes_are_listed_with_what_they_moved() {
    let world = World::new().await;
    let intent = world.paid(1, "4000000000000259").await;
    let listed = world.stripe.disputes(world.always().await, None).await.unwrap().rows;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].intent.as_ref(), &listed[0].sighting.status),
        (Some(&intent), &DisputeStatus::NeedsResponse)
    );
    assert_eq!(listed[0].movements.iter().map(|moved| moved.amount).collect::<Vec<_>>(), [-1999]);
}

#[tokio::test]
async fn a_window_before_everything_is_empty() {
    let world = World::new().await;
    world.paid(1, "4000000000000259").await;
    let before = world.now().await - time::Duration::HOUR;
    let window = Window { from: before - time::Duration::HOUR, before };
    assert!(all(|after| world.stripe.payments(window, after)).await.is_empty());
    assert!(all(|after| world.stripe.refunds(window, after)).await.is_empty());
    assert!(all(|after| world.stripe.disputes(window, after)).await.is_empty());
    assert!(all(|after| world.stripe.transactions(window, after)).await.is_empty());
    assert!(all(|after| world.stripe.payouts(window, after)).await.is_empty());
}
