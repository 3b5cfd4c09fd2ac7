//! The ledger and the breaks: each movement and each difference once, whoever tells it how often.

use futures::future::join_all;
use paywright_domain::{
    Actor, BreakKind, Changes, Journal, Mode, Resolution,
    ports::{BreakView, Page, Reader, Store},
};
use paywright_testkit::{
    ManualClock,
    builders::{self, ChangesExt},
};
use time::Duration;

use crate::{schema::refusal, stage::Stage};

async fn breaks(stage: &Stage) -> Vec<BreakView> {
    let page = Page { after: None, limit: 10 };
    stage.store.list_breaks(Mode::Test, None, page).await.unwrap().rows
}

fn later(hours: i64) -> Changes {
    Changes { at: ManualClock::START + Duration::hours(hours), ..builders::changes() }
}

/// Somebody books the same movement right now, and even tells it with more lines: it is passed over whole.
///
/// Covers: I9, I22, fault 31.
#[tokio::test(flavor = "multi_thread")]
async fn a_movement_told_by_many_at_once_is_booked_once() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let moved = builders::transaction(3998, 146);
    let journal = Journal::settled(&payment, &moved);
    // The same movement in other words: no line of it may stand beside one of the first.
    let mut longer = journal.clone();
    longer.entries.reverse();
    longer.entries.extend(journal.entries.clone());
    let tellers = (0..16).map(|teller| {
        let told = if teller % 2 == 0 { &journal } else { &longer };
        stage.store.commit(builders::changes().journal(told.clone()).journal(told.clone()))
    });
    for outcome in join_all(tellers).await {
        outcome.unwrap();
    }
    let booked = stage.store.ledger_of_order(order.id).await.unwrap();
    let entries: Vec<_> = booked.iter().map(|line| line.entry.clone()).collect();
    assert!(entries == journal.entries || entries == longer.entries, "{entries:#?}");
    assert!(booked.iter().all(|line| line.transaction.as_ref() == Some(&moved.id)));
    for told in [journal, longer] {
        stage.now(builders::changes().journal(told)).await;
    }
    assert_eq!(stage.store.ledger_of_order(order.id).await.unwrap(), booked);
}

/// Covers: I9, I22.
#[tokio::test]
async fn a_movement_that_grew_is_passed_over_whole() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let (moved, other) = (builders::transaction(3998, 146), builders::transaction(-3998, 0));
    let mut told = Journal::settled(&payment, &moved);
    stage.now(builders::changes().journal(told.clone())).await;
    told.entries.extend(told.entries.clone());
    // What comes beside it in the same commit is booked all the same, in its order.
    let news = Journal::settled(&payment, &other);
    stage.now(builders::changes().journal(told.clone()).journal(news)).await;
    let booked = stage.store.ledger_of_order(order.id).await.unwrap();
    let transactions: Vec<_> = booked.iter().filter_map(|line| line.transaction.clone()).collect();
    assert_eq!(transactions, [moved.id.clone(), moved.id, other.id]);
    assert!(booked.is_sorted_by_key(|line| line.id));
    let balances = stage.store.balances(Mode::Test, None, None).await.unwrap();
    assert_eq!(balances.iter().map(|balance| balance.debit - balance.credit).sum::<i64>(), 0);
}

/// Covers: I9, I14, fault 81.
#[tokio::test]
async fn the_ledger_cannot_be_changed() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let told = Journal::settled(&payment, &builders::transaction(3998, 146));
    stage.now(builders::changes().journal(told)).await;
    let before = stage.store.ledger_of_order(order.id).await.unwrap();
    for sql in
        ["UPDATE ledger_entries SET amount = 1", "DELETE FROM ledger_entries", "TRUNCATE ledger_entries"]
    {
        assert_eq!(refusal(&stage, sql).await, "23001", "{sql}");
    }
    assert_eq!(before.len(), 2);
    assert_eq!(stage.store.ledger_of_order(order.id).await.unwrap(), before);
}

/// Covers: I22.
#[tokio::test]
async fn a_break_found_again_after_its_end_is_opened_again() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let told = stage.store.timeline(order.id).await.unwrap().len();
    let found = || builders::found(BreakKind::LateMoney, &payment);
    stage.now(later(1).found(found())).await;
    stage.now(later(2).found(found())).await;
    let first = breaks(&stage).await;
    assert_eq!((first.len(), first[0].found_at), (1, later(1).at));

    let mut explained = later(3);
    let reason = "all of it was given back".to_owned();
    explained.resolutions.push(Resolution {
        kind: BreakKind::LateMoney,
        payment: Some(payment.id),
        object: None,
        reason,
    });
    explained.resolutions.extend(explained.resolutions.clone());
    stage.now(explained).await;
    let ended = &breaks(&stage).await[0];
    assert_eq!((ended.resolved_at, ended.resolved_by.as_deref()), (Some(later(3).at), Some("system")));

    stage.now(later(4).found(found())).await;
    let again = breaks(&stage).await;
    let expected = BreakView { found_at: later(4).at, ..first[0].clone() };
    assert_eq!(again, [expected]);
    let timeline = stage.store.timeline(order.id).await.unwrap().split_off(told);
    let events: Vec<_> = timeline.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["late_money", "late_money_resolved", "late_money"]);
}

/// Covers: I22.
#[tokio::test]
async fn a_break_is_resolved_by_hand_once() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let mut foreign = builders::found(BreakKind::ForeignObject, &payment);
    (foreign.order, foreign.payment, foreign.object) = (None, None, Some("pi_elsewhere".to_owned()));
    stage.now(later(1).found(builders::found(BreakKind::SurplusPayment, &payment))).await;
    stage.now(later(2).found(foreign)).await;
    let told = stage.store.timeline(order.id).await.unwrap().len();
    let found = breaks(&stage).await;
    assert_eq!(found.iter().map(|found| found.order).collect::<Vec<_>>(), [None, Some(order.id)]);
    for (hours, reason) in [(3, "seen to"), (4, "seen to by somebody else")] {
        for found in &found {
            let at = later(hours).at;
            let resolve = stage.store.resolve_break(Mode::Test, found.id, &Actor::System, reason, at);
            let resolved = resolve.await.unwrap().unwrap();
            assert_eq!(resolved.resolved_at, Some(later(3).at));
            assert_eq!(resolved.resolution.as_deref(), Some("seen to"));
        }
    }
    let timeline = stage.store.timeline(order.id).await.unwrap().split_off(told);
    let events: Vec<_> = timeline.iter().map(|line| (line.event.as_str(), line.cause.clone())).collect();
    assert_eq!(events, [("surplus_payment_resolved", found[1].id.to_string())]);
    assert_eq!(timeline[0].detail["reason"], "seen to");
    let page = Page { after: None, limit: 10 };
    assert_eq!(stage.store.list_breaks(Mode::Test, Some(true), page).await.unwrap().rows, []);
    let other_mode =
        stage.store.resolve_break(Mode::Live, found[0].id, &Actor::System, "not here", later(5).at);
    assert_eq!(other_mode.await.unwrap(), None);
}
