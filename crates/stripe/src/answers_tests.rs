use std::sync::Arc;

use paywright_domain::{CallState, GatewayCall, JobId, Mode, Operation, OrderId, Standing, ports::Clock};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::Settings;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00.5 UTC);

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> OffsetDateTime {
        NOW
    }
}

fn stripe() -> Stripe {
    Stripe::new(Settings::new("sk_test_canary".to_owned().into(), Mode::Test), Arc::new(Fixed)).unwrap()
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, body: body.to_string().into_bytes(), ..Reply::default() }
}

fn pi(id: &str) -> IntentId {
    IntentId::try_from(id.to_owned()).unwrap()
}

fn call() -> GatewayCall {
    let reason = None;
    GatewayCall {
        id: JobId::from_parts(NOW, &[1; 10]),
        order: OrderId::from_parts(NOW, &[2; 10]),
        payment: PaymentId::from_parts(NOW, &[3; 10]),
        subject: Subject::Refund(RefundId::from_parts(NOW, &[4; 10])),
        mode: Mode::Test,
        operation: Operation::CreateRefund { intent: pi("pi_1"), amount: 500, reason, metadata: [].into() },
        generation: 1,
        state: CallState::Recorded,
        recorded_at: NOW,
    }
}

fn refund() -> Value {
    json!({
        "id": "re_1", "object": "refund", "amount": 500, "currency": "usd", "created": 1_795_000_000,
        "status": "succeeded", "payment_intent": "pi_1", "metadata": {"paywright_refund": call().subject.to_string()},
    })
}

fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1999, "amount_capturable": 1999, "amount_received": 0,
        "currency": "usd", "status": status, "created": 1_795_000_000, "livemode": false, "metadata": {},
    })
}

fn dispute() -> Value {
    json!({
        "id": "du_1", "object": "dispute", "amount": 1999, "currency": "usd", "created": 1_795_000_000,
        "livemode": false, "status": "needs_response", "reason": "general", "is_charge_refundable": true,
        "payment_intent": "pi_1", "balance_transactions": [],
    })
}

fn session(status: &Value, url: Option<&str>) -> Value {
    json!({
        "id": "cs_1", "object": "checkout.session", "mode": "payment", "amount_total": 1999, "currency": "usd",
        "status": status, "created": 1_795_000_000, "livemode": false, "metadata": {}, "url": url,
    })
}

fn doubt<T: std::fmt::Debug>(outcome: Result<T, GatewayError>) -> String {
    match outcome {
        Err(GatewayError::Unknown(source)) => source.to_string(),
        other => panic!("relied on: {other:?}"),
    }
}

/// Covers: I7, fault 22.
#[test]
fn a_refund_that_is_not_the_one_asked_for_is_unknown() {
    let made = |refund: &Value| stripe().created_refund(&reply(200, refund), &call(), &pi("pi_1"));
    assert_eq!(made(&refund()).unwrap().sighting.id.as_str(), "re_1");
    for (field, value) in [
        ("object", json!("charge")),
        ("payment_intent", json!("pi_2")),
        ("payment_intent", json!(null)),
        ("metadata", json!({})),
        ("metadata", json!({"paywright_refund": RefundId::from_parts(NOW, &[5; 10]).to_string()})),
    ] {
        let mut other = refund();
        other[field] = value;
        let words = doubt(made(&other));
        assert!(words.starts_with("asked for"), "{field}: {words}");
    }
}

/// Covers: fault 22, fault 23.
#[test]
fn a_refund_or_dispute_without_what_is_needed_is_unknown_and_the_field_is_named() {
    for (field, value) in [("id", json!("re/1")), ("created", json!(-1))] {
        let mut odd = refund();
        odd[field] = value;
        let words = doubt(stripe().created_refund(&reply(200, &odd), &call(), &pi("pi_1")));
        assert!(words.contains(field), "{words}");
    }
    let id = GatewayDisputeId::try_from("du_1".to_owned()).unwrap();
    let mut odd = dispute();
    odd["currency"] = "kwd".into();
    assert!(doubt(stripe().dispute_answer(&reply(200, &odd), &id)).contains("currency"));
}

/// Covers: fault 22.
#[test]
fn a_dispute_that_is_not_the_one_asked_for_is_unknown() {
    let read = |name: &str, dispute: &Value| {
        let id = GatewayDisputeId::try_from(name.to_owned()).unwrap();
        stripe().dispute_answer(&reply(200, dispute), &id)
    };
    let seen = read("du_1", &dispute()).unwrap();
    assert_eq!(
        (seen.sighting.due_by, seen.sighting.submitted),
        (None, false),
        "no details: no answer is due"
    );
    assert_eq!(doubt(read("du_2", &dispute())), "asked for dispute du_2, but the answer is dispute du_1");
    let mut other = dispute();
    other["object"] = "issuing.dispute".into();
    doubt(read("du_1", &other));
}

/// What was declined was not taken: the answer must not pass for that of a capture.
///
/// Covers: fault 19, fault 149.
#[test]
fn a_declined_capture_is_refused_although_the_answer_shows_the_payment() {
    let error = json!({"error": {
        "type": "card_error", "code": "card_declined", "message": "Your card was declined.",
        "payment_intent": intent("requires_capture"),
    }});
    let outcome = stripe().intent_answer(&reply(402, &error), &pi("pi_1"));
    assert!(
        matches!(&outcome, Err(GatewayError::Rejected { code, .. }) if code == "card_declined"),
        "{outcome:?}"
    );
    let seen = stripe().intent_answer(&reply(200, &intent("requires_capture")), &pi("pi_1")).unwrap();
    assert_eq!(seen.snapshot.sighting.standing, Standing::Authorized(1999));
}

/// A list of a payment's values is no payment, wherever it stands.
///
/// Covers: fault 19.
#[test]
fn a_decline_that_shows_no_object_is_a_refusal_like_any_other() {
    let mut error = json!({"error": {"type": "card_error", "code": "card_declined"}});
    let mut told = intent("requires_payment_method");
    told["metadata"] = json!({"paywright_payment": call().payment.to_string()});
    for field in ["client_secret", "latest_charge", "last_payment_error"] {
        told[field] = json!(null);
    }
    error["error"]["payment_intent"] = told.clone();
    let seen = stripe().created_intent(&reply(402, &error), call().payment).unwrap();
    assert_eq!(seen.snapshot.refusal.map(|refusal| refusal.code).as_deref(), Some("card_declined"));
    error["error"]["payment_intent"] = told.as_object().unwrap().values().cloned().collect();
    let outcome = stripe().created_intent(&reply(402, &error), call().payment);
    assert!(matches!(outcome, Err(GatewayError::Rejected { .. })), "{outcome:?}");
}

/// Covers: fault 2.
#[test]
fn a_stored_answer_about_a_dispute_never_passes_for_news() {
    let id = GatewayDisputeId::try_from("du_1".to_owned()).unwrap();
    let fresh = stripe().dispute_answer(&reply(200, &dispute()), &id).unwrap();
    assert_eq!(fresh.sighting.at, datetime!(2026-11-21 12:00 UTC));
    let stored = Reply { replayed: true, ..reply(200, &dispute()) };
    let stored = stripe().dispute_answer(&stored, &id).unwrap();
    assert_eq!(stored.sighting.at, stored.created_at);
}

/// Of a page in a state of next year, its address is all that tells whether it is open.
///
/// Covers: fault 23.
#[test]
fn the_address_of_a_page_is_kept_unless_its_status_says_that_it_is_closed() {
    let read = |status: Value, url| {
        stripe().session_answer(&reply(200, &session(&status, url)), &Asked::About("cs_1")).unwrap()
    };
    let url = Some("https://checkout.stripe.com/c/pay/cs_1");
    for (status, closed, standing) in [
        (json!("open"), false, Standing::AwaitingMethod),
        (json!("complete"), true, Standing::Unclear),
        (json!("expired"), true, Standing::Cancelled),
        (json!("paused"), false, Standing::Unclear),
        (json!(null), false, Standing::Unclear),
    ] {
        let page = read(status.clone(), url);
        assert_eq!(page.url.as_deref(), url.filter(|_| !closed), "{status}");
        assert_eq!(page.snapshot.sighting.standing, standing, "{status}");
        assert_eq!(read(status.clone(), None).url, None, "{status}");
    }
}
