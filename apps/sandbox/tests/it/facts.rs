//! Single facts about Stripe, each with its source, on the pure model.

use paywright_sandbox::model::{Control, Effect, Input, Method, Mode, Request, Time};
use serde_json::Value;

use crate::desk::{Desk, INTENTS};

/// What was given up stays undelivered, so that a catch-up after an outage finds it; a resend settles it.
/// Source: <https://docs.stripe.com/webhooks/process-undelivered-events>.
#[test]
fn an_event_that_was_given_up_is_listed_as_undelivered() {
    let mut desk = Desk::default();
    desk.post(INTENTS, "amount=500&currency=usd").ok();
    desk.post("/v1/webhook_endpoints", "url=http://127.0.0.1:1/&enabled_events[]=*").ok();
    desk.post(INTENTS, "amount=600&currency=usd").ok();
    assert_eq!(desk.deliver(500), 1);
    desk.wait(2);
    assert_eq!(desk.deliver(500), 1);
    desk.wait(3_600);
    assert_eq!(desk.deliver(200), 0, "given up");
    let undelivered = desk.events("delivery_success=false");
    assert_eq!(undelivered.len(), 1, "the first event had no endpoint: it is neither");
    assert_eq!(undelivered[0]["pending_webhooks"], 1);
    assert!(desk.events("delivery_success=true").is_empty());
    let event = undelivered[0]["id"].as_str().unwrap().to_owned();
    desk.apply(&Input::Control(Control::Resend { event }));
    assert_eq!(desk.deliver(200), 1);
    assert!(desk.events("delivery_success=false").is_empty());
    assert_eq!(desk.events("delivery_success=true")[0]["pending_webhooks"], 0);
}

/// Source: <https://docs.stripe.com/changelog/dahlia/2026-07-29/allowed-payment-method-types-parameter>.
#[test]
fn allowed_payment_method_types_exclude_other_ways_of_choosing() {
    let mut desk = Desk::default();
    let allowed = "amount=500&currency=usd&allowed_payment_method_types[]=card";
    let open = desk.post(INTENTS, allowed).ok();
    assert_eq!(open.body["allowed_payment_method_types"], serde_json::json!(["card"]));
    for (other, param) in [
        ("payment_method_types[]=card", "payment_method_types"),
        ("excluded_payment_method_types[]=klarna", "excluded_payment_method_types"),
        ("automatic_payment_methods[enabled]=true", "automatic_payment_methods"),
        ("payment_method_configuration=pmc_1", "payment_method_configuration"),
    ] {
        assert_eq!(desk.post(INTENTS, &format!("{allowed}&{other}")).refusal(), (400, param));
    }
    let both = "allowed_payment_method_types[]=card&payment_method_types[]=card";
    assert_eq!(desk.post("/v1/setup_intents", both).refusal(), (400, "payment_method_types"));
}

/// Source: <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>.
#[test]
fn a_visa_hold_that_the_merchant_began_ends_earlier() {
    let mut desk = Desk::default();
    let created = desk.model.clock.at(Time(0)).seconds();
    for (card, off_session, seconds) in [
        ("pm_card_visa", false, 7 * 86_400),
        ("pm_card_visa", true, 4 * 86_400 + 18 * 3_600),
        ("pm_card_mastercard", true, 7 * 86_400),
    ] {
        let held = desk.pay(&format!(
            "payment_method={card}&capture_method=manual&off_session={off_session}&expand[]=latest_charge"
        ));
        let before = &held.body["latest_charge"]["payment_method_details"]["card"]["capture_before"];
        assert_eq!(*before, created + seconds, "{card} {off_session}");
    }
    desk.wait(5 * 86_400);
    let kinds = desk.event_types();
    assert_eq!(kinds.iter().filter(|kind| *kind == "charge.expired").count(), 1);
    assert!(
        kinds.ends_with(&["charge.expired".to_owned(), "payment_intent.canceled".to_owned()]),
        "{kinds:?}"
    );
}

/// The created event already names the payment method that pays.
/// Source: <https://docs.stripe.com/api/payment_intents/create>.
#[test]
fn a_token_becomes_one_payment_method() {
    let mut desk = Desk::default();
    let paid = desk.pay("payment_method=pm_card_visa").ok();
    assert_eq!(desk.events("")[0]["data"]["object"]["payment_method"], paid.body["payment_method"]);
    let saved = desk.post("/v1/setup_intents", "confirm=true&payment_method=pm_card_visa").ok();
    let created = &desk.events("type=setup_intent.created")[0]["data"]["object"]["payment_method"];
    assert_eq!(*created, saved.body["payment_method"]);
}

/// Source: <https://docs.stripe.com/payments/sepa-debit/accept-a-payment#test>.
#[test]
fn a_debit_is_described_by_its_iban_and_ends_later() {
    let mut desk = Desk::default();
    let data = "payment_method_data[type]=sepa_debit&payment_method_data[sepa_debit][iban]=";
    let good = desk.pay(&format!("{data}AT321904300235473204")).ok();
    assert_eq!(good.text("status"), "processing");
    let bad = desk.pay(&format!("{data}AT861904300235473202")).ok();
    desk.wait(60);
    assert_eq!(desk.get(&format!("{INTENTS}/{}", good.id())).text("status"), "succeeded");
    assert_eq!(desk.get(&format!("{INTENTS}/{}", bad.id())).text("status"), "requires_payment_method");
    assert_eq!(desk.pay(&format!("{data}AT1")).refusal().0, 400);
    assert_eq!(desk.pay("payment_method_data[type]=klarna").refusal().0, 400);
}

/// Source: <https://docs.stripe.com/testing#fraud-prevention>.
#[test]
fn the_fraud_record_card_gets_an_early_fraud_warning() {
    let mut desk = Desk::default();
    let paid = desk.pay("payment_method=pm_card_createIssuerFraudRecord").ok();
    let warning = &desk.events("type=radar.*")[0]["data"]["object"];
    assert_eq!(warning["charge"], paid.body["latest_charge"]);
}

/// Evidence that was staged is submitted by `submit=true` alone; a dispute's rows are not found by its id.
/// Source: <https://docs.stripe.com/api/disputes/update>.
#[test]
fn staged_evidence_is_submitted_alone() {
    let mut desk = Desk::default();
    desk.pay("payment_method=pm_card_createDispute").ok();
    let dispute = desk.get("/v1/disputes").rows()[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/disputes/{dispute}");
    desk.post(&path, "evidence[uncategorized_text]=winning_evidence&submit=false").ok();
    assert_eq!(desk.post(&path, "metadata[a]=1").text("status"), "needs_response");
    assert_eq!(desk.post(&path, "submit=true").text("status"), "under_review");
    desk.wait(60);
    assert_eq!(desk.get(&path).text("status"), "won");
    assert_eq!(desk.get("/v1/balance_transactions?type=adjustment").rows().len(), 2);
    assert!(desk.get(&format!("/v1/balance_transactions?source={dispute}")).rows().is_empty());
}

/// Source: <https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses>.
#[test]
fn an_incomplete_subscription_ends_with_its_invoice_and_intent() {
    let mut desk = Desk::default();
    let subscription = desk.subscribe("");
    assert_eq!(subscription.text("status"), "incomplete");
    let secret = &subscription.body["latest_invoice"]["confirmation_secret"]["client_secret"];
    let intent = secret.as_str().unwrap().split("_secret_").next().unwrap().to_owned();
    desk.wait(23 * 3_600 - 1);
    assert_eq!(desk.get(&format!("{INTENTS}/{intent}")).text("status"), "requires_payment_method");
    desk.wait(1);
    let ended = desk.get(&format!("/v1/subscriptions/{}", subscription.id()));
    assert_eq!(ended.text("status"), "incomplete_expired");
    let void = desk.get(&format!("{INTENTS}/{intent}"));
    assert_eq!((void.text("status"), void.text("cancellation_reason")), ("canceled", "void_invoice"));
    let payment = desk
        .get(&format!("/v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}"));
    assert_eq!(payment.rows()[0]["status"], "canceled");
    let late = desk.post(&format!("{INTENTS}/{intent}/confirm"), "payment_method=pm_card_visa");
    assert_eq!(late.refusal().0, 400);
}

/// Source: <https://docs.stripe.com/api/subscriptions/object#subscription_object-pending_setup_intent>.
#[test]
fn a_trial_is_continued_with_the_card_that_was_set_up_or_becomes_past_due() {
    let mut desk = Desk::default();
    let (with, without) = (desk.subscribe("trial_period_days=7"), desk.subscribe("trial_period_days=7"));
    let setup = with.text("pending_setup_intent").to_owned();
    desk.post(&format!("/v1/setup_intents/{setup}/confirm"), "payment_method=pm_card_visa").ok();
    let card = desk.get(&format!("/v1/subscriptions/{}", with.id()));
    assert!(card.body["pending_setup_intent"].is_null() && card.body["default_payment_method"].is_string());
    desk.wait(7 * 86_400 + 3_600);
    for (id, status) in [(with.id(), "active"), (without.id(), "past_due")] {
        assert_eq!(desk.get(&format!("/v1/subscriptions/{id}")).text("status"), status);
    }
    assert_eq!(desk.events("type=invoice.payment_failed").len(), 1);
}

/// Source: <https://docs.stripe.com/api/subscriptions/update#update_subscription-items>.
#[test]
fn an_item_without_an_id_is_added() {
    let mut desk = Desk::default();
    let subscription = desk.subscribe("").id();
    let path = format!("/v1/subscriptions/{subscription}");
    let price = desk.price(700);
    let more = desk.post(&path, &format!("items[0][price]={price}&items[0][quantity]=2")).ok();
    let items = more.body["items"]["data"].as_array().unwrap();
    assert_eq!((items.len(), &items[1]["quantity"]), (2, &Value::from(2)));
    let form = "currency=usd&unit_amount=700&recurring[interval]=year&product_data[name]=Club";
    let yearly = desk.post("/v1/prices", form).ok().id();
    assert_eq!(desk.post(&path, &format!("items[0][price]={yearly}")).refusal().0, 400);
    assert_eq!(desk.get(&path).body["items"]["data"].as_array().unwrap().len(), 2);
}

/// Source: <https://docs.stripe.com/api/payouts/object#payout_object-status>.
#[test]
fn a_payout_is_in_transit_before_it_is_paid_and_lists_its_own_row() {
    let mut desk = Desk::default();
    desk.pay("payment_method=pm_card_bypassPending").ok();
    desk.wait(86_400 + 10);
    let payout = desk.get("/v1/payouts").rows()[0].clone();
    let rows = desk.get(&format!("/v1/balance_transactions?payout={}", payout["id"].as_str().unwrap()));
    let sum = |own: bool| -> i64 {
        let rows = rows.rows().iter().filter(|row| (row["type"] == "payout") == own);
        rows.map(|row| row["net"].as_i64().unwrap()).sum()
    };
    assert_eq!(
        (sum(false), sum(true)),
        (payout["amount"].as_i64().unwrap(), -payout["amount"].as_i64().unwrap())
    );
    desk.wait(2 * 86_400);
    let kinds = desk.event_types();
    let tail: Vec<&str> = kinds
        .iter()
        .map(String::as_str)
        .filter(|kind| kind.contains("payout") || kind.contains("balance"))
        .collect();
    let life = [
        "balance.available",
        "payout.created",
        "payout.reconciliation_completed",
        "payout.updated",
        "payout.paid",
    ];
    assert_eq!(tail, life);
}

/// Source: <https://docs.stripe.com/api/payouts/object#payout_object-failure_balance_transaction>.
#[test]
fn a_failed_payouts_money_comes_back_and_leaves_with_the_next() {
    let mut desk = Desk::default();
    desk.pay("payment_method=pm_card_bypassPending").ok();
    desk.wait(3 * 86_400);
    let payout = desk.get("/v1/payouts").rows()[0].clone();
    let (id, amount) = (payout["id"].as_str().unwrap(), payout["amount"].as_i64().unwrap());
    assert_eq!(payout["status"], "paid");
    let failed = desk.by_hand(id, serde_json::json!("fail_payout")).ok();
    assert_eq!((failed.text("status"), failed.text("failure_code")), ("failed", "account_closed"));
    let back = failed.text("failure_balance_transaction").to_owned();
    let back = desk.get(&format!("/v1/balance_transactions/{back}?expand[]=source"));
    assert_eq!((back.text("type"), &back.body["net"]), ("payout_failure", &Value::from(amount)));
    assert_eq!(back.body["source"]["id"], id);
    assert_eq!(desk.events("type=payout.failed").len(), 1);
    assert_eq!(desk.by_hand(id, serde_json::json!("fail_payout")).response.status, 400);
    desk.wait(86_400 + 10);
    let next = desk.get("/v1/payouts").rows()[0].clone();
    assert_eq!((&next["amount"], &next["automatic"]), (&Value::from(amount), &Value::from(true)));
    assert_ne!(next["id"], id);
}

/// Source: <https://docs.stripe.com/error-low-level>: what is kept under a key is the truth of the execution.
#[test]
fn a_lie_on_the_wire_is_not_kept_under_the_key() {
    let mut desk = Desk::default();
    let request = || Request::new(Method::Post, INTENTS).form("amount=500&currency=usd").idempotent("k");
    let lie = desk.send(request(), Some(Effect::WrongAmount)).ok();
    assert_eq!(lie.body["amount"], 501);
    let truth = desk.send(request(), None).ok();
    assert_eq!((truth.id(), &truth.body["amount"]), (lie.id(), &Value::from(500)));
    assert_eq!(truth.response.header_value("Idempotent-Replayed"), Some("true"));
}

/// Source: <https://docs.stripe.com/error-low-level>.
#[test]
fn a_replayed_decline_is_not_to_be_retried_either() {
    let mut desk = Desk::default();
    let form = "amount=500&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined";
    let request = || Request::new(Method::Post, INTENTS).form(form).idempotent("k");
    for _ in 0..2 {
        let declined = desk.send(request(), None);
        let retry = declined.response.header_value("Stripe-Should-Retry");
        assert_eq!((declined.response.status, retry), (402, Some("false")));
    }
    assert_eq!(desk.model.world(Mode::Test).charges.len(), 1);
}

/// A 500 hides what the issuer said, and is kept.
/// Covers: fault 13, fault 19.
#[test]
fn a_decline_behind_a_500_has_happened() {
    let mut desk = Desk::default();
    let form = "amount=500&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined";
    let request = || Request::new(Method::Post, INTENTS).form(form).idempotent("k");
    for fault in [Some(Effect::ErrorWithEffect), None] {
        let hidden = desk.send(request(), fault);
        assert_eq!((hidden.response.status, &hidden.body["error"]["type"]), (500, &Value::from("api_error")));
    }
    assert_eq!(desk.get("/v1/charges").rows()[0]["status"], "failed");
    let invalid = Request::new(Method::Post, INTENTS).form("amount=x").idempotent("l");
    assert_eq!(desk.send(invalid, Some(Effect::ErrorWithEffect)).response.status, 400);
}

/// Source: <https://docs.stripe.com/api/expanding_objects>.
#[test]
fn an_object_is_not_expanded_into_itself() {
    let mut desk = Desk::default();
    let intent = desk.post(INTENTS, "amount=500&currency=usd").ok().id();
    for wrong in ["id", "status", "invoice", "charges", "id.id"] {
        assert_eq!(
            desk.get(&format!("{INTENTS}/{intent}?expand[]={wrong}")).refusal(),
            (400, "expand"),
            "{wrong}"
        );
    }
}

/// Source: <https://docs.stripe.com/api/events>: the last thirty days.
#[test]
fn old_events_are_not_listed() {
    let mut desk = Desk::default();
    desk.post(INTENTS, "amount=500&currency=usd").ok();
    desk.wait(30 * 86_400 - 1);
    assert_eq!(desk.events("").len(), 1);
    desk.wait(1);
    assert!(desk.events("").is_empty());
}
