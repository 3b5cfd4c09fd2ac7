use std::collections::BTreeMap;

use paywright_domain::{CallState, JobId, Metadata, Mode, OrderId, PaymentId, SessionLine};
use time::{OffsetDateTime, macros::datetime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn call(operation: Operation) -> GatewayCall {
    GatewayCall {
        id: JobId::from_parts(NOW, &[1; 10]),
        order: OrderId::from_parts(NOW, &[2; 10]),
        payment: PaymentId::from_parts(NOW, &[3; 10]),
        mode: Mode::Test,
        operation,
        generation: 2,
        state: CallState::Recorded,
        recorded_at: NOW,
    }
}

fn create_intent(metadata: Metadata) -> GatewayCall {
    let receipt_email = Some("a+b@example.com".to_owned());
    call(Operation::CreateIntent { amount: 1999, currency: "usd".to_owned(), receipt_email, metadata })
}

fn create_session() -> GatewayCall {
    let line =
        |name: &str, unit_amount, quantity| SessionLine { name: name.to_owned(), unit_amount, quantity };
    call(Operation::CreateSession {
        currency: "eur".to_owned(),
        lines: vec![line("Töpfe & Pfannen", 1250, 2), line("Löffel", 99, 1)],
        customer_email: None,
        success_url: "https://shop.example/done?s={CHECKOUT_SESSION_ID}".to_owned(),
        cancel_url: "https://shop.example/back".to_owned(),
        expires_at: 1_795_264_200,
        metadata: Metadata::from([("table".to_owned(), "7".to_owned())]),
    })
}

/// The fields of a form, as Stripe reads them.
fn fields(request: &Request) -> BTreeMap<String, String> {
    let Request::Post { form, .. } = request else { panic!("{request:?}") };
    let url = reqwest::Url::parse(&format!("http://x/?{form}")).unwrap();
    url.query_pairs().into_owned().collect()
}

fn expected(call: &GatewayCall, pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let fill = |text: &str| {
        text.replace("ORDER", &call.order.to_string()).replace("PAYMENT", &call.payment.to_string())
    };
    pairs.iter().map(|(key, value)| ((*key).to_owned(), fill(value))).collect()
}

#[test]
fn a_new_intent_has_these_fields_and_no_others() {
    let call = create_intent(Metadata::from([("table".to_owned(), "7".to_owned())]));
    let request = Request::of(&call);
    let wanted = [
        ("amount", "1999"),
        ("currency", "usd"),
        ("allowed_payment_method_types[0]", "card"),
        ("receipt_email", "a+b@example.com"),
        ("metadata[paywright_order]", "ORDER"),
        ("metadata[paywright_payment]", "PAYMENT"),
        ("metadata[table]", "7"),
    ];
    assert_eq!(fields(&request), expected(&call, &wanted));
    let Request::Post { path, key, .. } = request else { unreachable!() };
    assert_eq!(path, "/v1/payment_intents");
    assert_eq!(key, format!("create_intent:{}:2", call.payment));
}

#[test]
fn a_new_session_has_these_fields_and_no_others() {
    let call = create_session();
    let request = Request::of(&call);
    let wanted = [
        ("mode", "payment"),
        ("client_reference_id", "ORDER"),
        ("line_items[0][quantity]", "2"),
        ("line_items[0][price_data][currency]", "eur"),
        ("line_items[0][price_data][unit_amount]", "1250"),
        ("line_items[0][price_data][product_data][name]", "Töpfe & Pfannen"),
        ("line_items[1][quantity]", "1"),
        ("line_items[1][price_data][currency]", "eur"),
        ("line_items[1][price_data][unit_amount]", "99"),
        ("line_items[1][price_data][product_data][name]", "Löffel"),
        ("success_url", "https://shop.example/done?s={CHECKOUT_SESSION_ID}"),
        ("cancel_url", "https://shop.example/back"),
        ("expires_at", "1795264200"),
        ("metadata[paywright_order]", "ORDER"),
        ("metadata[paywright_payment]", "PAYMENT"),
        ("metadata[table]", "7"),
        ("payment_intent_data[metadata][paywright_order]", "ORDER"),
        ("payment_intent_data[metadata][paywright_payment]", "PAYMENT"),
        ("payment_intent_data[metadata][table]", "7"),
    ];
    assert_eq!(fields(&request), expected(&call, &wanted));
    assert_eq!(request.path(), "/v1/checkout/sessions");
}

#[test]
fn ends_are_asked_for_by_id() {
    let intent = IntentId::try_from("pi_1".to_owned()).unwrap();
    let request = Request::of(&call(Operation::CancelIntent { intent, reason: "abandoned".to_owned() }));
    assert_eq!(request.path(), "/v1/payment_intents/pi_1/cancel");
    assert_eq!(
        fields(&request),
        BTreeMap::from([("cancellation_reason".to_owned(), "abandoned".to_owned())])
    );

    let session = SessionId::try_from("cs_test_1".to_owned()).unwrap();
    let request = Request::of(&call(Operation::ExpireSession { session: session.clone() }));
    assert_eq!(request.path(), "/v1/checkout/sessions/cs_test_1/expire");
    assert_eq!(fields(&request), BTreeMap::new());
    assert_eq!(Request::session(&session).path(), "/v1/checkout/sessions/cs_test_1");
}

/// Stripe compares a repeat with the first request; so the bytes of a recorded call never change.
///
/// Covers: fault 2, fault 10.
#[test]
fn a_recorded_call_is_always_the_same_bytes() {
    let call =
        create_intent(Metadata::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]));
    let (order, payment) = (call.order, call.payment);
    let bytes = format!(
        "amount=1999&currency=usd&allowed_payment_method_types%5B0%5D=card&receipt_email=a%2Bb%40example.com\
         &metadata%5Ba%5D=1&metadata%5Bb%5D=2&metadata%5Bpaywright_order%5D={order}\
         &metadata%5Bpaywright_payment%5D={payment}"
    );
    let Request::Post { form, .. } = Request::of(&call) else { unreachable!() };
    assert_eq!(form, bytes);
    assert_eq!(Request::of(&call), Request::of(&call.clone()));
}

#[test]
fn metadata_that_stripe_would_refuse_is_left_out_and_ours_cannot_be_replaced() {
    let mut theirs = Metadata::from([
        ("paywright_payment".to_owned(), "pay_forged".to_owned()),
        ("paywright_refund".to_owned(), "x".to_owned()),
        ("a[b]".to_owned(), "x".to_owned()),
        ("k".repeat(41), "x".to_owned()),
        ("long".to_owned(), "x".repeat(501)),
        ("empty".to_owned(), String::new()),
        (String::new(), "x".to_owned()),
        ("ä".repeat(40), "é".repeat(500)),
    ]);
    let call = create_intent(theirs.clone());
    let kept = fields(&Request::of(&call));
    let metadata: Vec<_> = kept.keys().filter(|key| key.starts_with("metadata")).collect();
    assert_eq!(
        metadata,
        [
            "metadata[paywright_order]",
            "metadata[paywright_payment]",
            &format!("metadata[{}]", "ä".repeat(40))
        ]
    );
    assert_eq!(kept["metadata[paywright_payment]"], call.payment.to_string());

    theirs = (0..60).map(|n| (format!("key{n:02}"), n.to_string())).collect();
    let kept = fields(&Request::of(&create_intent(theirs)));
    assert_eq!(kept.keys().filter(|key| key.starts_with("metadata")).count(), 50);
}

proptest::proptest! {
    #[test]
    fn any_text_arrives_as_it_was_written(name in "\\PC{1,30}", note in "\\PC{1,30}") {
        let mut call = create_session();
        if let Operation::CreateSession { lines, metadata, .. } = &mut call.operation {
            lines[0].name = name.clone();
            metadata.insert("note".to_owned(), note.clone());
        }
        let fields = fields(&Request::of(&call));
        proptest::prop_assert_eq!(&fields["line_items[0][price_data][product_data][name]"], &name);
        proptest::prop_assert_eq!(&fields["metadata[note]"], &note);
    }
}
