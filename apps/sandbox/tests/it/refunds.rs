//! Refunds that wait, fail or come from elsewhere, and money in another currency.

use paywright_sandbox::model::Control;
use serde_json::{Value, json};

use crate::desk::Desk;

fn refund(desk: &mut Desk, intent: &str, amount: i64) -> String {
    desk.post("/v1/refunds", &format!("payment_intent={intent}&amount={amount}")).ok().id()
}

fn account(desk: &mut Desk, terms: Value) {
    desk.control(Control::Account(terms)).ok();
}

fn available(desk: &mut Desk) -> i64 {
    desk.get("/v1/balance").body["available"][0]["amount"].as_i64().unwrap()
}

/// Source: <https://docs.stripe.com/refunds#pending-refunds>.
/// Covers: fault 158, R-3.
#[test]
fn a_refund_waits_until_the_available_balance_covers_it() {
    let mut desk = Desk::default();
    account(&mut desk, json!({"refunds_wait_for_balance": true}));
    let intent = desk.pay("payment_method=pm_card_visa").ok().id();
    desk.wait(5);
    let known = desk.event_types().len();
    let id = refund(&mut desk, &intent, 700);
    let path = format!("/v1/refunds/{id}");
    let waiting = desk.get(&path);
    assert_eq!((waiting.text("status"), waiting.text("pending_reason")), ("pending", "insufficient_funds"));
    assert!(waiting.body["balance_transaction"].is_null());
    assert_eq!(desk.get("/v1/charges").rows()[0]["amount_refunded"], 700);
    desk.wait(3_600);
    assert_eq!(desk.get(&path).text("status"), "pending");
    desk.wait(2 * 86_400);
    let paid = desk.get(&path);
    assert_eq!(paid.text("status"), "succeeded");
    assert!(paid.body.get("pending_reason").is_none() && paid.body["balance_transaction"].is_string());
    assert_eq!(available(&mut desk), 941 - 700);
    assert_eq!(
        desk.events_since(known)[..4],
        ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]
    );
}

/// Covers: fault 158.
#[test]
fn without_the_switch_a_refund_succeeds_at_once_and_ends_the_waiting() {
    let mut desk = Desk::default();
    let intent = desk.pay("payment_method=pm_card_visa").ok().id();
    let at_once = refund(&mut desk, &intent, 100);
    assert_eq!(desk.get(&format!("/v1/refunds/{at_once}")).text("status"), "succeeded");
    account(&mut desk, json!({"refunds_wait_for_balance": true}));
    let waits = refund(&mut desk, &intent, 100);
    assert_eq!(desk.get(&format!("/v1/refunds/{waits}")).text("status"), "pending");
    account(&mut desk, json!({"refunds_wait_for_balance": false}));
    assert_eq!(desk.get(&format!("/v1/refunds/{waits}")).text("status"), "succeeded");
    assert_eq!(desk.control(Control::Account(json!({"colour": 1}))).response.status, 400);
}

/// Source: <https://docs.stripe.com/testing#refunds>.
/// Covers: fault 147, I10, R-2.
#[test]
fn a_refund_that_fails_gives_the_money_and_the_refundable_amount_back() {
    let mut desk = Desk::default();
    let intent = desk.pay("payment_method=pm_card_refundFail").ok().id();
    desk.wait(5);
    let (known, before) = (desk.event_types().len(), available(&mut desk));
    let id = refund(&mut desk, &intent, 1000);
    desk.wait(60);
    assert_eq!(
        desk.events_since(known),
        ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated", "refund.failed"]
    );
    let charge = desk.get("/v1/charges").rows()[0].clone();
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(0), &json!(false)));
    assert_eq!(available(&mut desk), before);
    let second = refund(&mut desk, &intent, 400);
    let page = desk.get("/v1/refunds?expand[]=data.failure_balance_transaction").ok();
    let failed = page.rows().iter().find(|row| row["id"] == json!(id)).unwrap();
    assert_eq!(failed["failure_reason"], "expired_or_canceled_card");
    let back = &failed["failure_balance_transaction"];
    assert_eq!((&back["type"], &back["amount"]), (&json!("refund_failure"), &json!(1000)));
    let other = page.rows().iter().find(|row| row["id"] == json!(second)).unwrap();
    assert!(other.get("failure_balance_transaction").is_none());
}

/// Covers: fault 147.
#[test]
fn a_pending_refund_settles_and_any_refund_can_fail_by_hand() {
    let mut desk = Desk::default();
    let intent = desk.pay("payment_method=pm_card_pendingRefund").ok().id();
    let known = desk.event_types().len();
    let id = refund(&mut desk, &intent, 300);
    assert_eq!(desk.get(&format!("/v1/refunds/{id}")).text("pending_reason"), "processing");
    desk.wait(60);
    let events = desk.events_since(known);
    let refunds: Vec<&str> =
        events.iter().map(String::as_str).filter(|kind| kind.contains("refund")).collect();
    assert_eq!(refunds, ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]);
    desk.wait(20 * 86_400);
    let failed = desk.by_hand(&id, json!({"fail_refund": {"reason": "lost_or_stolen_card"}})).ok();
    assert_eq!((failed.text("status"), failed.text("failure_reason")), ("failed", "lost_or_stolen_card"));
    assert_eq!(desk.by_hand(&id, json!({"fail_refund": {"reason": "boredom"}})).refusal(), (400, "reason"));
}

/// Covers: fault 156, R-5.
#[test]
fn a_refund_by_hand_has_no_key_and_no_metadata() {
    let mut desk = Desk::default();
    let intent = desk.pay("payment_method=pm_card_visa&metadata[order]=7").ok().id();
    let made = desk.by_hand(&intent, json!({"refund": {"amount": 250, "reason": "duplicate"}})).ok();
    assert_eq!((&made.body["metadata"], made.text("reason")), (&json!({}), "duplicate"));
    let event = &desk.events("type=refund.created")[0];
    assert!(event["request"]["id"].is_null() && event["request"]["idempotency_key"].is_null());
    assert_eq!(desk.by_hand(&intent, json!({"refund": {"amount": 751}})).refusal(), (400, "amount"));
    assert_eq!(desk.by_hand(&intent, json!({"refund": {}})).ok().body["amount"], 750);
}

/// Source: <https://docs.stripe.com/currencies/conversions>.
/// Covers: I1.
#[test]
fn money_is_booked_in_the_settlement_currency() {
    let mut desk = Desk::default();
    let plain = "amount=1000&currency=eur&confirm=true&payment_method=pm_card_visa";
    desk.post("/v1/payment_intents", plain).ok();
    account(&mut desk, json!({"settlement_currency": "usd", "exchange_rates": {"eur": 1.1}}));
    assert_eq!(desk.get("/v1/account").text("default_currency"), "usd");
    desk.wait(2);
    let intent = desk.post("/v1/payment_intents", plain).ok().id();
    desk.wait(2);
    desk.post("/v1/refunds", &format!("payment_intent={intent}&amount=500")).ok();
    desk.pay("payment_method=pm_card_visa").ok();
    desk.wait(2);
    let page = desk.get("/v1/balance_transactions").ok();
    let row = |at: usize| {
        let row = &page.rows()[at];
        (row["amount"].as_i64().unwrap(), row["currency"].clone(), row["exchange_rate"].clone())
    };
    assert_eq!(row(0), (1000, json!("usd"), Value::Null));
    assert_eq!(row(1), (-550, json!("usd"), json!(1.1)));
    assert_eq!(row(2), (1100, json!("usd"), json!(1.1)));
    assert_eq!(page.rows()[2]["fee"], 62, "2.9 % of 1100 and 30");
    assert_eq!(desk.get("/v1/refunds").rows()[0]["currency"], "eur");
    assert_eq!(desk.control(Control::Account(json!({"exchange_rates": {"eur": "-1"}}))).response.status, 400);
}
