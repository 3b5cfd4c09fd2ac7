//! Disputes: what the bank opens, takes, decides and decides again.

use serde_json::{Value, json};

use crate::desk::Desk;

/// A paid intent and the dispute that was opened over it.
fn disputed(desk: &mut Desk, complaint: Value) -> (String, String) {
    let intent = desk.pay("payment_method=pm_card_visa").ok().id();
    desk.wait(2);
    let dispute = desk.by_hand(&intent, json!({"dispute": complaint})).ok().id();
    (intent, dispute)
}

fn decide(desk: &mut Desk, dispute: &str, status: &str) -> u16 {
    desk.by_hand(dispute, json!({"decide": {"status": status}})).response.status
}

/// Amount and fee of each of a dispute's rows.
fn rows(desk: &mut Desk, dispute: &str) -> Vec<(i64, i64)> {
    let body = desk.get(&format!("/v1/disputes/{dispute}")).body;
    let rows = body["balance_transactions"].as_array().unwrap().iter();
    rows.map(|row| (row["amount"].as_i64().unwrap(), row["fee"].as_i64().unwrap())).collect()
}

/// Source: <https://docs.stripe.com/testing#disputes>.
/// Covers: fault 148.
#[test]
fn the_test_cards_dispute_inside_the_payment() {
    let mut desk = Desk::default();
    let born = |desk: &mut Desk, card: &str| {
        let known = desk.event_types().len();
        let intent = desk.pay(&format!("payment_method={card}&capture_method=automatic")).ok().id();
        let kinds = desk.events_since(known);
        let dispute = desk.get(&format!("/v1/disputes?payment_intent={intent}")).rows()[0].clone();
        (kinds, dispute)
    };
    let withdrawn = [
        "payment_intent.created",
        "charge.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ];
    let (kinds, dispute) = born(&mut desk, "pm_card_createDispute");
    assert_eq!(kinds, withdrawn);
    assert_eq!((&dispute["reason"], &dispute["status"]), (&json!("fraudulent"), &json!("needs_response")));
    let row = &dispute["balance_transactions"][0];
    assert_eq!((&row["amount"], &row["fee"], &row["net"]), (&json!(-1000), &json!(1500), &json!(-2500)));
    assert_eq!((&row["type"], &row["reporting_category"]), (&json!("adjustment"), &json!("dispute")));
    let (_, dispute) = born(&mut desk, "pm_card_createDisputeProductNotReceived");
    assert_eq!(dispute["reason"], "product_not_received");
    let (kinds, dispute) = born(&mut desk, "pm_card_createDisputeInquiry");
    assert!(!kinds.contains(&"charge.dispute.funds_withdrawn".to_owned()));
    assert_eq!(
        (&dispute["status"], &dispute["is_charge_refundable"]),
        (&json!("warning_needs_response"), &json!(true))
    );
    assert_eq!(dispute["balance_transactions"], json!([]));
}

/// Covers: fault 148.
#[test]
fn evidence_is_staged_submitted_once_and_decided() {
    let mut desk = Desk::default();
    let (_, dispute) = disputed(&mut desk, json!({"amount": 400, "reason": "product_not_received"}));
    assert_eq!(rows(&mut desk, &dispute), [(-400, 1500)]);
    let path = format!("/v1/disputes/{dispute}");
    let staged = desk.post(&path, "evidence[customer_name]=Ada&submit=false").ok();
    assert_eq!(
        (staged.text("status"), &staged.body["evidence_details"]["submission_count"]),
        ("needs_response", &json!(0))
    );
    desk.post(&path, "evidence[shipping_carrier]=Post&submit=false").ok();
    let known = desk.event_types().len();
    let sent = desk.post(&path, "submit=true").ok();
    assert_eq!(
        (sent.text("status"), &sent.body["evidence"]["customer_name"]),
        ("under_review", &json!("Ada"))
    );
    assert_eq!(desk.events_since(known), ["charge.dispute.updated", "charge.updated"]);
    assert_eq!(desk.post(&path, "evidence[customer_name]=Bob").response.status, 400);
    let known = desk.event_types().len();
    assert_eq!(decide(&mut desk, &dispute, "won"), 200);
    assert_eq!(desk.events_since(known), ["charge.dispute.funds_reinstated", "charge.dispute.closed"]);
    assert_eq!(rows(&mut desk, &dispute), [(-400, 1500), (400, 0)]);
    for closed in [desk.post(&path, "submit=true"), desk.post(&format!("{path}/close"), "")] {
        assert_eq!(closed.body["error"]["message"], "This dispute is already closed");
    }
}

/// Covers: fault 148.
#[test]
fn a_decision_turns_round_and_the_fee_is_taken_once() {
    let mut desk = Desk::default();
    let (_, dispute) = disputed(&mut desk, json!({}));
    let known = desk.event_types().len();
    assert_eq!(decide(&mut desk, &dispute, "lost"), 200);
    assert_eq!(decide(&mut desk, &dispute, "lost"), 400);
    assert_eq!(decide(&mut desk, &dispute, "won"), 200);
    assert_eq!(decide(&mut desk, &dispute, "lost"), 200);
    assert_eq!(
        desk.events_since(known),
        [
            "charge.dispute.closed",
            "charge.updated",
            "charge.dispute.updated",
            "charge.dispute.funds_reinstated",
            "charge.dispute.updated",
            "charge.dispute.funds_withdrawn",
            "charge.updated",
        ]
    );
    assert_eq!(rows(&mut desk, &dispute), [(-1000, 1500), (1000, 0), (-1000, 0)]);
}

/// Covers: fault 145.
#[test]
fn a_disputed_charge_is_refunded_only_while_no_money_is_withheld() {
    let mut desk = Desk::default();
    let (intent, dispute) = disputed(&mut desk, json!({"status": "warning_needs_response"}));
    let form = format!("payment_intent={intent}&amount=100");
    desk.post("/v1/refunds", &form).ok();
    let known = desk.event_types().len();
    desk.by_hand(&dispute, json!("escalate")).ok();
    assert_eq!(desk.events_since(known), ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]);
    let refused = desk.post("/v1/refunds", &form);
    assert_eq!((refused.response.status, &refused.body["error"]["code"]), (400, &json!("charge_disputed")));
    assert_eq!(decide(&mut desk, &dispute, "warning_closed"), 400);
    assert_eq!(decide(&mut desk, &dispute, "won"), 200);
    desk.post("/v1/refunds", &form).ok();
}

/// Covers: fault 148.
#[test]
fn a_deadline_that_passes_is_lost_and_none_at_all_takes_no_answer() {
    let mut desk = Desk::default();
    let (_, late) = disputed(&mut desk, json!({"answer_seconds": 7 * 86_400}));
    let (_, inquiry) = disputed(&mut desk, json!({"status": "warning_needs_response"}));
    let (_, silent) = disputed(&mut desk, json!({"answer_seconds": 0}));
    let (_, prevented) = disputed(&mut desk, json!({"status": "prevented"}));
    let path = format!("/v1/disputes/{silent}");
    assert_eq!(desk.get(&path).body["evidence_details"]["due_by"], 0);
    assert_eq!(desk.post(&path, "evidence[customer_name]=Ada").response.status, 400);
    desk.wait(10 * 86_400);
    for (id, status) in [
        (&late, "lost"),
        (&inquiry, "warning_closed"),
        (&silent, "needs_response"),
        (&prevented, "prevented"),
    ] {
        assert_eq!(desk.get(&format!("/v1/disputes/{id}")).text("status"), status);
    }
    assert_eq!(rows(&mut desk, &prevented), []);
    let held = desk.pay("payment_method=pm_card_visa&capture_method=manual").ok().id();
    assert_eq!(desk.by_hand(&held, json!({"dispute": {}})).response.status, 400);
}
