//! Disputes: kept whole, unique by the gateway's name.

use std::sync::Arc;

use paywright_domain::{
    Dispute, DisputeAnswer, DisputeEvent, DisputeId, DisputeSighting, DisputeStatus, Evidence, Mode, Money,
    ports::Page,
};
use time::Duration;

use super::{
    Backend,
    stage::{Stage, awkward_evidence},
};
use crate::builders::{ChangesExt, Steps, dispute, dispute_seen, gateway_dispute_id, new_id, usd};

/// Every field, from an inquiry to a loss, evidence and answers included, with the payment's totals beside it.
///
/// Covers, fault 23.
pub async fn every_step_of_a_dispute_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, mut payment) = stage.paid().await;
    let inquiry = dispute_seen(payment.amount, DisputeStatus::WarningNeedsResponse);
    let first = DisputeSighting { at: stage.now, ..inquiry };
    let birth = Dispute::open(new_id(stage.now), &payment, gateway_dispute_id(), first, stage.now);
    let mut dispute = birth.after().clone();
    payment = stage.contest(&payment, birth).await;
    assert_dispute(&stage, &dispute).await;
    // More than was taken, in words that are new to us.
    let seen = |seconds, status, due_by| {
        DisputeEvent::Seen(DisputeSighting {
            reason: "ärger_mit_帽子".to_owned(),
            due_by,
            submitted: seconds > 2,
            at: stage.now + Duration::seconds(seconds),
            ..dispute_seen(usd(5000), status)
        })
    };
    let due = Some(stage.now + Duration::DAY);
    let events = [
        DisputeEvent::DeadlineNear,
        seen(1, DisputeStatus::NeedsResponse, due),
        DisputeEvent::EvidenceEdited(awkward_evidence()),
        DisputeEvent::AnswerRequested(DisputeAnswer::Stage),
        DisputeEvent::AnswerTaken,
        DisputeEvent::AnswerRequested(DisputeAnswer::Submit),
        DisputeEvent::AnswerRefused,
        DisputeEvent::AnswerRequested(DisputeAnswer::Accept),
        seen(3, DisputeStatus::UnderReview, None),
        seen(4, DisputeStatus::Other("appeal_under_review".to_owned()), None),
        seen(5, DisputeStatus::Won, None),
        seen(6, DisputeStatus::Lost, None),
        seen(7, DisputeStatus::Prevented, None),
        seen(8, DisputeStatus::WarningUnderReview, None),
        seen(9, DisputeStatus::WarningClosed, None),
    ];
    for event in events {
        let step = dispute.step(event);
        dispute = step.after().clone();
        payment = stage.contest(&payment, *step).await;
        assert_dispute(&stage, &dispute).await;
        assert_eq!(stage.payment(payment.id).await.unwrap().as_ref(), Some(&payment));
    }
    assert_eq!(dispute.generation, 3);
}

/// A dispute may come before the payment's own news, and over much.
///
/// Covers: O-5, I8.
pub async fn a_dispute_may_come_before_its_payment(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.started().await;
    let much = Money::from_minor(999_999_999_999, payment.amount.currency()).unwrap();
    let (id, seen) = (new_id(stage.now), dispute_seen(much, DisputeStatus::NeedsResponse));
    let birth = Dispute::open(id, &payment, gateway_dispute_id(), seen, stage.now);
    let dispute = birth.after().clone();
    let payment = stage.contest(&payment, birth).await;
    assert_eq!((payment.disputed, payment.disputes_blocking), (much, 1));
    assert_dispute(&stage, &dispute).await;
    assert_eq!(stage.payment(payment.id).await.unwrap(), Some(payment));
}

/// Any text that a part of an answer can hold comes back to the letter.
///
/// Covers: fault 48.
pub async fn evidence_reads_back_to_the_letter(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let birth = dispute(&payment, DisputeStatus::NeedsResponse);
    let mut dispute = birth.after().clone();
    stage.contest(&payment, birth).await;
    for evidence in [awkward_evidence(), Evidence::default()] {
        let step = dispute.step(DisputeEvent::EvidenceEdited(evidence.clone()));
        dispute = step.after().clone();
        stage.now(stage.request().step(step)).await;
        assert_eq!(stage.dispute(dispute.id).await.unwrap().unwrap().evidence, evidence);
    }
}

/// A dispute decided on an old version, or born twice, or never born.
///
/// Covers: I16.
pub async fn a_stale_step_of_a_dispute_changes_nothing(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let birth = dispute(&payment, DisputeStatus::NeedsResponse);
    let opened = birth.after().clone();
    let payment = stage.contest(&payment, birth.clone()).await;
    let told = opened.step(DisputeEvent::DeadlineNear);
    let current = told.after().clone();
    stage.now(stage.request().step(told)).await;
    stage.conflicts(stage.request().step(birth)).await;
    let asked = DisputeEvent::AnswerRequested(DisputeAnswer::Accept);
    stage.conflicts(stage.request().step(opened.step(asked.clone()))).await;
    let never_born = dispute(&payment, DisputeStatus::NeedsResponse).after().clone();
    stage.conflicts(stage.request().step(never_born.step(asked))).await;
    assert_eq!(stage.disputes(payment.id).await.unwrap(), [current]);
}

/// What the gateway calls by one name is one dispute here.
///
/// Covers: I22, D-13.
pub async fn a_dispute_of_the_gateway_is_opened_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, payment) = stage.paid().await;
    let birth = dispute(&payment, DisputeStatus::NeedsResponse);
    let first = birth.after().clone();
    let payment = stage.contest(&payment, birth).await;
    let (id, name) = (new_id(stage.now), first.gateway.clone());
    let twin = Dispute::open(id, &payment, name, first.seen.clone(), stage.now);
    stage.conflicts(stage.request().step(twin)).await;
    assert_eq!(stage.disputes(payment.id).await.unwrap(), [first]);
}

/// Pages follow each other without a gap or a repetition, of all payments or one, and of one mode.
///
/// Covers: I32, S-1.
pub async fn disputes_are_listed_newest_first_in_pages(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let list = async |mode, payment, limit, after| {
        let listed = stage.list_disputes(mode, payment, Page { limit, after }).await.unwrap();
        let ids: Vec<DisputeId> = listed.rows.iter().map(|dispute| dispute.id).collect();
        (ids, listed.has_more)
    };
    assert_eq!(list(Mode::Test, None, 3, None).await, (vec![], false));
    let ((_, mut first), (_, mut second)) = (stage.paid().await, stage.paid().await);
    let mut ids = Vec::new();
    for seconds in 0..4 {
        let id = new_id(stage.now + Duration::seconds(seconds));
        ids.insert(0, id);
        let payment = if seconds % 2 == 0 { &mut first } else { &mut second };
        let seen = dispute_seen(usd(7), DisputeStatus::Lost);
        let birth = Dispute::open(id, payment, gateway_dispute_id(), seen, stage.now);
        *payment = stage.contest(payment, birth).await;
    }
    assert_eq!(list(Mode::Test, None, 4, None).await, (ids.clone(), false));
    assert_eq!(list(Mode::Test, None, 3, None).await, (ids[..3].to_vec(), true));
    assert_eq!(list(Mode::Test, None, 3, Some(ids[2])).await, (ids[3..].to_vec(), false));
    assert_eq!(list(Mode::Test, Some(second.id), 10, None).await, (vec![ids[0], ids[2]], false));
    assert_eq!(list(Mode::Live, None, 10, None).await, (vec![], false));
}

async fn assert_dispute(stage: &Stage, dispute: &Dispute) {
    assert_eq!(stage.dispute(dispute.id).await.unwrap().as_ref(), Some(dispute));
    assert_eq!(stage.dispute_by_gateway(&dispute.gateway).await.unwrap().as_ref(), Some(dispute));
    assert!(stage.disputes(dispute.payment).await.unwrap().contains(dispute));
}
