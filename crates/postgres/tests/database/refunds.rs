//! Refunds in a race: the payment's row holds what they may give back together.

use std::time::Duration;

use futures::future::join_all;
use paywright_domain::{
    DisputeEvent, DisputeStatus, Evidence, Mode, Money, PaymentId, RefundEvent, RefundStanding, RefundState,
    ports::{Reader, Store, StoreError},
};
use paywright_postgres::{PoolOptions, Postgres};
use paywright_testkit::builders::{self, ChangesExt, Steps, moved, usd};

use crate::stage::Stage;

/// Decides and commits until it is stored, or too much. Says whether it was stored.
async fn give_back(store: Postgres, payment: PaymentId, amount: Money) -> bool {
    loop {
        let payment = store.payment(payment).await.unwrap().unwrap();
        let refund = builders::refund(&payment, amount);
        let Ok(followed) = payment.follow_refund(&refund) else { return false };
        let changes = builders::changes().step(refund).step(moved(followed));
        match store.commit(changes).await {
            Ok(_) => return true,
            Err(StoreError::Conflict) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Covers: fault 143, I3, R-1.
#[tokio::test(flavor = "multi_thread")]
async fn refunds_in_a_race_give_back_no_cent_more_than_was_taken() {
    const PART: u64 = 37;
    let patient = PoolOptions { acquire_timeout: Duration::from_mins(2), ..PoolOptions::default() };
    let stage = Stage::with(patient).await;
    let (_, payment) = stage.paid().await;
    let racing = (0..256).map(|_| tokio::spawn(give_back(stage.store.clone(), payment.id, usd(PART))));
    let stored = join_all(racing).await.into_iter().filter(|stored| *stored.as_ref().unwrap()).count() as u64;
    assert_eq!(stored, payment.captured.minor() / PART);
    let after = stage.store.payment(payment.id).await.unwrap().unwrap();
    assert_eq!(after.refunded, usd(stored * PART));
    assert!(after.refundable() < usd(PART));
    let refunds = stage.store.refunds(payment.id).await.unwrap();
    assert_eq!(refunds.len() as u64, stored);
    assert!(
        refunds.iter().all(|refund| refund.amount == usd(PART) && refund.state == RefundState::Requested)
    );
}

/// What a decision over an old version would add is refused, and so is a refund beside it.
///
/// Covers: I3, I16, R-1.
#[tokio::test]
async fn a_reservation_over_an_old_version_stores_no_refund() {
    let stage = Stage::new().await;
    let (_, payment) = stage.paid().await;
    let (first, second) = (builders::refund(&payment, usd(3000)), builders::refund(&payment, usd(3000)));
    for (refund, stored) in [(first, true), (second, false)] {
        let id = refund.after().id;
        let followed = moved(payment.follow_refund(&refund).unwrap());
        let outcome = stage.store.commit(builders::changes().step(refund).step(followed)).await;
        assert_eq!(outcome.is_ok(), stored, "{outcome:?}");
        assert_eq!(stage.store.refund(id).await.unwrap().is_some(), stored);
    }
}

/// Covers: I3, I4, fault 81.
#[tokio::test]
async fn a_refund_of_another_currency_or_payment_is_refused() {
    let stage = Stage::new().await;
    let (_, payment) = stage.paid().await;
    let euros = Money::from_minor(100, "eur".parse().unwrap()).unwrap();
    let elsewhere = builders::payment(&builders::order().build()).build();
    for refund in [builders::refund(&payment, euros), builders::refund(&elsewhere, usd(100))] {
        let outcome = stage.store.commit(builders::changes().step(refund)).await;
        assert!(matches!(outcome, Err(StoreError::Bug(_))), "{outcome:?}");
    }
    assert_eq!(stage.store.refunds(payment.id).await.unwrap(), []);
}

/// A birth and the first sighting in one commit, as when a refund was made at the gateway.
///
/// Covers: I3, I22.
#[tokio::test]
async fn a_refund_made_at_the_gateway_is_stored_whole_and_once() {
    let stage = Stage::new().await;
    let (_, payment) = stage.paid().await;
    let birth = builders::adopted_refund(&payment, usd(500));
    let name = birth.after().gateway.clone().unwrap();
    let reserved = moved(payment.follow_refund(&birth).unwrap());
    let seen = birth.after().step(RefundEvent::Seen(builders::refund_seen(&name, RefundStanding::Succeeded)));
    let sent = moved(reserved.after().follow_refund(&seen).unwrap());
    let (refund, after) = (seen.after().clone(), sent.after().clone());
    let changes = builders::changes().step(birth).step(reserved).step(seen).step(sent);
    stage.now(changes).await;
    assert_eq!(stage.store.refund_by_gateway(&name).await.unwrap(), Some(refund));
    assert_eq!(stage.store.payment(payment.id).await.unwrap(), Some(after.clone()));

    let mut twin = builders::refund_draft(usd(500));
    twin.id = builders::new_id(twin.created_at);
    let twin = paywright_domain::Refund::adopt(&after, twin, name);
    let followed = moved(after.follow_refund(&twin).unwrap());
    let outcome = stage.store.commit(builders::changes().step(twin).step(followed)).await;
    assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    assert_eq!(stage.store.refunds(payment.id).await.unwrap().len(), 1);
}

/// Texts for an issuer hold anything; people see them beside the order.
///
/// Covers: fault 48.
#[tokio::test]
async fn evidence_is_kept_and_shown_to_the_letter() {
    let stage = Stage::new().await;
    let (order, payment) = stage.paid().await;
    let birth = builders::dispute(&payment, DisputeStatus::WarningNeedsResponse);
    let text = r#"{"uncategorized_text": "NUL \u0000, \ud83c\udfa9, \\u0000, \"\r\n"}"#;
    let evidence: Evidence = serde_json::from_str(text).unwrap();
    let edited = birth.after().step(DisputeEvent::EvidenceEdited(evidence));
    let dispute = edited.after().clone();
    stage.now(builders::changes().step(birth).step(edited)).await;
    assert_eq!(stage.store.dispute(dispute.id).await.unwrap(), Some(dispute.clone()));
    let view = stage.store.order_view(Mode::Test, order.id).await.unwrap().unwrap();
    assert_eq!(view.disputes, [dispute]);
}
