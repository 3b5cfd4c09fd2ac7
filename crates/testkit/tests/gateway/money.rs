//! Holds, refunds, disputes, the balance, and failures that are stored.

use paywright_domain::{
    BalanceTransaction, DisputeStatus, Evidence, GatewayCall, GatewayDisputeId, GatewayRefundId, IntentId,
    Operation, Refund, RefundStanding, Standing, Subject,
    ports::{DisputeSnapshot, Fact, Gateway, GatewayError, Heard, InboxEvent, RefundSnapshot, Reply},
};
use paywright_testkit::{
    Fault, IntentStatus,
    builders::{self, usd},
};
use time::Duration;

use crate::scene::{Scene, code};

impl Scene {
    async fn paid(&self) -> IntentId {
        let intent = self.intent().await;
        self.gateway.pay_intent(&intent);
        intent
    }

    async fn held() -> (Self, IntentId) {
        let scene = Self::of(builders::order().manual());
        let intent = scene.intent().await;
        scene.gateway.pay_intent(&intent);
        (scene, intent)
    }

    fn capture(&self, intent: &IntentId, amount: u64, generation: u32) -> GatewayCall {
        GatewayCall { generation, ..self.call(Operation::Capture { intent: intent.clone(), amount }) }
    }

    /// A call that asks for a new refund.
    fn refund(&self, intent: &IntentId, amount: u64) -> (Refund, GatewayCall) {
        let payment = paywright_domain::Payment { intent: Some(intent.clone()), ..self.payment.clone() };
        let refund = builders::refund(&payment, usd(amount)).after().clone();
        let call = builders::refund_call(&self.order, &payment, &refund);
        (refund, call)
    }

    async fn refunded(&self, call: &GatewayCall) -> RefundSnapshot {
        match self.gateway.perform(call).await {
            Ok(Reply::Refund(snapshot)) => *snapshot,
            other => panic!("{other:?}"),
        }
    }

    async fn refund_code(&self, intent: &IntentId, amount: u64) -> String {
        code(self.gateway.perform(&self.refund(intent, amount).1).await)
    }

    fn about_dispute(&self, operation: Operation) -> GatewayCall {
        let subject = Subject::Dispute(builders::new_id(self.payment.created_at));
        GatewayCall { subject, ..self.call(operation) }
    }

    fn dispute(&self) -> GatewayDisputeId {
        self.gateway.disputes_opened().last().expect("a dispute").id.clone()
    }

    async fn shown(&self, id: &GatewayDisputeId) -> DisputeSnapshot {
        self.gateway.dispute(id).await.expect("a look that goes well").expect("a dispute")
    }

    fn told(&self, event: &InboxEvent) -> Fact {
        match self.gateway.understand(&event.body) {
            Ok(Heard::Fact(fact)) => fact,
            other => panic!("{other:?}"),
        }
    }

    fn last_refund(&self) -> GatewayRefundId {
        self.gateway.refunds_made().last().expect("a refund").id.clone()
    }
}

fn kinds(events: &[InboxEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

fn numbers(moved: &[BalanceTransaction]) -> Vec<(i64, i64)> {
    moved.iter().map(|moved| (moved.amount, moved.fee)).collect()
}

fn standing_captured(captured: u64, refunded: u64) -> Standing {
    Standing::Captured { captured, refunded }
}

/// Covers: C-3, R-6.
#[tokio::test]
async fn a_hold_is_captured_once_in_part_or_whole() {
    let (scene, intent) = Scene::held().await;
    let seen = scene.look(&intent).await.sighting;
    assert_eq!(seen.standing, Standing::Authorized(3998));
    assert_eq!(seen.capture_before, Some(seen.at + Duration::WEEK));
    let outcome = scene.gateway.perform(&scene.capture(&intent, 3999, 1)).await;
    assert_eq!(code(outcome), "amount_too_large");
    assert_eq!(code(scene.gateway.perform(&scene.capture(&intent, 0, 2)).await), "parameter_invalid_integer");
    let answer = scene.perform(&scene.capture(&intent, 1000, 3)).await;
    assert_eq!(answer.snapshot.sighting.standing, standing_captured(1000, 0));
    let settlement = answer.snapshot.sighting.settlement.expect("booked at once");
    assert_eq!((settlement.amount, settlement.fee), (1000, 59));
    let outcome = scene.gateway.perform(&scene.capture(&intent, 1000, 4)).await;
    assert_eq!(code(outcome), "payment_intent_unexpected_state");
    let events = scene.gateway.events();
    let told = ["payment_intent.created", "payment_intent.amount_capturable_updated", "charge.captured"];
    assert_eq!(kinds(&events), [&told[..], &["payment_intent.succeeded"]].concat());
    let captured = scene.understand(&events[2]);
    assert_eq!(captured.sighting.standing, standing_captured(1000, 0));
    assert!(captured.settled && captured.sighting.settlement.is_none());
    assert!(!scene.understand(&events[3]).settled);
}

/// Covers: C-3, M-3.
#[tokio::test]
async fn a_hold_runs_out_or_is_ended_elsewhere() {
    let (scene, intent) = Scene::held().await;
    let events = scene.gateway.expire_hold(&intent);
    assert_eq!(kinds(&events), ["charge.expired", "payment_intent.canceled"]);
    assert_eq!(scene.look(&intent).await.sighting.standing, Standing::Cancelled);

    let (scene, intent) = Scene::held().await;
    scene.clock.advance(Duration::WEEK);
    assert_eq!(scene.look(&intent).await.sighting.standing, Standing::Cancelled);

    let (scene, intent) = Scene::held().await;
    let events = scene.gateway.dashboard_capture(&intent, 1);
    assert_eq!(kinds(&events), ["charge.captured", "payment_intent.succeeded"]);
    assert_eq!(scene.understand(&events[1]).sighting.standing, standing_captured(1, 0));

    let (scene, intent) = Scene::held().await;
    assert_eq!(kinds(&scene.gateway.dashboard_cancel(&intent)), ["payment_intent.canceled"]);
    assert_eq!(scene.gateway.intents()[0].status, IntentStatus::Cancelled);
}

/// Covers: S-5.
#[tokio::test]
async fn a_capture_reaches_the_balance_at_once_or_late_in_whatever_currency() {
    let scene = Scene::new();
    scene.gateway.settle_late(true);
    scene.gateway.settle_in("eur".parse().expect("a currency"), 900);
    let intent = scene.paid().await;
    let seen = scene.look(&intent).await;
    assert_eq!((seen.settled, seen.sighting.settlement), (false, None));
    scene.clock.advance(Duration::DAY);
    let events = scene.gateway.settle(&intent);
    assert_eq!(kinds(&events), ["charge.updated"]);
    let told = scene.understand(&events[0]);
    assert_eq!((told.settled, told.sighting.settlement), (true, None), "it only says where to look");
    let settled = scene.look(&intent).await.sighting.settlement.expect("booked");
    assert_eq!((settled.amount, settled.fee, settled.currency.code()), (3598, 134, "eur"));
    scene.gateway.settle(&intent);
    assert_eq!(scene.look(&intent).await.sighting.settlement, Some(settled), "once");
}

/// Covers: I7, R-5, R-8, fault 3.
#[tokio::test]
async fn a_refund_carries_our_names_and_is_made_once_for_its_key() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    let (refund, call) = scene.refund(&intent, 1000);
    let first = scene.refunded(&call).await;
    assert_eq!((first.refund, first.payment), (Some(refund.id), Some(scene.payment.id)));
    assert_eq!((first.amount, first.mode), (Some(usd(1000)), None));
    assert_eq!(first.reason.as_deref(), Some("requested_by_customer"));
    let again = scene.refunded(&call).await;
    assert_eq!(again.sighting, first.sighting);
    assert_eq!(scene.look(&intent).await.sighting.standing, standing_captured(3998, 1000));
    scene.gateway.dashboard_refund(&intent, 5);
    let all = scene.gateway.refunds(&intent).await.expect("a look that goes well");
    let names: Vec<_> = all.iter().map(|refund| refund.refund).collect();
    assert_eq!(names, [None, Some(refund.id)], "newest first");
    assert_eq!(scene.gateway.refunds(&builders::intent_id()).await.expect("a look"), []);
    let found = scene.gateway.find(&call).await.expect("a search that goes well");
    assert!(matches!(found, Some(Reply::Refund(found)) if found.sighting == first.sighting));
    assert!(scene.gateway.find(&scene.refund(&intent, 1).1).await.expect("a search").is_none());
}

///
#[tokio::test]
async fn a_refund_is_refused_as_the_gateway_refuses_it() {
    let scene = Scene::new();
    let intent = scene.intent().await;
    assert_eq!(scene.refund_code(&intent, 1).await, "invalid_request_error", "nothing was taken");
    scene.gateway.pay_intent(&intent);
    assert_eq!(scene.refund_code(&intent, 3999).await, "invalid_request_error");
    assert_eq!(scene.refund_code(&builders::intent_id(), 1).await, "resource_missing");
    scene.gateway.open_dispute(&intent, 3998, true);
    scene.refunded(&scene.refund(&intent, 998).1).await;
    scene.gateway.escalate_inquiry(&scene.dispute());
    assert_eq!(scene.refund_code(&intent, 1).await, "charge_disputed");
    scene.gateway.win_dispute(&scene.dispute());
    scene.refunded(&scene.refund(&intent, 3000).1).await;
    assert_eq!(scene.refund_code(&intent, 1).await, "charge_already_refunded");
    assert_eq!(scene.gateway.refunds_made().len(), 2);
}

/// Covers: I10, R-2, R-3.
#[tokio::test]
async fn a_refund_waits_is_sent_and_comes_back() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    scene.gateway.hold_refunds(true);
    let events = scene.gateway.dashboard_refund(&intent, 1000);
    assert_eq!(kinds(&events), ["refund.created", "charge.refunded"]);
    assert_eq!(scene.understand(&events[1]).sighting.standing, standing_captured(3998, 1000));
    let id = scene.last_refund();
    let look = || async { scene.gateway.refunds(&intent).await.expect("a look").remove(0) };
    assert_eq!(look().await.sighting, builders::refund_seen(&id, RefundStanding::Pending));

    let events = scene.gateway.refund_succeeds(&id);
    assert_eq!(kinds(&events), ["refund.updated", "charge.refund.updated"]);
    let sent = look().await.sighting;
    assert_eq!(
        (sent.standing, sent.settlement.map(|moved| moved.amount)),
        (RefundStanding::Succeeded, Some(-1000))
    );

    let events = scene.gateway.refund_fails(&id);
    assert_eq!(kinds(&events), ["refund.failed"]);
    let Fact::Refund(mut told) = scene.told(&events[0]) else { panic!("not a refund") };
    assert_eq!(told.origin.event.take(), Some(events[0].id.clone()));
    let mut seen = look().await;
    assert_eq!(seen.sighting.reversal.take().map(|moved| moved.amount), Some(1000));
    assert_eq!(seen.sighting.failure.as_deref(), Some("lost_or_stolen_card"));
    seen.sighting.settlement = None;
    assert_eq!(*told, RefundSnapshot { mode: Some(scene.payment.mode), ..seen });
    assert_eq!(scene.look(&intent).await.sighting.standing, standing_captured(3998, 0));

    scene.gateway.dashboard_refund(&intent, 3998);
    scene.gateway.refund_cancelled(&scene.last_refund());
    assert_eq!(scene.gateway.refunds_made()[1].standing, RefundStanding::Cancelled);
    assert_eq!(scene.look(&intent).await.sighting.standing, standing_captured(3998, 0));
}

///
#[tokio::test]
async fn a_dispute_takes_money_and_may_give_it_back() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    let events = scene.gateway.open_dispute(&intent, 5000, false);
    assert_eq!(kinds(&events), ["charge.dispute.created", "charge.dispute.funds_withdrawn"]);
    let id = scene.dispute();
    let Fact::Dispute(mut told) = scene.told(&events[1]) else { panic!("not a dispute") };
    assert_eq!(told.origin.event.take(), Some(events[1].id.clone()));
    assert_eq!(*told, scene.shown(&id).await);
    assert_eq!((told.sighting.amount, told.sighting.refundable), (usd(5000), false));
    assert_eq!(numbers(&told.movements), [(-5000, 1500)]);
    assert_eq!(scene.gateway.disputes(&intent).await.expect("a look"), [*told]);

    let kinds_won = ["charge.dispute.funds_reinstated", "charge.dispute.closed"];
    assert_eq!(kinds(&scene.gateway.win_dispute(&id)), kinds_won);
    assert_eq!(numbers(&scene.shown(&id).await.movements), [(-5000, 1500), (5000, 0)]);
    let events = scene.gateway.lose_dispute(&id);
    let kinds_lost = ["charge.dispute.funds_withdrawn", "charge.dispute.closed", "charge.updated"];
    assert_eq!(kinds(&events), kinds_lost);
    let lost = scene.shown(&id).await;
    assert_eq!((lost.sighting.status, lost.movements.len()), (DisputeStatus::Lost, 3));
    assert_eq!(kinds(&scene.gateway.win_dispute(&id)), kinds_won);
}

///
#[tokio::test]
async fn an_inquiry_moves_nothing_until_it_is_escalated() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    assert_eq!(kinds(&scene.gateway.open_dispute(&intent, 3998, true)), ["charge.dispute.created"]);
    let id = scene.dispute();
    let shown = scene.shown(&id).await;
    assert_eq!((shown.sighting.refundable, shown.movements.len()), (true, 0));
    let dispute = id.clone();
    let submit = Operation::SubmitEvidence { dispute, evidence: Evidence::default() };
    assert!(scene.gateway.perform(&scene.about_dispute(submit)).await.is_ok());
    assert_eq!(scene.shown(&id).await.sighting.status, DisputeStatus::WarningUnderReview);
    let events = scene.gateway.escalate_inquiry(&id);
    assert_eq!(kinds(&events), ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]);
    let shown = scene.shown(&id).await;
    assert_eq!((shown.sighting.submitted, numbers(&shown.movements)), (false, vec![(-3998, 1500)]));
    assert_eq!(kinds(&scene.gateway.lose_dispute(&id)), ["charge.dispute.closed", "charge.updated"]);
    assert_eq!(scene.shown(&id).await.movements.len(), 1, "taken once");

    scene.gateway.open_dispute(&intent, 1, true);
    assert_eq!(kinds(&scene.gateway.close_inquiry(&scene.dispute())), ["charge.dispute.closed"]);
}

/// Covers: fault 10, X-1.
#[tokio::test]
async fn an_answer_is_staged_often_submitted_once_and_not_after_the_end() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    scene.gateway.open_dispute(&intent, 3998, false);
    let id = scene.dispute();
    let said = |text: &str| Evidence::parse([("uncategorized_text".to_owned(), text.to_owned())].into());
    let perform = |operation| async { scene.gateway.perform(&scene.about_dispute(operation)).await };
    for text in ["one", "two"] {
        let (dispute, evidence) = (id.clone(), said(text).expect("short"));
        assert!(perform(Operation::StageEvidence { dispute, evidence }).await.is_ok());
    }
    let submit =
        || Operation::SubmitEvidence { dispute: id.clone(), evidence: said("three").expect("short") };
    let Ok(Reply::Dispute(answer)) = perform(submit()).await else { panic!("not a dispute") };
    assert_eq!((answer.sighting.status, answer.sighting.submitted), (DisputeStatus::UnderReview, true));
    assert_eq!(scene.gateway.disputes_opened()[0].evidence, said("three").expect("short"));
    assert_eq!(code(perform(submit()).await), "invalid_request_error");
    let close = || Operation::CloseDispute { dispute: id.clone() };
    let Ok(Reply::Dispute(answer)) = perform(close()).await else { panic!("not a dispute") };
    assert_eq!(answer.sighting.status, DisputeStatus::Lost);
    assert_eq!(code(perform(close()).await), "invalid_request_error");
    let strange = Operation::CloseDispute { dispute: builders::gateway_dispute_id() };
    assert_eq!(code(perform(strange).await), "resource_missing");
}

/// Covers: fault 13, fault 14, fault 15, I24.
#[tokio::test]
async fn a_stored_failure_spends_its_key_with_or_without_effect() {
    for (fault, done) in [(Fault::SpentBefore, false), (Fault::SpentAfter, true)] {
        let scene = Scene::new();
        let call = builders::call(&scene.order, &scene.payment);
        scene.gateway.fail_call(fault);
        assert!(matches!(scene.gateway.perform(&call).await, Err(GatewayError::Unknown(_))));
        for _ in 0..2 {
            assert!(matches!(scene.gateway.perform(&call).await, Err(GatewayError::Spent(_))));
        }
        assert_eq!(scene.gateway.intents().len(), usize::from(done));
        assert_eq!(scene.gateway.find(&call).await.expect("a search").is_some(), done);
        if !done {
            scene.perform(&GatewayCall { generation: 2, ..call.clone() }).await;
            let events = scene.gateway.repair_later(&call.key());
            assert_eq!(kinds(&events), ["payment_intent.created"]);
            let told = scene.understand(&events[0]);
            assert_eq!(told.payment, Some(scene.payment.id));
            assert_eq!(scene.gateway.intents().len(), 2, "under the same name of ours");
        }
        assert!(matches!(scene.gateway.perform(&call).await, Err(GatewayError::Spent(_))), "for ever");
    }
}

/// Covers: fault 15, fault 27.
#[tokio::test]
async fn a_forgotten_key_or_a_late_repair_pays_out_twice() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    let (refund, call) = scene.refund(&intent, 1000);
    scene.refunded(&call).await;
    scene.gateway.fail_call(Fault::KeyPruned);
    scene.refunded(&call).await;
    let lost = GatewayCall { generation: 2, ..call };
    scene.gateway.fail_call(Fault::SpentBefore);
    assert!(scene.gateway.perform(&lost).await.is_err());
    let events = scene.gateway.repair_later(&lost.key());
    assert_eq!(kinds(&events), ["refund.created", "charge.refunded"]);
    let names: Vec<_> = scene.gateway.refunds_made().into_iter().map(|made| made.refund).collect();
    assert_eq!(names, [Some(refund.id); 3]);
}

/// A search for a page, and for what is only changed.
///
/// Covers: I24, I26.
#[tokio::test]
async fn what_a_call_created_is_found_by_our_names() {
    let scene = Scene::new();
    scene.gateway.fail_look(Fault::NotDone { after: None });
    let operation = Operation::create_session(
        &scene.order,
        "https://a.example",
        "https://b.example",
        scene.payment.created_at + Duration::HOUR,
    );
    let call = scene.call(operation);
    assert!(scene.gateway.find(&call).await.is_err());
    assert!(scene.gateway.find(&call).await.expect("a search").is_none());
    let made = scene.perform(&call).await.snapshot.sighting.session;
    let found = scene.gateway.find(&call).await.expect("a search");
    assert!(matches!(found, Some(Reply::Payment(page)) if page.snapshot.sighting.session == made));
    scene.gateway.decline_session(&made.expect("a page's name"), "generic_decline");
    let bare = builders::call(&scene.order, &scene.payment);
    assert!(scene.gateway.find(&bare).await.expect("a search").is_none(), "a page's intent is the page's");
    let capture = scene.capture(&scene.gateway.intents()[0].id, 1, 1);
    assert!(scene.gateway.find(&capture).await.expect("a search").is_none());
}

/// What is spoilt is not read, whatever it is about.
///
/// Covers: fault 23, fault 48.
#[tokio::test]
async fn a_spoilt_event_about_money_is_malformed() {
    let scene = Scene::new();
    let intent = scene.paid().await;
    let mut events = scene.gateway.dashboard_refund(&intent, 5);
    events.extend(scene.gateway.open_dispute(&intent, 5, false));
    for event in [&events[0], &events[3]] {
        let body = String::from_utf8(event.body.clone()).expect("our own text");
        assert!(scene.gateway.understand(body.as_bytes()).is_ok());
        for line in ["created_at=", "id=", "movement.0=", "amount="] {
            let Some(at) = body.find(line) else { continue };
            let spoilt = format!("{}{line}~{}", &body[..at], &body[at + line.len()..]);
            assert!(scene.gateway.understand(spoilt.as_bytes()).is_err(), "{spoilt}");
        }
    }
}
