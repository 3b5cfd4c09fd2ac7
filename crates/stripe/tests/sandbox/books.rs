//! What moved in the balance, and what left it for the bank.

use paywright_domain::{
    IntentId, PayoutId,
    ports::{Archive, BookEntry, Payout},
};

use crate::{World, all, refunds::create_refund};

/// Paid and available at once.
const AT_ONCE: &str = "4000000000000077";

async fn booked(world: &World) -> Vec<BookEntry> {
    let window = world.always().await;
    all(|after| world.stripe.transactions(window, after)).await
}

async fn payouts(world: &World) -> Vec<Payout> {
    let window = world.always().await;
    all(|after| world.stripe.payouts(window, after)).await
}

async fn paid_out(world: &World, payout: &PayoutId) -> Vec<BookEntry> {
    all(|after| world.stripe.paid_out(payout, after)).await
}

fn net(rows: &[BookEntry], own: bool) -> i64 {
    let rows = rows.iter().filter(|row| row.payout.is_some() == own);
    rows.map(|row| row.moved.amount - row.moved.fee).sum()
}

fn of(rows: &[BookEntry], kind: &str) -> BookEntry {
    let rows: Vec<_> = rows.iter().filter(|row| row.kind == kind).collect();
    assert_eq!(rows.len(), 1, "{kind}: {rows:?}");
    rows[0].clone()
}

/// Covers: S-5, I1.
#[tokio::test]
async fn each_movement_names_what_it_belongs_to() {
    let world = World::new().await;
    let intent = world.paid(1, AT_ONCE).await;
    world.advance("5s").await;
    let refund = world.refund(&create_refund(1, 1, &intent, 500)).await.unwrap().sighting.id;
    world.control(&format!("/refunds/{refund}/fail"), "{}").await;
    world.post("/v1/payouts", "amount=100&currency=usd".to_owned()).await;
    let disputed = world.paid(2, "4000000000000259").await;
    world.advance("5s").await;

    let rows = booked(&world).await;
    let about = |row: &BookEntry| (row.intent.clone(), row.refund.clone(), row.dispute.is_some());
    let charges: Vec<_> = rows.iter().filter(|row| row.kind == "charge").collect();
    let intents: Vec<Option<&IntentId>> = charges.iter().map(|row| row.intent.as_ref()).collect();
    assert_eq!(intents, [Some(&disputed), Some(&intent)]);
    assert!(
        charges.iter().all(|row| row.refund.is_none() && row.source.as_ref().unwrap().starts_with("ch_"))
    );
    assert_eq!((charges[1].moved.amount, charges[1].moved.fee), (1999, 88));
    let given = of(&rows, "refund");
    assert_eq!(about(&given), (Some(intent.clone()), Some(refund.clone()), false));
    assert_eq!(given.moved.amount, -500);
    let back = of(&rows, "refund_failure");
    assert_eq!(about(&back), (Some(intent), Some(refund), false));
    let taken = of(&rows, "adjustment");
    assert_eq!(about(&taken), (Some(disputed), None, true));
    assert_eq!((taken.moved.amount, taken.moved.fee), (-1999, 1500));
    let left = of(&rows, "payout");
    assert_eq!((left.moved.amount, left.intent.is_some()), (-100, false));
    assert_eq!(left.payout.unwrap().as_str(), left.source.unwrap());
}

/// Covers: S-6.
#[tokio::test]
async fn a_payout_is_what_it_paid_out_to_the_cent() {
    let world = World::new().await;
    let intent = world.paid(1, AT_ONCE).await;
    world.paid(2, "4242424242424242").await;
    world.advance("5s").await;
    world.refund(&create_refund(1, 1, &intent, 500)).await.unwrap();
    world.advance("26h").await;
    let first = payouts(&world).await;
    assert_eq!(first.len(), 1);
    assert!(first[0].automatic && !first[0].taken);
    assert_eq!((first[0].status.as_str(), first[0].amount.minor()), ("in_transit", 1999 - 88 - 500));
    assert_eq!(first[0].arrives_at - first[0].created_at, time::Duration::DAY);

    world.advance("120h").await;
    let all = payouts(&world).await;
    assert_eq!(all.len(), 2, "the other payment became available later");
    for payout in &all {
        assert_eq!(payout.status, "paid");
        let rows = paid_out(&world, &payout.id).await;
        let amount = i64::try_from(payout.amount.minor()).unwrap();
        assert_eq!((net(&rows, false), net(&rows, true)), (amount, -amount));
        assert!(rows.iter().all(|row| row.payout.is_none() || row.payout.as_ref() == Some(&payout.id)));
    }
}

/// Covers: S-6.
#[tokio::test]
async fn a_payout_that_failed_is_named_by_what_gave_it_back() {
    let world = World::new().await;
    world.paid(1, AT_ONCE).await;
    world.advance("72h").await;
    let failed = payouts(&world).await.remove(0);
    world.control(&format!("/payouts/{}/fail", failed.id), "{}").await;
    let now = payouts(&world).await.remove(0);
    assert_eq!((&now.id, now.status.as_str(), now.has_failed()), (&failed.id, "failed", true));
    let back = of(&booked(&world).await, "payout_failure");
    assert_eq!((back.payout, back.moved.amount), (Some(failed.id), 1911));
    world.advance("26h").await;
    let next = payouts(&world).await.remove(0);
    let rows = paid_out(&world, &next.id).await;
    assert_eq!((next.amount.minor(), of(&rows, "payout_failure").moved.amount), (1911, 1911));
}

/// Covers: fault 28.
#[tokio::test]
async fn a_payout_of_many_payments_is_listed_whole() {
    let world = World::new().await;
    let form = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_bypassPending";
    for _ in 0..130 {
        world.post("/v1/payment_intents", form.to_owned()).await;
    }
    world.advance("26h").await;
    let payout = payouts(&world).await.remove(0);
    let rows = paid_out(&world, &payout.id).await;
    assert_eq!((rows.len(), net(&rows, false)), (131, 130 * (1000 - 59)));
}

/// By hand: Stripe does not say what it is made of.
#[tokio::test]
async fn a_payout_by_hand_is_told_as_one_and_an_unknown_one_is_refused() {
    let world = World::new().await;
    world.paid(1, AT_ONCE).await;
    world.advance("5s").await;
    world.post("/v1/payouts", "amount=100&currency=usd".to_owned()).await;
    let made = payouts(&world).await.remove(0);
    assert!(!made.automatic);
    assert_eq!(made.amount.minor(), 100);
    let nobody = PayoutId::try_from("po_missing".to_owned()).unwrap();
    assert_eq!(crate::rejected(world.stripe.paid_out(&nobody, None).await), "resource_missing");
}
