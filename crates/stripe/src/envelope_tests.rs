use proptest::prelude::*;
use serde_json::json;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn event() -> serde_json::Value {
    json!({
        "id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": 1_795_262_400,
        "livemode": false, "api_version": "2026-07-29.dahlia", "data": {"object": {"id": "pi_1"}},
    })
}

fn of(event: &serde_json::Value) -> Result<InboxEvent, Malformed> {
    envelope(event.to_string().as_bytes())
}

#[test]
fn the_outside_of_an_event_is_read_and_its_bytes_are_kept() {
    let body = event().to_string();
    let event = envelope(body.as_bytes()).unwrap();
    assert_eq!(event.id, "evt_1");
    assert_eq!(event.kind, "payment_intent.succeeded");
    assert_eq!(event.mode, Mode::Test);
    assert_eq!(event.api_version.as_deref(), Some("2026-07-29.dahlia"));
    assert_eq!(event.object.as_deref(), Some("pi_1"));
    assert_eq!(event.created_at, datetime!(2026-11-21 12:00 UTC));
    assert_eq!((event.account, event.ignored), (None, None));
    assert_eq!(event.body, body.as_bytes());
}

/// Covers: I23, fault 50, fault 51, fault 52.
#[test]
fn events_of_any_type_object_mode_and_account_are_read() {
    let mut event = event();
    event["type"] = "a.type.of.next.year".into();
    event["livemode"] = true.into();
    event["account"] = "acct_1".into();
    event["api_version"] = json!(null);
    event["data"] =
        json!({"object": {"object": "balance", "new": [1, {"x": null}]}, "previous_attributes": {}});
    let read = of(&event).unwrap();
    assert_eq!((read.mode, read.account.as_deref(), read.object), (Mode::Live, Some("acct_1"), None));
}

/// What tells of one payment is about that payment, by whatever object; and nothing there can turn an event away.
///
/// Covers: I23.
#[test]
fn an_event_is_about_the_payment_or_else_about_its_object() {
    for (object, about) in [
        (json!({"id": "pi_1", "object": "payment_intent"}), Some("pi_1")),
        (json!({"id": "ch_1", "object": "charge", "payment_intent": "pi_1"}), Some("pi_1")),
        (json!({"id": "re_1", "object": "refund", "payment_intent": "pi_1"}), Some("pi_1")),
        (json!({"id": "du_1", "object": "dispute", "payment_intent": "pi_1"}), Some("pi_1")),
        (json!({"id": "cs_1", "object": "checkout.session", "payment_intent": "pi_1"}), Some("pi_1")),
        (json!({"id": "cs_1", "object": "checkout.session", "payment_intent": null}), Some("cs_1")),
        (json!({"id": "cus_1", "object": "customer"}), Some("cus_1")),
        (json!({"object": "balance"}), None),
        (json!({"id": "x", "payment_intent": "pi_\u{0}"}), Some("x")),
        (json!({"id": "x", "payment_intent": true}), Some("x")),
        (json!({"id": "x", "payment_intent": -7}), Some("x")),
        (json!({"id": "x", "payment_intent": 7}), Some("x")),
        (json!({"id": "x", "payment_intent": 7.5}), Some("x")),
        (json!({"id": "x", "payment_intent": [["pi_1"], {}]}), Some("x")),
        (json!({"id": "x", "payment_intent": {"id": {"id": ["pi_1"]}}}), Some("x")),
        (json!({"payment_intent": {}}), None),
    ] {
        let mut event = event();
        event["data"]["object"] = object.clone();
        assert_eq!(of(&event).unwrap().about.as_deref(), about, "{object}");
    }
}

#[test]
fn a_thin_event_is_read() {
    let event = json!({
        "id": "evt_test_1", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
        "created": "2026-11-21T12:00:00.123Z", "livemode": false, "related_object": {"id": "mtr_1", "type": "x"},
    });
    let read = of(&event).unwrap();
    assert_eq!((read.object.as_deref(), read.about.as_deref()), (Some("mtr_1"), Some("mtr_1")));
    assert_eq!(read.created_at, datetime!(2026-11-21 12:00:00.123 UTC));
}

/// Covers: fault 48, fault 118.
#[test]
fn what_cannot_be_stored_is_malformed() {
    for (field, value) in [
        ("id", json!("evt_\u{0}")),
        ("id", json!("")),
        ("id", json!("x".repeat(256))),
        ("id", json!(null)),
        ("type", json!("two words")),
        ("type", json!(7)),
        ("created", json!(-1)),
        ("created", json!(1e300)),
        ("created", json!(u64::MAX)),
        ("created", json!("yesterday")),
        ("livemode", json!(null)),
    ] {
        let mut event = event();
        event[field] = value.clone();
        assert!(of(&event).is_err(), "{field}: {value}");
    }
    for body in [&b""[..], b"null", b"[]", b"\xef\xbb\xbf{}", b"\xff\xfe", b"{\"id\":\"\xff\"}"] {
        assert!(envelope(body).is_err());
    }
}

/// Serde would take the values of a list for the fields, in their order: of something that was never named.
///
/// Covers: fault 48.
#[test]
fn a_list_in_the_place_of_an_object_is_malformed() {
    for (field, list) in [
        ("data", json!([{"id": "pi_1"}])),
        ("data", json!({"object": ["ch_1", "pi_1"]})),
        ("related_object", json!(["mtr_1"])),
    ] {
        let mut event = event();
        event[field] = list.clone();
        assert!(of(&event).is_err(), "{field}: {list}");
    }
    let fields = json!(["evt_1", "x", 1_795_262_400, false, null, null, null, null]);
    assert!(of(&fields).is_err());
}

#[test]
fn optional_names_that_cannot_be_stored_are_left_out() {
    let mut event = event();
    event["data"]["object"]["id"] = "pi_\u{0}".into();
    event["account"] = "".into();
    let read = of(&event).unwrap();
    assert_eq!((read.object, read.account), (None, None));
}

/// Covers: fault 48.
#[test]
fn signed_bytes_that_cannot_be_read_are_kept_under_an_id_of_their_own() {
    let body = b"\xff\x00 not json";
    let event = unreadable(body, Mode::Test, NOW);
    assert_eq!(event.kind, "unreadable");
    assert_eq!(event.body, body);
    assert_eq!((event.mode, event.created_at), (Mode::Test, NOW));
    assert_eq!(event.id, unreadable(body, Mode::Test, NOW + time::Duration::DAY).id);
    assert_ne!(event.id, unreadable(b"other", Mode::Test, NOW).id);
    assert!(event.id.len() <= 255 && text::is_name(&event.id));
}

proptest! {
    /// Covers: fault 48.
    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = envelope(&body);
        let _ = crate::heard::understand(&body);
    }
}
