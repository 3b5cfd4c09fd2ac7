use std::io;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn label(outcome: &Result<Said<wire::Named>, GatewayError>) -> &'static str {
    match outcome {
        Ok(Said::Done(_)) => "done",
        Ok(Said::Declined(_)) => "declined",
        Err(GatewayError::Rejected { .. }) => "rejected",
        Err(GatewayError::KeyReused { .. }) => "key reused",
        Err(GatewayError::NotAllowed(_)) => "not allowed",
        Err(GatewayError::NotDone { .. }) => "not done",
        Err(GatewayError::Unknown(_)) => "unknown",
        Err(GatewayError::Spent(_)) => "spent",
        Err(_) => "new",
    }
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: body.as_bytes().to_vec(), request: Some("req_1".to_owned()), ..Reply::default() }
}

fn judged(reply: &Reply) -> &'static str {
    label(&classify(reply))
}

fn error(kind: &str, code: &str) -> String {
    json!({"error": {"type": kind, "code": code, "message": "Because."}}).to_string()
}

const OBJECT: &str = r#"{"id":"pi_1"}"#;
const HTML: &str = "<html><body>Bad gateway</body></html>";

/// Every row of the table of errors, without a word of Stripe's on repeating.
///
/// Covers: fault 2, fault 3, fault 5, fault 6, fault 9, fault 10, fault 11, fault 12, fault 13, fault 14,
/// fault 16, fault 18, fault 19, fault 25.
#[test]
fn each_status_has_one_meaning() {
    let invalid = |code| error("invalid_request_error", code);
    let rows = [
        (200, OBJECT.to_owned(), "done"),
        (201, OBJECT.to_owned(), "done"),
        (200, String::new(), "unknown"),
        (200, HTML.to_owned(), "unknown"),
        (200, r#"{"id":"pi_1""#.to_owned(), "unknown"),
        (200, r#"{"id":"pi_1"}{"id":"pi_2"}"#.to_owned(), "unknown"),
        (200, r#"{"object":"payment_intent"}"#.to_owned(), "unknown"),
        (200, error("api_error", "x"), "unknown"),
        (204, String::new(), "unknown"),
        (101, String::new(), "unknown"),
        (301, String::new(), "unknown"),
        (302, OBJECT.to_owned(), "unknown"),
        (304, OBJECT.to_owned(), "unknown"),
        (307, OBJECT.to_owned(), "unknown"),
        (400, invalid("parameter_missing"), "rejected"),
        (400, invalid("payment_intent_unexpected_state"), "rejected"),
        (400, error("idempotency_error", "idempotency_key_reused"), "key reused"),
        (401, invalid("api_key_expired"), "not allowed"),
        (403, invalid("more_permissions_required"), "not allowed"),
        (402, error("card_error", "card_declined"), "declined"),
        (404, invalid("resource_missing"), "rejected"),
        (405, invalid("x"), "rejected"),
        (409, invalid("idempotency_key_in_use"), "not done"),
        (409, error("idempotency_error", "idempotency_key_in_use"), "not done"),
        (424, error("api_error", "x"), "unknown"),
        (429, error("invalid_request_error", "rate_limit"), "not done"),
        (429, error("invalid_request_error", "lock_timeout"), "not done"),
        (429, HTML.to_owned(), "not done"),
        (429, String::new(), "not done"),
        (500, error("api_error", "x"), "unknown"),
        (500, OBJECT.to_owned(), "unknown"),
        (502, HTML.to_owned(), "unknown"),
        (503, String::new(), "unknown"),
        (504, HTML.to_owned(), "unknown"),
        (999, OBJECT.to_owned(), "unknown"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(judged(&reply(status, &body)), expected, "{status} {body}");
    }
}

/// Covers: fault 14, fault 15, I24, D-7.
#[test]
fn a_stored_500_given_again_spends_its_key() {
    let body = error("api_error", "x");
    let again = |status| Reply { replayed: true, ..reply(status, &body) };
    assert_eq!(judged(&again(500)), "spent");
    assert_eq!(judged(&Reply { body: HTML.into(), ..again(500) }), "spent");
    assert_eq!(judged(&Reply { should_retry: Some(false), ..again(500) }), "spent");
    assert_eq!(judged(&Reply { should_retry: Some(true), ..again(500) }), "unknown");
    for status in [502, 503, 504, 424] {
        assert_eq!(judged(&again(status)), "unknown", "{status}");
    }
    assert_eq!(judged(&reply(500, &body)), "unknown", "it may not be stored");
}

/// A proxy or a captive portal may answer anything; only Stripe's own error is a definite no.
///
/// Covers: fault 6.
#[test]
fn a_refusal_without_stripes_error_is_unknown() {
    for status in [400, 401, 402, 403, 404, 407, 408, 409, 418, 424] {
        for body in ["", HTML, "{}", r#"{"error":"no"}"#, r#"{"error":{}}"#, OBJECT] {
            assert_eq!(judged(&reply(status, body)), "unknown", "{status} {body}");
        }
    }
}

/// Covers: fault 17.
#[test]
fn stripes_word_on_repeating_wins_over_the_status() {
    let rows = [
        // Repeating helps, so it was not done; but an outcome that may have happened stays unknown.
        (400, true, "not done"),
        (401, true, "not done"),
        (402, true, "not done"),
        (404, true, "not done"),
        (409, true, "not done"),
        (429, true, "not done"),
        (424, true, "unknown"),
        (500, true, "unknown"),
        (503, true, "unknown"),
        // Repeating does not help. Only a refusal is definite; a limiter or a stored 500 proves nothing.
        (400, false, "rejected"),
        (402, false, "declined"),
        (403, false, "not allowed"),
        (409, false, "unknown"),
        (424, false, "unknown"),
        (429, false, "unknown"),
        (500, false, "unknown"),
        (503, false, "unknown"),
        (200, false, "unknown"),
    ];
    for (status, should_retry, expected) in rows {
        let reply =
            Reply { should_retry: Some(should_retry), ..reply(status, &error("invalid_request_error", "x")) };
        assert_eq!(judged(&reply), expected, "{status} {should_retry}");
    }
}

/// Covers: fault 1, fault 2, fault 3, fault 4, fault 7, fault 8.
#[test]
fn without_a_whole_answer_only_a_missing_connection_is_certain() {
    let broken = || Box::new(io::Error::from(io::ErrorKind::ConnectionReset));
    let rows = [
        (Failure::NotSent(broken()), "not done"),
        (Failure::Broken(broken()), "unknown"),
        (Failure::Deadline(Duration::from_secs(20)), "unknown"),
        (Failure::TooLarge(1), "unknown"),
    ];
    for (failure, expected) in rows {
        let words = failure.to_string();
        assert_eq!(label(&Err(failure.into())), expected, "{words}");
    }
}

#[test]
fn a_refusal_carries_code_message_and_request() {
    let outcome = classify::<wire::Named>(&reply(400, &error("invalid_request_error", "amount_too_small")));
    let Err(GatewayError::Rejected { code, message, request }) = outcome else { panic!("not rejected") };
    assert_eq!(
        (code.as_str(), message.as_str(), request.as_deref()),
        ("amount_too_small", "Because.", Some("req_1"))
    );
}

/// Covers: fault 10.
#[test]
fn a_key_used_with_other_parameters_is_named_as_such_with_or_without_a_code() {
    for body in [r#"{"error":{"type":"idempotency_error"}}"#.to_owned(), error("idempotency_error", "other")]
    {
        let outcome = classify::<wire::Named>(&reply(400, &body));
        assert_eq!(label(&outcome), "key reused");
    }
}

/// Covers: R-1.
#[test]
fn a_refusal_without_a_code_is_named_by_its_parameter() {
    let body = json!({"error": {
        "type": "invalid_request_error", "param": "amount",
        "message": "Refund amount ($40.00) is greater than unrefunded amount on charge ($30.00)",
    }});
    let outcome = classify::<wire::Named>(&reply(400, &body.to_string()));
    let Err(GatewayError::Rejected { code, message, .. }) = outcome else { panic!("not rejected") };
    assert_eq!(code, "invalid_amount");
    assert!(message.starts_with("Refund amount"), "{message}");
}

#[test]
fn a_refusal_without_a_code_or_parameter_is_named_by_its_type() {
    let outcome =
        classify::<wire::Named>(&reply(400, r#"{"error":{"type":"invalid_request_error","code":null}}"#));
    assert!(matches!(outcome, Err(GatewayError::Rejected { code, .. }) if code == "invalid_request_error"));
}

/// Covers: fault 11, fault 12.
#[test]
fn a_limiter_says_how_long_to_wait() {
    let body = error("invalid_request_error", "rate_limit");
    for (said, expected) in [(Some(2), Some(2)), (Some(0), None), (None, None)] {
        let reply = Reply { retry_after: said.map(Duration::from_secs), ..reply(429, &body) };
        let Err(GatewayError::NotDone { after, .. }) = classify::<wire::Named>(&reply) else {
            panic!("done")
        };
        assert_eq!(after, expected.map(Duration::from_secs));
    }
}

/// Covers: I31, fault 134.
#[test]
fn messages_carry_no_key() {
    let body =
        json!({"error": {"type": "x", "message": "Invalid API Key provided: sk_test_canary"}}).to_string();
    for status in [400, 401, 409, 424, 429, 500] {
        let outcome = classify::<wire::Named>(&reply(status, &body));
        assert!(!format!("{:?}", outcome.err()).contains("canary"), "{status}");
    }
}

proptest! {
    /// Covers: fault 6, fault 17.
    #[test]
    fn any_answer_is_judged_without_a_panic(
        status: u16,
        should_retry: Option<bool>,
        body in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let reply = Reply { status, should_retry, body, ..Reply::default() };
        let judged = judged(&reply);
        prop_assert!(status == 429 || judged == "unknown", "random bytes are no answer, yet {judged}");
    }
}
