//! Refunds: kept whole, unique by the gateway's name, and never more than was taken.

use std::sync::Arc;

use paywright_domain::{
    Applied, Mode, Payment, PaymentEvent, PaymentId, Refund, RefundDraft, RefundEvent, RefundId,
    RefundReason, RefundSighting, RefundStanding, RefundState,
    ports::{Committed, Page, StoreError},
};
use time::Duration;

use super::{
    Backend,
    stage::{Stage, at_once},
};
use crate::builders::{
    self, ChangesExt, Steps, adopted_refund, gateway_refund_id, new_id, refund, refund_draft, refund_seen,
    transaction, usd,
};

/// Every field, from the request to the money's return, with the payment's totals beside it.
///
/// Covers: I7, I10, R-2, R-3.
pub async fn every_step_of_a_refund_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, mut payment) = stage.paid().await;
    let draft = RefundDraft {
        reason: RefundReason::FulfillmentFailed,
        note: Some("zerbrochen — 壊れた ' \" \\ %".to_owned()),
        created_at: stage.now - Duration::microseconds(1),
        ..refund_draft(usd(1998))
    };
    let birth = Refund::request(&payment, draft);
    let mut refund = birth.after().clone();
    payment = stage.give_back(&payment, birth).await;
    assert_refund(&stage, &refund).await;
    let bare = refund_seen(&gateway_refund_id(), RefundStanding::Pending);
    let sent = RefundSighting {
        standing: RefundStanding::Succeeded,
        settlement: Some(transaction(-1998, 0)),
        ..bare.clone()
    };
    let back = RefundSighting {
        standing: RefundStanding::Failed,
        failure: Some("lost_or_stolen_card".to_owned()),
        reversal: Some(transaction(1998, 0)),
        ..sent.clone()
    };
    for (seen, refunded, returned) in [(bare, 1998, 0), (sent, 1998, 1998), (back, 0, 0)] {
        let step = refund.step(RefundEvent::Seen(seen));
        refund = step.after().clone();
        payment = stage.give_back(&payment, *step).await;
        assert_refund(&stage, &refund).await;
        assert_eq!((payment.refunded, payment.returned), (usd(refunded), usd(returned)));
        assert_eq!(stage.payment(payment.id).await.unwrap().as_ref(), Some(&payment));
    }
}

/// One that the gateway refused, one that was withdrawn there, and one that somebody made there.
///
/// Covers: I7, R-5, R-7.
pub async fn every_end_of_a_refund_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, mut payment) = stage.paid().await;
    let withdrawn = refund_seen(&gateway_refund_id(), RefundStanding::Cancelled);
    let refused = RefundEvent::Refused("charge_disputed".to_owned());
    let ends = [(refused, RefundState::Failed), (RefundEvent::Seen(withdrawn), RefundState::Cancelled)];
    let mut all = Vec::new();
    for (event, state) in ends {
        let birth = refund(&payment, usd(3998));
        let step = birth.after().step(event);
        let refund = step.after().clone();
        assert_eq!(refund.state, state);
        payment = stage.give_back(&payment, birth).await;
        payment = stage.give_back(&payment, *step).await;
        assert_refund(&stage, &refund).await;
        all.push(refund);
    }
    let adopted = adopted_refund(&payment, usd(1));
    all.push(adopted.after().clone());
    payment = stage.give_back(&payment, adopted).await;
    assert_refund(&stage, &all[2]).await;
    assert_eq!(stage.refunds(payment.id).await.unwrap(), all);
}

/// Two steps of a refund and the two of its payment that follow are one unit.
///
/// Covers: I14, I22.
pub async fn a_refund_may_be_born_and_seen_at_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let birth = adopted_refund(&payment, usd(500));
    let name = birth.after().gateway.clone().unwrap();
    let sent = birth.after().step(RefundEvent::Seen(refund_seen(&name, RefundStanding::Succeeded)));
    let refund = sent.after().clone();
    let reserved = builders::moved(payment.follow_refund(&birth).unwrap());
    let returned = builders::moved(reserved.after().follow_refund(&sent).unwrap());
    let after = returned.after().clone();
    stage.now(stage.request().step(birth).step(reserved).step(sent).step(returned)).await;
    assert_refund(&stage, &refund).await;
    assert_eq!(stage.payment(payment.id).await.unwrap(), Some(after));
}

/// A refund decided on an old version, or born twice, or never born.
///
/// Covers: I16, D-15.
pub async fn a_stale_step_of_a_refund_changes_nothing(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let birth = refund(&payment, usd(1000));
    let requested = birth.after().clone();
    let payment = stage.give_back(&payment, birth.clone()).await;
    let seen = |standing| RefundEvent::Seen(refund_seen(&gateway_refund_id(), standing));
    let pending = requested.step(seen(RefundStanding::Pending));
    let current = pending.after().clone();
    stage.now(stage.request().step(pending)).await;
    stage.conflicts(stage.request().step(birth)).await;
    stage.conflicts(stage.request().step(requested.step(seen(RefundStanding::Succeeded)))).await;
    let never_born = refund(&payment, usd(1)).after().clone();
    stage.conflicts(stage.request().step(never_born.step(seen(RefundStanding::Pending)))).await;
    assert_refund(&stage, &current).await;
    assert_eq!(stage.refunds(payment.id).await.unwrap(), [current]);
}

/// What the gateway calls by one name is one refund here, whoever tells of it first.
///
/// Covers: I7, I22, D-13, D-15.
pub async fn a_refund_of_the_gateway_belongs_to_one(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let (_, other) = stage.paid().await;
    let adopted = adopted_refund(&payment, usd(1000));
    let owner = adopted.after().clone();
    let payment = stage.give_back(&payment, adopted).await;
    let name = owner.gateway.clone().unwrap();
    for payment in [&payment, &other] {
        let twin = Refund::adopt(payment, refund_draft(usd(1000)), name.clone());
        let id = twin.after().id;
        stage.conflicts(stage.giving_back(payment, twin).0).await;
        assert_eq!(stage.refund(id).await.unwrap(), None);
        assert_eq!(stage.payment(payment.id).await.unwrap().as_ref(), Some(payment));
    }
    let thief = refund(&other, usd(1));
    let theft = thief.after().step(RefundEvent::Seen(refund_seen(&name, RefundStanding::Pending)));
    stage.give_back(&other, thief).await;
    stage.conflicts(stage.request().step(theft)).await;
    assert_refund(&stage, &owner).await;
}

/// The rules of the core never ask for it; should they fail, the store still refuses, whole.
///
/// Covers: I3, R-1, fault 81, fault 143.
pub async fn more_is_never_given_back_than_was_taken(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let forged = [
        Payment { refunded: usd(3999), ..payment.clone() },
        Payment { refunded: usd(10), returned: usd(11), ..payment.clone() },
    ];
    for forged in forged {
        let changes = stage.request().step(forged.step(PaymentEvent::Unwanted));
        let cause = changes.cause;
        let outcome = stage.commit(changes).await;
        assert!(matches!(outcome, Err(StoreError::Bug(_))), "{outcome:?}");
        assert!(!stage.knows(cause).await.unwrap());
        assert_eq!(stage.payment(payment.id).await.unwrap().as_ref(), Some(&payment));
    }
    let whole = Payment { refunded: usd(3998), returned: usd(3998), ..payment };
    stage.now(stage.request().step(whole.step(PaymentEvent::Unwanted))).await;
}

/// Many ask for a part of the same money at the same time: as many get it as it is enough for.
///
/// Covers: I3, I16, R-1, fault 143.
pub async fn refunds_at_once_never_reserve_more_than_was_taken(backend: Arc<dyn Backend>) {
    const TASKS: usize = 24;
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let outcomes = at_once((0..TASKS).map(|_| reserve(stage.clone(), payment.id, 700)));
    let reserved = outcomes.await.into_iter().filter(|reserved| *reserved).count();
    assert_eq!(reserved, 5, "of 39.98 USD, 7.00 USD each");
    let payment = stage.payment(payment.id).await.unwrap().unwrap();
    let refunds = stage.refunds(payment.id).await.unwrap();
    assert_eq!((refunds.len(), payment.refunded), (5, usd(3500)));
}

/// Decides again after each conflict, as the use cases do.
async fn reserve(stage: Stage, payment: PaymentId, minor: u64) -> bool {
    loop {
        let payment = stage.payment(payment).await.unwrap().unwrap();
        let birth = refund(&payment, usd(minor));
        let Ok(Applied::Moved(follows)) = payment.follow_refund(&birth) else { return false };
        match stage.commit(stage.request().step(birth).step(follows)).await {
            Ok(Committed::Now) => return true,
            Err(StoreError::Conflict) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Pages follow each other without a gap or a repetition, of all payments or one, and of one mode.
///
/// Covers: I32, S-1.
pub async fn refunds_are_listed_newest_first_in_pages(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let list = async |mode, payment, limit, after| {
        let listed = stage.list_refunds(mode, payment, Page { limit, after }).await.unwrap();
        let ids: Vec<RefundId> = listed.rows.iter().map(|refund| refund.id).collect();
        (ids, listed.has_more)
    };
    assert_eq!(list(Mode::Test, None, 3, None).await, (vec![], false));
    let ((_, mut first), (_, mut second)) = (stage.paid().await, stage.paid().await);
    let mut ids = Vec::new();
    for seconds in 0..5 {
        let draft =
            RefundDraft { id: new_id(stage.now + Duration::seconds(seconds)), ..refund_draft(usd(7)) };
        ids.insert(0, draft.id);
        let payment = if seconds % 2 == 0 { &mut first } else { &mut second };
        *payment = stage.give_back(payment, Refund::request(payment, draft)).await;
    }
    assert_eq!(list(Mode::Test, None, 5, None).await, (ids.clone(), false));
    assert_eq!(list(Mode::Test, None, 2, None).await, (ids[..2].to_vec(), true));
    assert_eq!(list(Mode::Test, None, 2, Some(ids[1])).await, (ids[2..4].to_vec(), true));
    assert_eq!(list(Mode::Test, None, 2, Some(ids[3])).await, (ids[4..].to_vec(), false));
    assert_eq!(list(Mode::Test, Some(second.id), 10, None).await, (vec![ids[1], ids[3]], false));
    assert_eq!(list(Mode::Test, Some(first.id), 1, Some(ids[1])).await, (vec![ids[2]], true));
    assert_eq!(list(Mode::Live, None, 10, None).await, (vec![], false));
}

async fn assert_refund(stage: &Stage, refund: &Refund) {
    assert_eq!(stage.refund(refund.id).await.unwrap().as_ref(), Some(refund));
    assert!(stage.refunds(refund.payment).await.unwrap().contains(refund));
    if let Some(name) = &refund.gateway {
        assert_eq!(stage.refund_by_gateway(name).await.unwrap().as_ref(), Some(refund));
    }
}
