use std::collections::BTreeMap;

use paywright_domain::{
    CallState, CaptureMethod, JobId, Metadata, Mode, OrderId, PaymentId, RefundId, SessionLine, Subject,
};
use time::{OffsetDateTime, macros::datetime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn call(operation: Operation) -> GatewayCall {
    GatewayCall {
        id: JobId::from_parts(NOW, &[1; 10]),
        order: OrderId::from_parts(NOW, &[2; 10]),
        payment: PaymentId::from_parts(NOW, &[3; 10]),
        subject: Subject::Payment(PaymentId::from_parts(NOW, &[3; 10])),
        mode: Mode::Test,
        operation,
        generation: 2,
        state: CallState::Recorded,
        recorded_at: NOW,
    }
}

fn create_intent(metadata: Metadata) -> GatewayCall {
    let receipt_email = Some("a+b@example.com".to_owned());
    let (currency, capture_method) = ("usd".to_owned(), CaptureMethod::Automatic);
    call(Operation::CreateIntent { amount: 1999, currency, capture_method, receipt_email, metadata })
}

fn create_refund(reason: Option<&str>, metadata: Metadata) -> GatewayCall {
    let operation =
        Operation::CreateRefund { intent: pi_1(), amount: 500, reason: reason.map(str::to_owned), metadata };
    GatewayCall { subject: Subject::Refund(RefundId::from_parts(NOW, &[4; 10])), ..call(operation) }
}

fn pi_1() -> IntentId {
    IntentId::try_from("pi_1".to_owned()).unwrap()
}

fn du_1() -> GatewayDisputeId {
    GatewayDisputeId::try_from("du_1".to_owned()).unwrap()
}

fn create_session() -> GatewayCall {
    let line =
        |name: &str, unit_amount, quantity| SessionLine { name: name.to_owned(), unit_amount, quantity };
    call(Operation::CreateSession {
        currency: "eur".to_owned(),
        capture_method: CaptureMethod::Automatic,
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
        let text = text.replace("ORDER", &call.order.to_string());
        text.replace("PAYMENT", &call.payment.to_string()).replace("SUBJECT", &call.subject.to_string())
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
    let cancel = call(Operation::CancelIntent { intent: pi_1(), reason: "abandoned".to_owned() });
    let request = Request::of(&cancel);
    assert_eq!(request.path(), "/v1/payment_intents/pi_1/cancel");
    let wanted = [("cancellation_reason", "abandoned"), ("expand[0]", "latest_charge.balance_transaction")];
    assert_eq!(fields(&request), expected(&cancel, &wanted));

    let session = SessionId::try_from("cs_test_1".to_owned()).unwrap();
    let request = Request::of(&call(Operation::ExpireSession { session: session.clone() }));
    assert_eq!(request.path(), "/v1/checkout/sessions/cs_test_1/expire");
    assert_eq!(fields(&request), BTreeMap::new());
    assert_eq!(Request::session(&session).path(), "/v1/checkout/sessions/cs_test_1");
}

#[test]
fn money_is_only_reserved_where_that_was_asked() {
    let mut intent = create_intent(Metadata::new());
    if let Operation::CreateIntent { capture_method, .. } = &mut intent.operation {
        *capture_method = CaptureMethod::Manual;
    }
    assert_eq!(fields(&Request::of(&intent))["capture_method"], "manual");
    let mut session = create_session();
    if let Operation::CreateSession { capture_method, .. } = &mut session.operation {
        *capture_method = CaptureMethod::Manual;
    }
    assert_eq!(fields(&Request::of(&session))["payment_intent_data[capture_method]"], "manual");
}

/// Covers: fault 150, R-6.
#[test]
fn a_capture_always_says_how_much() {
    let capture = call(Operation::Capture { intent: pi_1(), amount: 1500 });
    let request = Request::of(&capture);
    let wanted = [("amount_to_capture", "1500"), ("expand[0]", "latest_charge.balance_transaction")];
    assert_eq!(fields(&request), expected(&capture, &wanted));
    let Request::Post { path, key, .. } = request else { unreachable!() };
    assert_eq!(path, "/v1/payment_intents/pi_1/capture");
    assert_eq!(key, format!("capture:{}:2", capture.payment));
}

/// Covers: I7, R-7.
#[test]
fn a_refund_always_says_how_much_and_which_of_ours_it_is() {
    let notes = Metadata::from([
        ("paywright_reason".to_owned(), "out_of_stock".to_owned()),
        ("failure_reason".to_owned(), "the shelf is empty".to_owned()),
        ("paywright_refund".to_owned(), "ref_forged".to_owned()),
    ]);
    let call = create_refund(Some("duplicate"), notes);
    let request = Request::of(&call);
    let wanted = [
        ("payment_intent", "pi_1"),
        ("amount", "500"),
        ("reason", "duplicate"),
        ("metadata[paywright_order]", "ORDER"),
        ("metadata[paywright_payment]", "PAYMENT"),
        ("metadata[paywright_refund]", "SUBJECT"),
        ("metadata[paywright_reason]", "out_of_stock"),
        ("metadata[failure_reason]", "the shelf is empty"),
        ("expand[0]", "balance_transaction"),
    ];
    assert_eq!(fields(&request), expected(&call, &wanted));
    let Request::Post { path, key, .. } = request else { unreachable!() };
    assert_eq!(path, "/v1/refunds");
    assert_eq!(key, format!("create_refund:{}:2", call.subject));
    assert!(!fields(&Request::of(&create_refund(None, Metadata::new()))).contains_key("reason"));
}

/// What is not said to be kept back goes to the bank, once and for ever.
#[test]
fn evidence_is_submitted_only_when_that_was_asked() {
    let parts = [("uncategorized_text", "See."), ("product_description", "1 x Pot & lid")];
    let parts = parts.map(|(part, text)| (part.to_owned(), text.to_owned()));
    let evidence = Evidence::parse(BTreeMap::from(parts)).unwrap();
    let stage = call(Operation::StageEvidence { dispute: du_1(), evidence: evidence.clone() });
    let submit = call(Operation::SubmitEvidence { dispute: du_1(), evidence });
    for (call, said) in [(stage, "false"), (submit, "true")] {
        let request = Request::of(&call);
        let wanted = [
            ("evidence[uncategorized_text]", "See."),
            ("evidence[product_description]", "1 x Pot & lid"),
            ("submit", said),
        ];
        assert_eq!(fields(&request), expected(&call, &wanted));
        assert_eq!(request.path(), "/v1/disputes/du_1");
    }
    let nothing = call(Operation::SubmitEvidence { dispute: du_1(), evidence: Evidence::default() });
    assert_eq!(fields(&Request::of(&nothing)), expected(&nothing, &[("submit", "true")]));
    let close = Request::of(&call(Operation::CloseDispute { dispute: du_1() }));
    assert_eq!((close.path(), fields(&close)), ("/v1/disputes/du_1/close", BTreeMap::new()));
}

#[test]
fn looks_ask_for_what_tells_fees_and_deadlines() {
    let (intent, dispute) = (Request::intent(&pi_1()), Request::dispute(&du_1()));
    assert_eq!(intent.path(), "/v1/payment_intents/pi_1?expand%5B0%5D=latest_charge.balance_transaction");
    assert_eq!(dispute.path(), "/v1/disputes/du_1");
    let query = ListQuery {
        payment_intent: Some("pi_1"),
        created: Some(form::Created::between(NOW, NOW + time::Duration::HOUR)),
        expand: &["data.a"],
        limit: 100,
        starting_after: Some("re_1"),
        ..ListQuery::default()
    };
    assert_eq!(
        Request::list("/v1/refunds", &query).path(),
        "/v1/refunds?payment_intent=pi_1&created%5Bgte%5D=1795262400&created%5Blt%5D=1795266000&expand%5B0%5D=data.a\
         &limit=100&starting_after=re_1"
    );
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
