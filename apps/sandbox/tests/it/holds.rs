//! Manual capture: from the hold to the money, or to its end.

use serde_json::{Value, json};

use crate::desk::{Desk, INTENTS};
use crate::harness::Rig;
use paywright_sandbox::model::Control;
use paywright_sandbox::model::checkout_session::PayDetails;

const HOLD: &str = "payment_method=pm_card_visa&capture_method=manual&expand[]=latest_charge";

/// Source: <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>.
/// Covers: fault 150, fault 152.
#[test]
fn a_capture_in_part_releases_the_rest_and_is_booked_later() {
    let mut desk = Desk::default();
    let held = desk.pay(HOLD).ok();
    let path = format!("{INTENTS}/{}", held.id());
    assert_eq!((held.text("status"), &held.body["amount_capturable"]), ("requires_capture", &json!(1000)));
    assert_eq!(held.body["latest_charge"]["captured"], false);
    assert!(held.body["latest_charge"]["payment_method_details"]["card"]["capture_before"].is_i64());
    desk.wait(2);
    assert!(desk.get("/v1/balance_transactions").rows().is_empty(), "a hold moves no money");
    for (amount, code) in [(1001, "amount_too_large"), (0, "parameter_invalid_integer")] {
        let refused = desk.post(&format!("{path}/capture"), &format!("amount_to_capture={amount}"));
        assert_eq!((refused.response.status, &refused.body["error"]["code"]), (400, &json!(code)));
        assert_eq!(refused.body["error"]["payment_intent"]["amount_capturable"], 1000);
    }

    let known = desk.event_types().len();
    let form = "amount_to_capture=400&expand[]=latest_charge";
    let captured = desk.post(&format!("{path}/capture"), form).ok();
    assert_eq!(
        (captured.text("status"), &captured.body["amount_received"], &captured.body["amount_capturable"]),
        ("succeeded", &json!(400), &json!(0))
    );
    assert!(captured.body["latest_charge"]["balance_transaction"].is_null());
    desk.wait(2);
    assert_eq!(desk.events_since(known), ["charge.captured", "payment_intent.succeeded", "charge.updated"]);
    let charge = desk.get(&format!("{path}?expand[]=latest_charge.balance_transaction")).body;
    assert_eq!(charge["latest_charge"]["balance_transaction"]["amount"], 400);

    let again = desk.post(&format!("{path}/capture"), "");
    assert_eq!(again.body["error"]["code"], "payment_intent_unexpected_state");
    assert!(again.body["error"]["message"].as_str().unwrap().contains("has been released"));
    let over = desk.post("/v1/refunds", &format!("payment_intent={}&amount=401", held.id()));
    assert_eq!(over.refusal(), (400, "amount"));
}

/// Covers: fault 149, C-3.
#[test]
fn a_hold_that_runs_out_is_canceled_and_can_not_be_captured() {
    let mut desk = Desk::default();
    let held = desk.pay(HOLD).ok();
    let path = format!("{INTENTS}/{}", held.id());
    desk.wait(7 * 86_400 - 1);
    assert_eq!(desk.get(&path).text("status"), "requires_capture");
    let known = desk.event_types().len();
    desk.wait(1);
    assert_eq!(desk.events_since(known), ["charge.expired", "payment_intent.canceled"]);
    let gone = desk.get(&path);
    assert_eq!((gone.text("status"), gone.text("cancellation_reason")), ("canceled", "automatic"));
    assert_eq!(gone.body["amount_capturable"], 0);
    let late = desk.post(&format!("{path}/capture"), "");
    assert_eq!(late.body["error"]["code"], "payment_intent_unexpected_state");
    desk.wait(5);
    assert!(desk.get("/v1/balance_transactions").rows().is_empty());
}

/// A Session that only holds is complete and unpaid; its intent says the rest.
/// Source: <https://docs.stripe.com/api/checkout/sessions/create>.
/// Covers: fault 149.
#[test]
fn a_checkout_session_can_hold() {
    let mut desk = Desk::default();
    let form = "mode=payment&success_url=http://127.0.0.1/ok&payment_intent_data[capture_method]=manual\
        &line_items[0][quantity]=1&line_items[0][price_data][currency]=usd\
        &line_items[0][price_data][unit_amount]=1000&line_items[0][price_data][product_data][name]=Tea";
    let session = desk.post("/v1/checkout/sessions", form).ok().id();
    let details = PayDetails { card: "4242424242424242".to_owned(), ..PayDetails::default() };
    let paid = desk.control(Control::PaySession { session, details }).ok();
    assert_eq!((paid.text("status"), paid.text("payment_status")), ("complete", "unpaid"));
    let path = format!("{INTENTS}/{}", paid.text("payment_intent"));
    assert_eq!(desk.get(&path).text("status"), "requires_capture");
    assert!(desk.event_types().contains(&"payment_intent.amount_capturable_updated".to_owned()));
    assert_eq!(
        desk.post(&format!("{path}/capture"), "amount_to_capture=1000").ok().text("status"),
        "succeeded"
    );
}

/// Covers: fault 151, M-3.
#[test]
fn a_hold_is_captured_or_canceled_in_the_dashboard() {
    let mut desk = Desk::default();
    let (one, other) = (desk.pay(HOLD).ok().id(), desk.pay(HOLD).ok().id());
    let captured = desk.by_hand(&one, json!({"capture": {"amount": 300}})).ok();
    assert_eq!(captured.body["amount_received"], 300);
    let canceled = desk.by_hand(&other, json!({"cancel": {"reason": "abandoned"}})).ok();
    assert_eq!(canceled.text("cancellation_reason"), "abandoned");
    assert_eq!(desk.by_hand(&one, json!({"cancel": {}})).response.status, 400);
    let events = desk.events("type=payment_intent.canceled");
    assert_eq!(events[0]["request"], json!({"id": Value::Null, "idempotency_key": Value::Null}));
}

/// Covers: fault 149.
#[tokio::test]
async fn the_pages_hold_as_well_as_they_charge() {
    let rig = Rig::start().await;
    let form = "amount=1000&currency=usd&capture_method=manual";
    let intent = rig.post(INTENTS, form).await.ok();
    let secret = intent.body["client_secret"].as_str().unwrap().to_owned();
    let path = format!("/v3/payment_intents/{}", intent.id());
    let card = format!("key=pk_test_1&client_secret={secret}&card=4000002760003184");
    let waits = rig.send(rig.form(&format!("{path}/confirm"), &card)).await.ok();
    assert_eq!(waits.body["status"], "requires_action");
    let answer = format!("key=pk_test_1&client_secret={secret}&outcome=complete");
    let held = rig.send(rig.form(&format!("{path}/authenticate"), &answer)).await.ok();
    assert_eq!(
        (&held.body["status"], &held.body["amount_capturable"]),
        (&json!("requires_capture"), &json!(1000))
    );

    let form = "mode=payment&success_url=http://127.0.0.1/ok&payment_intent_data[capture_method]=manual\
        &line_items[0][quantity]=1&line_items[0][price_data][currency]=usd\
        &line_items[0][price_data][unit_amount]=700&line_items[0][price_data][product_data][name]=Tea";
    let session = rig.post("/v1/checkout/sessions", form).await.ok().id();
    let page = format!("/c/pay/{session}");
    let paid = rig.send(rig.form(&page, "email=a%40example.com&number=4242424242424242")).await;
    assert_eq!((paid.status, paid.header("Location")), (303, Some("http://127.0.0.1/ok")));
    let newest = rig.get(&format!("{INTENTS}?limit=1")).await.ok().body["data"][0].clone();
    assert_eq!((&newest["status"], &newest["amount_capturable"]), (&json!("requires_capture"), &json!(700)));
    rig.stop().await;
}
