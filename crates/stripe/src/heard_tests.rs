use paywright_domain::{IntentId, Money, PaymentId, SessionId, Standing};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};

use super::*;

const CREATED: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn our_payment() -> PaymentId {
    PaymentId::from_parts(CREATED, &[7; 10])
}

fn event(kind: &str, object: Value) -> Value {
    json!({
        "id": "evt_1", "object": "event", "type": kind, "created": CREATED.unix_timestamp(), "livemode": false,
        "api_version": API_VERSION, "data": {"object": object}, "request": {"id": null, "idempotency_key": null},
    })
}

fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1999, "amount_capturable": 0, "amount_received": 0,
        "currency": "usd", "status": status, "created": 1, "livemode": false, "client_secret": "pi_1_secret_x",
        "latest_charge": null, "last_payment_error": null, "next_action": null,
        "metadata": {"paywright_payment": our_payment().to_string(), "colour": "red"},
    })
}

fn session(status: &str) -> Value {
    json!({
        "id": "cs_test_1", "object": "checkout.session", "mode": "payment", "amount_total": 1999, "currency": "usd",
        "status": status, "created": 1, "livemode": false, "payment_intent": null, "url": null,
        "metadata": {"paywright_payment": our_payment().to_string()},
    })
}

fn charge() -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 1999, "amount_captured": 1999, "amount_refunded": 500,
        "captured": true, "currency": "usd", "livemode": false, "metadata": {}, "payment_intent": "pi_1",
        "status": "succeeded",
    })
}

fn hear(event: &Value) -> Result<Heard, Malformed> {
    understand(event.to_string().as_bytes())
}

fn payment(event: &Value) -> Snapshot {
    match hear(event) {
        Ok(Heard::Payment(snapshot)) => *snapshot,
        other => panic!("{other:?} from {event}"),
    }
}

fn nothing(event: &Value) -> String {
    match hear(event) {
        Ok(Heard::Nothing(what)) => what,
        other => panic!("{other:?} from {event}"),
    }
}

/// Covers: I23, fault 23.
#[test]
fn each_status_of_an_intent_has_one_standing() {
    for (status, expected) in [
        ("requires_payment_method", Standing::AwaitingMethod),
        ("requires_confirmation", Standing::AwaitingMethod),
        ("requires_action", Standing::ActionRequired),
        ("processing", Standing::Processing),
        ("canceled", Standing::Cancelled),
        ("requires_reauthorization", Standing::Unclear),
        ("a_status_of_next_year", Standing::Unclear),
    ] {
        assert_eq!(
            payment(&event("payment_intent.created", intent(status))).sighting.standing,
            expected,
            "{status}"
        );
    }
    let mut authorized = intent("requires_capture");
    authorized["amount_capturable"] = 1999.into();
    let seen = payment(&event("payment_intent.amount_capturable_updated", authorized));
    assert_eq!(seen.sighting.standing, Standing::Authorized(1999));
    let mut captured = intent("succeeded");
    captured["amount_received"] = 1999.into();
    let seen = payment(&event("payment_intent.succeeded", captured));
    assert_eq!(seen.sighting.standing, Standing::Captured { captured: 1999, refunded: 0 });
}

#[test]
fn an_event_tells_who_when_how_much_and_on_whose_word() {
    let seen = payment(&event("payment_intent.created", intent("requires_payment_method")));
    assert_eq!(seen.payment, Some(our_payment()));
    assert_eq!(seen.mode, Mode::Test);
    assert_eq!(seen.amount, Money::from_minor(1999, "usd".parse().unwrap()).ok());
    assert_eq!(seen.sighting.at, CREATED);
    assert_eq!(seen.sighting.intent, IntentId::try_from("pi_1".to_owned()).ok());
    assert_eq!(seen.sighting.session, None);
    assert_eq!(seen.origin, Origin { event: Some("evt_1".to_owned()), request: None });
    assert_eq!(seen.refusal, None);
}

#[test]
fn every_type_about_a_payment_is_understood() {
    for kind in [
        "created",
        "requires_action",
        "processing",
        "amount_capturable_updated",
        "succeeded",
        "canceled",
        "payment_failed",
        "partially_funded",
        "new_next_year",
    ] {
        let event = event(&format!("payment_intent.{kind}"), intent("requires_action"));
        assert_eq!(payment(&event).sighting.standing, Standing::ActionRequired);
    }
    for kind in ["completed", "async_payment_succeeded", "async_payment_failed", "expired"] {
        let event = event(&format!("checkout.session.{kind}"), session("complete"));
        assert_eq!(payment(&event).sighting.standing, Standing::Unclear);
    }
    for kind in ["succeeded", "captured", "refunded", "updated"] {
        let seen = payment(&event(&format!("charge.{kind}"), charge()));
        assert_eq!(seen.sighting.standing, Standing::Captured { captured: 1999, refunded: 500 });
        assert_eq!(seen.sighting.intent, IntentId::try_from("pi_1".to_owned()).ok());
    }
}

#[test]
fn a_finished_page_leaves_it_to_its_intent() {
    for (status, expected) in [
        ("open", Standing::AwaitingMethod),
        ("expired", Standing::Cancelled),
        ("complete", Standing::Unclear),
        ("new", Standing::Unclear),
    ] {
        let mut session = session(status);
        session["payment_intent"] = "pi_1".into();
        let seen = payment(&event("checkout.session.completed", session));
        assert_eq!(seen.sighting.standing, expected, "{status}");
        assert_eq!(seen.sighting.session, SessionId::try_from("cs_test_1".to_owned()).ok());
        assert_eq!(seen.sighting.intent, IntentId::try_from("pi_1".to_owned()).ok());
        assert_eq!(seen.amount.map(Money::minor), Some(1999));
    }
}

#[test]
fn a_charge_that_took_no_money_of_an_intent_tells_nothing() {
    for (field, value) in [
        ("captured", json!(false)),
        ("status", json!("failed")),
        ("status", json!("pending")),
        ("payment_intent", json!(null)),
    ] {
        let mut charge = charge();
        charge[field] = value;
        assert_eq!(nothing(&event("charge.succeeded", charge)), "charge.succeeded", "{field}");
    }
}

/// Covers: I23, fault 50.
#[test]
fn what_is_not_about_a_payment_needs_nothing_of_us() {
    for (kind, object) in [
        ("charge.dispute.created", json!({"id": "du_1", "object": "dispute"})),
        ("charge.refund.updated", json!({"id": "re_1", "object": "refund"})),
        ("customer.created", json!({"id": "cus_1", "object": "customer"})),
        ("balance.available", json!({"object": "balance"})),
        ("a.type.of.next.year", json!({})),
        ("payment_intent.created", json!({"object": "something_else"})),
        ("payment_intent.created", json!([])),
    ] {
        assert_eq!(nothing(&event(kind, object)), kind);
    }
    let mut setup = session("complete");
    setup["mode"] = "setup".into();
    assert_eq!(nothing(&event("checkout.session.completed", setup)), "checkout.session.completed");
}

#[test]
fn thin_events_are_refused_by_what_they_are() {
    let thin =
        json!({"id": "evt_1", "object": "v2.core.event", "type": "v1.x", "created": "2026-11-21T12:00:00Z"});
    assert_eq!(nothing(&thin), "a thin event, v1.x");
}

/// Covers: fault 24.
#[test]
fn an_event_of_another_release_only_says_what_to_look_at() {
    for version in [json!("2026-09-30.endive"), json!("2022-11-15"), json!(null), json!("dahlia"), json!("")]
    {
        let mut event = event(
            "payment_intent.succeeded",
            json!({"id": "pi_1", "object": "payment_intent", "amount": {}}),
        );
        event["api_version"] = version.clone();
        let seen = payment(&event);
        assert_eq!((seen.sighting.standing, seen.amount), (Standing::Unclear, None), "{version}");
        assert_eq!(seen.sighting.intent, IntentId::try_from("pi_1".to_owned()).ok());
    }
    let mut old = event("charge.refunded", charge());
    old["api_version"] = "2025-09-30.clover".into();
    assert_eq!(payment(&old).sighting.standing, Standing::Unclear);
    let mut newer = event("payment_intent.created", intent("processing"));
    newer["api_version"] = "2026-08-26.dahlia".into();
    assert_eq!(payment(&newer).sighting.standing, Standing::Processing);
}

/// Covers: fault 22, fault 55.
#[test]
fn money_in_a_currency_that_we_do_not_know_is_never_taken_for_ours() {
    let mut succeeded = intent("succeeded");
    succeeded["currency"] = "kwd".into();
    succeeded["amount_received"] = 1999.into();
    let seen = payment(&event("payment_intent.succeeded", succeeded));
    assert_eq!((seen.sighting.standing, seen.amount), (Standing::Unclear, None));
    let mut charge = charge();
    charge["currency"] = "kwd".into();
    assert_eq!(payment(&event("charge.succeeded", charge)).sighting.standing, Standing::Unclear);
}

/// Covers: fault 19.
#[test]
fn a_decline_is_told_with_the_words_for_the_customer() {
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({
        "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "charge": "ch_1",
        "message": "Your card has insufficient funds.", "payment_method": {"id": "pm_1"},
    });
    let refusal = payment(&event("payment_intent.payment_failed", failed)).refusal.unwrap();
    assert_eq!(refusal.key, "ch_1");
    assert_eq!(
        (refusal.code.as_str(), refusal.decline_code.as_deref()),
        ("card_declined", Some("insufficient_funds"))
    );
    assert_eq!((refusal.message.as_str(), refusal.at), ("Your card has insufficient funds.", CREATED));
}

#[test]
fn a_failed_authentication_is_a_decline_without_stripes_words_for_developers() {
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({
        "type": "invalid_request_error", "code": "payment_intent_authentication_failure",
        "message": "Provide a PaymentMethod.", "payment_method": {"id": "pm_1"},
    });
    let refusal = payment(&event("payment_intent.payment_failed", failed.clone())).refusal.unwrap();
    assert_eq!(refusal.key, "payment_intent_authentication_failure:pm_1");
    assert!(!refusal.message.contains("PaymentMethod"), "{}", refusal.message);
    failed["last_payment_error"]["payment_method"] = json!(null);
    let refusal = payment(&event("payment_intent.payment_failed", failed)).refusal.unwrap();
    assert_eq!(refusal.key, format!("payment_intent_authentication_failure:{}", CREATED.unix_timestamp()));
}

#[test]
fn trouble_that_is_no_decline_is_not_shown_as_one() {
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({"type": "api_error", "message": "Internal."});
    assert_eq!(payment(&event("payment_intent.payment_failed", failed)).refusal, None);
}

/// Covers: I31, fault 134.
#[test]
fn a_snapshot_holds_no_client_secret() {
    let seen = payment(&event("payment_intent.created", intent("processing")));
    assert!(!format!("{seen:?}").contains("_secret_"));
}

#[test]
fn objects_that_do_not_name_a_payment_of_ours_are_told_all_the_same() {
    for metadata in [json!({}), json!(null), json!({"paywright_payment": "ord_x"}), json!({"order": "1"})] {
        let mut foreign = intent("processing");
        foreign["metadata"] = metadata;
        assert_eq!(payment(&event("payment_intent.processing", foreign)).payment, None);
    }
}

/// Covers: fault 23, fault 48.
#[test]
fn an_event_that_lacks_what_is_needed_is_malformed_and_the_field_is_named() {
    for (field, name) in [("amount", "amount"), ("status", "status"), ("id", "id"), ("livemode", "livemode")]
    {
        let mut object = intent("processing");
        object.as_object_mut().unwrap().remove(field);
        let Malformed(words) = hear(&event("payment_intent.processing", object)).unwrap_err();
        assert!(words.contains(name), "{words}");
    }
    let Malformed(words) = hear(&event("payment_intent.succeeded", {
        let mut object = intent("succeeded");
        object.as_object_mut().unwrap().remove("amount_received");
        object
    }))
    .unwrap_err();
    assert!(words.contains("amount_received"), "{words}");
    for body in [json!(null), json!({}), json!({"object": "payment_intent"}), json!({"object": "event"})] {
        assert!(hear(&body).is_err(), "{body}");
    }
    let mut negative = intent("processing");
    negative["amount"] = (-5).into();
    assert!(hear(&event("payment_intent.processing", negative)).is_err());
}

proptest! {
    /// Covers: fault 23.
    #[test]
    fn any_value_in_any_field_is_read_or_refused_without_a_panic(
        field in prop::sample::select(vec![
            "id", "object", "amount", "amount_received", "currency", "status", "livemode", "metadata",
            "latest_charge", "last_payment_error", "created",
        ]),
        value in prop::sample::select(vec![
            json!(null), json!(0), json!(-1), json!(1.5), json!(u64::MAX), json!(""), json!("succeeded"),
            json!("\u{0}"), json!([]), json!({}), json!({"id": "x"}), json!(true), json!("é".repeat(300)),
        ]),
        kind in prop::sample::select(vec!["payment_intent.succeeded", "checkout.session.completed", "charge.updated"]),
    ) {
        let mut object = match kind {
            "payment_intent.succeeded" => intent("succeeded"),
            "charge.updated" => charge(),
            _ => session("open"),
        };
        object[field] = value;
        let _ = hear(&event(kind, object));
    }
}
