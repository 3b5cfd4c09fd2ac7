use paywright_domain::{
    BalanceTransaction, DisputeStatus, IntentId, Money, PaymentId, RefundId, RefundStanding, SessionId,
    Standing, TransactionId,
    ports::{DisputeSnapshot, RefundSnapshot},
};
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
        "status": "succeeded", "balance_transaction": null, "payment_method_details": {"type": "card", "card": {}},
    })
}

fn hold() -> Value {
    let mut hold = charge();
    hold["captured"] = false.into();
    hold["amount_captured"] = 0.into();
    hold["amount_refunded"] = 0.into();
    hold["payment_method_details"]["card"]["capture_before"] = (CREATED.unix_timestamp() + 604_800).into();
    hold
}

fn transaction(id: &str, amount: i64, fee: i64) -> Value {
    json!({
        "id": id, "object": "balance_transaction", "amount": amount, "fee": fee, "net": amount - fee,
        "currency": "eur", "created": CREATED.unix_timestamp(), "status": "pending",
    })
}

fn moved(id: &str, amount: i64, fee: i64) -> BalanceTransaction {
    let (id, currency) = (TransactionId::try_from(id.to_owned()).unwrap(), "eur".parse().unwrap());
    BalanceTransaction { id, amount, fee, currency, at: CREATED }
}

fn our_refund() -> RefundId {
    RefundId::from_parts(CREATED, &[8; 10])
}

fn a_refund(status: Value) -> Value {
    json!({
        "id": "re_1", "object": "refund", "amount": 500, "currency": "usd", "created": CREATED.unix_timestamp(),
        "status": status, "reason": "duplicate", "payment_intent": "pi_1", "charge": "ch_1",
        "balance_transaction": "txn_1",
        "metadata": {"paywright_payment": our_payment().to_string(), "paywright_refund": our_refund().to_string()},
    })
}

fn a_dispute(status: &str) -> Value {
    json!({
        "id": "du_1", "object": "dispute", "amount": 1999, "currency": "usd", "created": 1, "livemode": false,
        "status": status, "reason": "fraudulent", "is_charge_refundable": false, "payment_intent": "pi_1",
        "evidence_details": {"due_by": CREATED.unix_timestamp() + 864_000, "has_evidence": true, "submission_count": 0},
        "balance_transactions": [transaction("txn_d", -1999, 1500)], "evidence": {}, "metadata": {},
    })
}

fn hear(event: &Value) -> Result<Heard, Malformed> {
    understand(event.to_string().as_bytes())
}

fn payment(event: &Value) -> Snapshot {
    match hear(event) {
        Ok(Heard::Fact(Fact::Payment(snapshot))) => *snapshot,
        other => panic!("{other:?} from {event}"),
    }
}

fn refund(event: &Value) -> RefundSnapshot {
    match hear(event) {
        Ok(Heard::Fact(Fact::Refund(snapshot))) => *snapshot,
        other => panic!("{other:?} from {event}"),
    }
}

fn dispute(event: &Value) -> DisputeSnapshot {
    match hear(event) {
        Ok(Heard::Fact(Fact::Dispute(snapshot))) => *snapshot,
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
fn a_charge_that_says_nothing_of_an_intents_money_tells_nothing() {
    for (field, value) in
        [("status", json!("failed")), ("status", json!("pending")), ("payment_intent", json!(null))]
    {
        let mut charge = charge();
        charge[field] = value;
        assert_eq!(nothing(&event("charge.succeeded", charge)), "charge.succeeded", "{field}");
    }
}

/// Covers: fault 149, C-3.
#[test]
fn a_hold_tells_how_much_can_be_taken_and_until_when() {
    let seen = payment(&event("charge.succeeded", hold()));
    assert_eq!(seen.sighting.standing, Standing::Authorized(1999));
    assert_eq!(seen.sighting.capture_before, Some(CREATED + time::Duration::days(7)));
    assert!(!seen.settled);

    let mut authorized = intent("requires_capture");
    authorized["amount_capturable"] = 1999.into();
    authorized["latest_charge"] = hold();
    let seen = payment(&event("payment_intent.amount_capturable_updated", authorized));
    assert_eq!(seen.sighting.standing, Standing::Authorized(1999));
    assert_eq!(seen.sighting.capture_before, Some(CREATED + time::Duration::days(7)));
    for unusable in [json!(null), json!(-1)] {
        let mut hold = hold();
        hold["payment_method_details"]["card"]["capture_before"] = unusable;
        assert_eq!(payment(&event("charge.succeeded", hold)).sighting.capture_before, None);
    }
}

/// Covers: fault 149.
#[test]
fn a_hold_that_is_gone_is_never_told_as_one() {
    assert_eq!(nothing(&event("charge.expired", hold())), "charge.expired");
    let mut released = hold();
    released["amount_refunded"] = 1999.into();
    assert_eq!(nothing(&event("charge.refunded", released)), "charge.refunded");
}

/// Covers: I1.
#[test]
fn a_booked_capture_is_told_with_its_fee_where_the_message_has_it() {
    let mut named = charge();
    named["balance_transaction"] = "txn_1".into();
    let seen = payment(&event("charge.updated", named));
    assert_eq!((seen.settled, seen.sighting.settlement), (true, None), "only its name");

    let mut captured = intent("succeeded");
    captured["amount_received"] = 1999.into();
    captured["latest_charge"] = charge();
    let seen = payment(&event("payment_intent.succeeded", captured.clone()));
    assert_eq!((seen.settled, seen.sighting.settlement), (false, None), "not booked yet");
    captured["latest_charge"]["balance_transaction"] = transaction("txn_1", 1850, 80);
    let seen = payment(&event("payment_intent.succeeded", captured.clone()));
    assert_eq!((seen.settled, seen.sighting.settlement), (true, Some(moved("txn_1", 1850, 80))));
    captured["latest_charge"]["balance_transaction"]["currency"] = "kwd".into();
    let seen = payment(&event("payment_intent.succeeded", captured));
    assert_eq!((seen.settled, seen.sighting.settlement), (true, None), "in a currency that we do not know");
}

/// What moved before anything was taken, a fee for the hold for example, is not the capture.
#[test]
fn a_hold_is_never_booked() {
    let mut hold = hold();
    hold["balance_transaction"] = transaction("txn_1", 0, 20);
    let seen = payment(&event("charge.updated", hold.clone()));
    assert_eq!((seen.settled, seen.sighting.settlement), (false, None));
    let mut authorized = intent("requires_capture");
    authorized["latest_charge"] = hold;
    let seen = payment(&event("payment_intent.amount_capturable_updated", authorized));
    assert_eq!((seen.settled, seen.sighting.settlement), (false, None));
}

/// Covers, fault 147, fault 158.
#[test]
fn each_status_of_a_refund_has_one_standing() {
    for (status, expected) in [
        (json!("pending"), RefundStanding::Pending),
        (json!("requires_action"), RefundStanding::Pending),
        (json!("succeeded"), RefundStanding::Succeeded),
        (json!("failed"), RefundStanding::Failed),
        (json!("canceled"), RefundStanding::Cancelled),
        (json!("a_status_of_next_year"), RefundStanding::Pending),
        (json!(null), RefundStanding::Pending),
    ] {
        for kind in ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"] {
            let seen = refund(&event(kind, a_refund(status.clone())));
            assert_eq!(seen.sighting.standing, expected, "{kind} {status}");
        }
    }
}

/// Covers: I7, R-5, fault 156.
#[test]
fn a_refund_is_told_with_everything_that_the_message_has() {
    let mut object = a_refund(json!("failed"));
    object["failure_reason"] = "lost_or_stolen_card".into();
    object["balance_transaction"] = transaction("txn_1", -500, 0);
    object["failure_balance_transaction"] = transaction("txn_2", 500, 0);
    let seen = refund(&event("refund.failed", object));
    assert_eq!((seen.refund, seen.payment), (Some(our_refund()), Some(our_payment())));
    assert_eq!(seen.intent, IntentId::try_from("pi_1".to_owned()).ok());
    assert_eq!(seen.amount, Money::from_minor(500, "usd".parse().unwrap()).ok());
    assert_eq!((seen.mode, seen.reason.as_deref()), (Some(Mode::Test), Some("duplicate")));
    assert_eq!((seen.sighting.id.as_str(), seen.created_at), ("re_1", CREATED));
    assert_eq!(seen.sighting.failure.as_deref(), Some("lost_or_stolen_card"));
    assert_eq!(seen.sighting.settlement, Some(moved("txn_1", -500, 0)));
    assert_eq!(seen.sighting.reversal, Some(moved("txn_2", 500, 0)));
    assert_eq!(seen.origin.event.as_deref(), Some("evt_1"));
}

#[test]
fn a_refund_made_by_somebody_else_names_nothing_of_ours() {
    let mut foreign = a_refund(json!("succeeded"));
    foreign["metadata"] = json!({});
    foreign["currency"] = "kwd".into();
    let mut event = event("refund.created", foreign);
    event["livemode"] = true.into();
    let seen = refund(&event);
    assert_eq!((seen.refund, seen.payment, seen.amount), (None, None, None));
    assert_eq!((seen.mode, seen.sighting.settlement), (Some(Mode::Live), None));
}

/// A refund that came back shows nowhere but in itself, so it is read whatever the version.
///
/// Covers: fault 24, fault 147.
#[test]
fn refunds_and_disputes_of_another_release_are_read() {
    for version in [json!("2026-09-30.endive"), json!("2022-11-15"), json!(null)] {
        let mut event = event("refund.failed", a_refund(json!("failed")));
        event["api_version"] = version.clone();
        assert_eq!(refund(&event).sighting.standing, RefundStanding::Failed, "{version}");
        event["type"] = "charge.dispute.created".into();
        event["data"]["object"] = a_dispute("appeal_needs_response");
        assert_eq!(dispute(&event).id.as_str(), "du_1", "{version}");
    }
}

/// Covers: I23, fault 148, X-1.
#[test]
fn a_dispute_is_told_with_what_it_moved() {
    for kind in ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"] {
        let seen = dispute(&event(&format!("charge.dispute.{kind}"), a_dispute("needs_response")));
        assert_eq!((seen.id.as_str(), seen.mode), ("du_1", Mode::Test));
        assert_eq!(seen.intent, IntentId::try_from("pi_1".to_owned()).ok());
        assert_eq!(seen.sighting.status, DisputeStatus::NeedsResponse);
        assert_eq!(seen.sighting.amount.minor(), 1999);
        assert_eq!(seen.sighting.due_by, Some(CREATED + time::Duration::days(10)));
        assert_eq!((seen.sighting.refundable, seen.sighting.submitted), (false, false));
        assert_eq!((seen.sighting.reason.as_str(), seen.sighting.at), ("fraudulent", CREATED));
        assert_eq!(seen.movements, [moved("txn_d", -1999, 1500)]);
        assert_eq!(seen.created_at.unix_timestamp(), 1);
    }
}

/// Covers: I23, fault 148.
#[test]
fn statuses_and_deadlines_of_disputes_are_read() {
    for (status, expected) in [
        ("warning_needs_response", DisputeStatus::WarningNeedsResponse),
        ("warning_closed", DisputeStatus::WarningClosed),
        ("won", DisputeStatus::Won),
        ("lost", DisputeStatus::Lost),
        ("prevented", DisputeStatus::Prevented),
        ("appeal_under_review", DisputeStatus::Other("appeal_under_review".to_owned())),
    ] {
        let seen = dispute(&event("charge.dispute.updated", a_dispute(status)));
        assert_eq!(seen.sighting.status, expected);
    }
    for due_by in [json!(0), json!(null)] {
        let mut object = a_dispute("lost");
        object["evidence_details"] = json!({"due_by": due_by, "submission_count": 1});
        let seen = dispute(&event("charge.dispute.closed", object)).sighting;
        assert_eq!((seen.due_by, seen.submitted), (None, true));
    }
}

/// Covers: fault 22, fault 55.
#[test]
fn a_dispute_in_a_currency_that_we_do_not_know_is_left_to_a_person() {
    let mut object = a_dispute("needs_response");
    object["currency"] = "kwd".into();
    let Malformed(words) = hear(&event("charge.dispute.created", object)).unwrap_err();
    assert!(words.contains("currency"), "{words}");
}

/// Covers: I23, fault 50.
#[test]
fn what_is_not_about_a_payment_needs_nothing_of_us() {
    for (kind, object) in [
        ("charge.succeeded", json!({"id": "du_1", "object": "dispute"})),
        ("charge.updated", json!({"id": "re_1", "object": "refund"})),
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
        "advice_code": "try_again_later",
    });
    let refusal = payment(&event("payment_intent.payment_failed", failed)).refusal.unwrap();
    assert_eq!(refusal.key, "ch_1");
    assert_eq!(
        (refusal.code.as_str(), refusal.decline_code.as_deref()),
        ("card_declined", Some("insufficient_funds"))
    );
    assert_eq!(refusal.advice.as_deref(), Some("try_again_later"));
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
    let mut listed = event("payment_intent.processing", intent("processing"));
    listed["data"] = json!([intent("processing")]);
    let Malformed(words) = hear(&listed).unwrap_err();
    assert!(words.contains("data"), "a list is no object: {words}");
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
            "latest_charge", "last_payment_error", "created", "balance_transaction", "payment_method_details",
            "balance_transactions", "evidence_details", "reason", "failure_balance_transaction",
        ]),
        value in prop::sample::select(vec![
            json!(null), json!(0), json!(-1), json!(1.5), json!(u64::MAX), json!(""), json!("succeeded"),
            json!("\u{0}"), json!([]), json!({}), json!({"id": "x"}), json!(true), json!("é".repeat(300)),
        ]),
        kind in prop::sample::select(vec![
            "payment_intent.succeeded", "checkout.session.completed", "charge.updated", "refund.updated",
            "charge.dispute.updated",
        ]),
    ) {
        let mut object = match kind {
            "payment_intent.succeeded" => intent("succeeded"),
            "charge.updated" => charge(),
            "refund.updated" => a_refund(json!("failed")),
            "charge.dispute.updated" => a_dispute("lost"),
            _ => session("open"),
        };
        object[field] = value;
        let _ = hear(&event(kind, object));
    }
}

/// Every type of Stripe's whose object we read is asked for, but for those that tell nothing: a charge that failed or is
/// pending says no more than its PaymentIntent.
///
///
#[test]
fn each_type_that_tells_something_is_needed() {
    let asked_for_nothing = ["charge.failed", "charge.pending", "charge.refund.updated"];
    let others = [
        "charge.expired",
        "payment_method.attached",
        "payout.paid",
        "invoice.paid",
        "setup_intent.succeeded",
    ];
    for kind in EVENTS_NEEDED.into_iter().chain(asked_for_nothing).chain(others) {
        let object = match kind.split_once('.').unwrap().0 {
            "charge" if kind.starts_with("charge.dispute.") => "dispute",
            "charge" if kind.starts_with("charge.refund.") => "refund",
            "checkout" => "checkout.session",
            object => object,
        };
        let understood = subject(kind, Some(object)).is_some();
        assert_eq!(understood, !others.contains(&kind), "{kind}");
    }
    assert!(EVENTS_NEEDED.is_sorted() && EVENTS_NEEDED.windows(2).all(|pair| pair[0] != pair[1]));
}
