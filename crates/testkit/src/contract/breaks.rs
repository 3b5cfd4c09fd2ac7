//! Differences: open once, ended by a rule or a person, opened again when they are found again.

use std::sync::Arc;

use paywright_domain::{
    Actor, Break, BreakId, BreakKind, Changes, Mode, Order, Resolution,
    ports::{BreakView, Page},
};
use time::Duration;

use super::{Backend, stage::Stage};
use crate::builders::{self, ChangesExt, usd};

/// Every field, for one on a payment, and for one about an object that belongs to nothing here.
///
/// Covers: I1, fault 15, fault 22.
pub async fn a_break_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let ours = Break {
        object: Some("re_1".to_owned()),
        detail: "39.98 USD — gehört ' \" \\ niemandem 値".to_owned(),
        at_risk: Some(usd(3998)),
        ..builders::found(BreakKind::RefundFailed, &payment)
    };
    let foreign = Break {
        kind: BreakKind::ForeignObject,
        mode: Mode::Test,
        order: None,
        payment: None,
        object: Some("pi_stranger".to_owned()),
        detail: "it names nobody".to_owned(),
        at_risk: None,
    };
    stage.now(stage.request().found(ours.clone()).found(foreign.clone())).await;
    let told = list(&stage, None).await;
    assert_eq!(told.len(), 2);
    for found in [ours, foreign] {
        let view = told.iter().find(|view| view.kind == found.kind).unwrap();
        let expected = BreakView {
            id: view.id,
            kind: found.kind,
            order: found.order,
            payment: found.payment,
            object: found.object,
            detail: found.detail,
            at_risk: found.at_risk,
            found_at: stage.now,
            resolved_at: None,
            resolved_by: None,
            resolution: None,
        };
        assert_eq!(*view, expected);
    }
    assert_eq!(breaks_told(&stage, &order).await, ["refund_failed"]);
}

/// One for each kind, payment and object.
///
/// Covers: I1, I22.
pub async fn a_break_is_open_once(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let on = |object: Option<&str>| Break {
        object: object.map(str::to_owned),
        ..builders::found(BreakKind::RefundFailed, &payment)
    };
    for _ in 0..2 {
        let other = builders::found(BreakKind::AmountMismatch, &payment);
        let changes = stage.request().found(on(Some("re_1"))).found(on(Some("re_2")));
        stage.now(changes.found(on(None)).found(other).found(on(Some("re_1")))).await;
    }
    assert_eq!(list(&stage, Some(true)).await.len(), 4);
    assert_eq!(breaks_told(&stage, &order).await.len(), 4);
}

/// What a rule explains is ended with who, when and why, told once, and nothing else is ended.
///
/// Covers: I1, I14.
pub async fn an_explained_break_is_ended(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let ((order, payment), (_, other)) = (stage.paid().await, stage.paid().await);
    let late = |payment| builders::found(BreakKind::LateMoney, payment);
    let rest = builders::found(BreakKind::AmountMismatch, &payment);
    stage.now(stage.request().found(late(&payment)).found(late(&other)).found(rest)).await;
    for _ in 0..2 {
        stage.now(explained(&stage, payment.id, Duration::HOUR)).await;
    }
    let [ended] = list(&stage, Some(false)).await.try_into().unwrap();
    assert_eq!((ended.kind, ended.payment), (BreakKind::LateMoney, Some(payment.id)));
    assert_eq!(ended.resolved_at, Some(stage.now + Duration::HOUR));
    assert_eq!(ended.resolved_by, Some(Actor::Gateway.to_string()));
    assert_eq!(ended.resolution.as_deref(), Some("all was given back"));
    assert_eq!(list(&stage, Some(true)).await.len(), 2);
    let told = ["late_money", "amount_mismatch", "late_money_resolved"];
    assert_eq!(breaks_told(&stage, &order).await, told);
}

/// One that was ended and is found again is open again, and told again; then it can be ended again.
///
/// Covers: I1.
pub async fn an_ended_break_is_opened_again(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (order, payment) = stage.paid().await;
    let late = builders::found(BreakKind::LateMoney, &payment);
    stage.now(stage.request().found(late.clone())).await;
    let [first] = list(&stage, Some(true)).await.try_into().unwrap();
    stage.now(explained(&stage, payment.id, Duration::HOUR)).await;
    let mut again = stage.request().found(late);
    again.at += Duration::HOUR * 2;
    stage.now(again).await;
    let [second] = list(&stage, None).await.try_into().unwrap();
    assert_eq!(second, BreakView { found_at: stage.now + Duration::HOUR * 2, ..first });
    stage.now(explained(&stage, payment.id, Duration::HOUR * 3)).await;
    assert_eq!(list(&stage, Some(true)).await, []);
    let told = ["late_money", "late_money_resolved", "late_money", "late_money_resolved"];
    assert_eq!(breaks_told(&stage, &order).await, told);
}

/// Pages follow each other without a gap or a repetition, of open ones, ended ones or both, and of one mode.
///
/// Covers: I32, S-1.
pub async fn breaks_are_listed_newest_first_in_pages(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    assert_eq!(list(&stage, None).await, []);
    let mut payments = Vec::new();
    for seconds in 0..4 {
        let (_, payment) = stage.paid().await;
        let mut changes = stage.request().found(builders::found(BreakKind::LateMoney, &payment));
        changes.at += Duration::seconds(seconds);
        stage.now(changes).await;
        payments.insert(0, payment.id);
    }
    let foreign = Break {
        kind: BreakKind::ForeignObject,
        mode: Mode::Live,
        order: None,
        payment: None,
        object: Some("pi_1".to_owned()),
        detail: String::new(),
        at_risk: None,
    };
    stage.now(stage.request().found(foreign)).await;
    stage.now(explained(&stage, payments[1], Duration::HOUR)).await;

    let page = async |open, limit, after: Option<BreakId>| {
        let listed = stage.list_breaks(Mode::Test, open, Page { limit, after }).await.unwrap();
        let on: Vec<_> = listed.rows.iter().filter_map(|row| row.payment).collect();
        (on, listed.rows.last().map(|row| row.id), listed.has_more)
    };
    let (all, _, more) = page(None, 4, None).await;
    assert_eq!((all, more), (payments.clone(), false));
    let (first, last, more) = page(None, 3, None).await;
    assert_eq!((first, more), (payments[..3].to_vec(), true));
    let (rest, _, more) = page(None, 3, last).await;
    assert_eq!((rest, more), (payments[3..].to_vec(), false));
    let (open, last, more) = page(Some(true), 2, None).await;
    assert_eq!((open, more), (vec![payments[0], payments[2]], true));
    assert_eq!(page(Some(true), 2, last).await.0, [payments[3]]);
    assert_eq!(page(Some(false), 2, None).await.0, [payments[1]]);
    let live = stage.list_breaks(Mode::Live, None, Page { limit: 10, after: None }).await.unwrap();
    assert_eq!(live.rows.len(), 1);
}

/// The end of late money on a payment, told by the gateway.
fn explained(stage: &Stage, payment: paywright_domain::PaymentId, after: Duration) -> Changes {
    let mut changes = stage.request();
    changes.actor = Actor::Gateway;
    changes.at += after;
    let reason = "all was given back".to_owned();
    changes.resolutions.push(Resolution {
        kind: BreakKind::LateMoney,
        payment: Some(payment),
        object: None,
        reason,
    });
    changes
}

async fn list(stage: &Stage, open: Option<bool>) -> Vec<BreakView> {
    stage.list_breaks(Mode::Test, open, Page { limit: 100, after: None }).await.unwrap().rows
}

async fn breaks_told(stage: &Stage, order: &Order) -> Vec<String> {
    let told = stage.told(order).await.into_iter().filter(|entry| entry.subject == "break");
    told.map(|entry| entry.event).collect()
}
