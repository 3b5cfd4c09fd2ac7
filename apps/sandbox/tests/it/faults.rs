//! The fault console: what was asked for goes wrong, and nothing else.

use serde_json::{Value, json};

use crate::harness::{KEY, Receiver, Rig};

async fn arm(rig: &Rig, rules: Value) {
    rig.control("/_sandbox/faults", &rules).await.ok();
}

const FORM: &str = "amount=100&currency=usd";

async fn count(rig: &Rig) -> usize {
    rig.get("/v1/payment_intents").await.ok().body["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_stored_500_is_replayed_with_and_without_its_effect() {
    let rig = Rig::start().await;
    for (effect, made) in [(false, 0), (true, 1)] {
        arm(&rig, json!({"fault": "error_500", "effect": effect, "method": "POST", "times": 1})).await;
        let key = format!("k{effect}");
        let send = || {
            let form = rig.form("/v1/payment_intents", FORM).bearer_auth(KEY);
            rig.send(form.header("Idempotency-Key", &key))
        };
        let first = send().await;
        assert_eq!((first.status, first.error("type")), (500, "api_error"));
        let again = send().await;
        assert_eq!((again.status, again.header("Idempotent-Replayed")), (500, Some("true")));
        assert_eq!(count(&rig).await, made);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_reset_gives_no_answer_before_or_after_the_effect() {
    let rig = Rig::start().await;
    for (short, made) in [("reset_before", 0), ("reset_after", 1)] {
        arm(&rig, json!({"requests": {short: 1.0}})).await;
        let sent = rig.form("/v1/payment_intents", FORM).bearer_auth(KEY).send().await;
        assert!(sent.is_err(), "{sent:?}");
        rig.send(rig.request(reqwest::Method::DELETE, "/_sandbox/faults")).await.ok();
        assert_eq!(count(&rig).await, made);
    }
    rig.stop().await;
}

#[tokio::test]
async fn torn_html_and_lying_answers_come_as_asked() {
    let rig = Rig::start().await;
    arm(&rig, json!({"fault": "truncate", "times": 1})).await;
    let torn = rig.form("/v1/payment_intents", FORM).bearer_auth(KEY).send().await.unwrap();
    assert!(torn.text().await.is_err());
    arm(&rig, json!({"fault": "html_error", "times": 1})).await;
    let html = rig.post("/v1/payment_intents", FORM).await;
    assert_eq!(html.status, 502);
    assert!(html.text.starts_with("<html>"));
    arm(&rig, json!([{"fault": "wrong_livemode", "times": 1}, {"fault": "wrong_amount", "times": 1}, {"fault": "unknown_enum", "times": 1}])).await;
    let lie = rig.post("/v1/payment_intents", FORM).await.ok();
    assert_eq!(lie.body["livemode"], true);
    arm(&rig, json!({"fault": "drip", "delay": "5ms", "times": 1})).await;
    rig.post("/v1/payment_intents", FORM).await.ok();
    rig.stop().await;
}

#[tokio::test]
async fn refusals_tell_whether_to_retry_and_a_limiter_leaves_it_open() {
    let rig = Rig::start().await;
    let cases =
        [("conflict", 409, Some("true")), ("rate_limit", 429, None), ("lock_timeout", 429, Some("true"))];
    for (fault, status, retry) in cases {
        arm(&rig, json!({"fault": fault, "times": 1})).await;
        let refused = rig.post("/v1/payment_intents", FORM).await;
        assert_eq!((refused.status, refused.header("Stripe-Should-Retry")), (status, retry), "{fault}");
    }
    assert_eq!(count(&rig).await, 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_key_in_flight_is_a_409() {
    let rig = Rig::start().await;
    arm(&rig, json!({"fault": "delay", "delay": "600ms", "times": 1})).await;
    let send = || {
        let form = rig.form("/v1/payment_intents", FORM).bearer_auth(KEY);
        rig.send(form.header("Idempotency-Key", "k"))
    };
    let second = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        send().await
    };
    let (first, second) = tokio::join!(send(), second);
    assert_eq!((first.status, second.status), (200, 409));
    assert_eq!(second.error("code"), "idempotency_key_in_use");
    assert!(second.error("message").contains(": k. Please"));
    assert_eq!(send().await.ok().header("Idempotent-Replayed"), Some("true"));
    rig.stop().await;
}

/// Source: <https://docs.stripe.com/error-low-level>: a 500 may be repaired later, and is then told by a webhook.
/// Covers: fault 14, fault 15.
#[tokio::test]
async fn a_stored_500_is_repaired_later_by_itself() {
    let rig = Rig::start().await;
    let intent = rig.paid("").await.id();
    arm(&rig, json!({"fault": "error_500", "repair_after": "6h", "path": "/v1/refunds", "times": 1})).await;
    let send = || {
        let form = rig.form("/v1/refunds", &format!("payment_intent={intent}&metadata[ours]=1"));
        rig.send(form.bearer_auth(KEY).header("Idempotency-Key", "k"))
    };
    assert_eq!(send().await.status, 500);
    assert_eq!(rig.get("/v1/refunds").await.ok().body["data"], json!([]));
    // What is still to come is part of the state.
    let state = rig.get("/_sandbox/state").await.ok().body;
    rig.control("/_sandbox/state", &state).await.ok();
    rig.advance("6h").await;
    let page = rig.get("/v1/refunds").await.ok();
    assert_eq!(page.body["data"][0]["metadata"], json!({"ours": "1"}));
    let event = rig.get("/v1/events?type=refund.created").await.ok();
    assert_eq!(event.body["data"][0]["request"]["idempotency_key"], "k");
    let again = send().await;
    assert_eq!((again.status, again.header("Idempotent-Replayed")), (500, Some("true")));
    rig.stop().await;
}

/// Covers: fault 13, fault 14, fault 16.
#[tokio::test]
async fn every_kind_of_write_can_fail_before_or_after_its_effect() {
    let rig = Rig::start().await;
    let held = rig.paid("capture_method=manual").await.id();
    let path = format!("/v1/payment_intents/{held}/capture");
    arm(&rig, json!({"fault": "gateway_timeout", "path": "/v1/payment_intents/*/capture", "times": 1})).await;
    let keyed = |form: &'static str, key: &'static str| {
        rig.send(rig.form(&path, form).bearer_auth(KEY).header("Idempotency-Key", key))
    };
    assert_eq!(keyed("amount_to_capture=1000", "a").await.status, 504);
    arm(&rig, json!({"fault": "error_500", "effect": true, "path": "*/capture", "times": 1})).await;
    assert_eq!(keyed("amount_to_capture=1000", "a").await.status, 500, "the 504 was not kept");
    assert_eq!(rig.get(&format!("/v1/payment_intents/{held}")).await.ok().body["status"], "succeeded");
    for (fault, status) in [("bad_gateway", 502), ("unavailable", 503), ("gateway_timeout", 504)] {
        arm(&rig, json!({"fault": fault, "effect": true, "path": "/v1/refunds", "times": 1})).await;
        let send = || {
            let form = rig.form("/v1/refunds", &format!("payment_intent={held}&amount=100"));
            rig.send(form.bearer_auth(KEY).header("Idempotency-Key", fault))
        };
        assert_eq!(send().await.status, status);
        assert_eq!(send().await.ok().header("Idempotent-Replayed"), Some("true"), "{fault}");
    }
    assert_eq!(rig.get("/v1/refunds").await.ok().body["data"].as_array().unwrap().len(), 3);
    rig.stop().await;
}

/// Covers: fault 6, fault 8, fault 22.
#[tokio::test]
async fn an_answer_can_be_empty_endless_or_about_another_object() {
    let rig = Rig::start().await;
    arm(&rig, json!({"fault": "empty_body", "effect": true, "times": 1})).await;
    let empty = rig.post("/v1/payment_intents", FORM).await;
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    assert_eq!(count(&rig).await, 1);
    arm(&rig, json!({"fault": "other_object", "times": 1})).await;
    let other = rig.post("/v1/payment_intents", "amount=777&currency=usd").await.ok();
    assert_eq!(other.body["amount"], 100);
    arm(&rig, json!({"fault": "endless_body", "times": 1})).await;
    let mut endless = rig.form("/v1/payment_intents", FORM).bearer_auth(KEY).send().await.unwrap();
    let mut bytes = 0;
    while bytes < 4 * 1024 * 1024 {
        bytes += endless.chunk().await.unwrap().unwrap().len();
    }
    drop(endless);
    assert_eq!(count(&rig).await, 2);
    rig.stop().await;
}

/// Covers: fault 9, fault 12, fault 17.
#[tokio::test]
async fn should_retry_is_overridden_and_early_refusals_are_named() {
    let rig = Rig::start().await;
    let keyed = || rig.form("/v1/payment_intents", FORM).bearer_auth(KEY).header("Idempotency-Key", "k7");
    arm(&rig, json!({"fault": "bad_gateway", "should_retry": false, "times": 1})).await;
    let proxy = rig.send(keyed()).await;
    assert_eq!((proxy.status, proxy.header("Stripe-Should-Retry")), (502, Some("false")));
    arm(&rig, json!({"fault": "should_retry", "should_retry": true, "times": 1})).await;
    let refused = rig.post("/v1/payment_intents", "amount=1&currency=usd").await;
    assert_eq!((refused.status, refused.header("Stripe-Should-Retry")), (400, Some("true")));
    arm(&rig, json!({"fault": "conflict", "times": 1})).await;
    let conflict = rig.send(keyed()).await;
    assert!(conflict.error("message").contains(": k7. Please"), "{}", conflict.text);
    let json =
        rig.request(reqwest::Method::POST, "/v1/refunds").header("Content-Type", "text/plain").body("{}");
    for early in [conflict, rig.send(json).await] {
        assert!(early.header("Request-Id").is_some_and(|id| id.starts_with("req_")), "{}", early.text);
    }
    arm(&rig, json!({"fault": "lock_timeout", "times": 1})).await;
    assert_eq!(rig.send(keyed()).await.header("Request-Id"), None);
    rig.stop().await;
}

/// Waiting costs no thread: many requests wait at once.
/// Covers: fault 7.
#[tokio::test]
async fn latency_is_waited_for_by_all_requests_together() {
    let rig = Rig::start().await;
    arm(&rig, json!({"fault": "delay", "delay": "150ms"})).await;
    let began = std::time::Instant::now();
    let all = futures::future::join_all((0..100).map(|_| rig.post("/v1/payment_intents", FORM))).await;
    let took = began.elapsed().as_millis();
    assert!(all.iter().all(|answer| answer.status == 200));
    assert!((150..2_000).contains(&took), "{took} ms");
    rig.stop().await;
}

#[tokio::test]
async fn stripes_limits_can_be_switched_on() {
    let rig = Rig::start().await;
    arm(&rig, json!({"rate_limits": true})).await;
    let mut limited = 0;
    for _ in 0..60 {
        let answer = rig.get("/v1/balance").await;
        if answer.status == 429 {
            assert_eq!(answer.header("Stripe-Rate-Limited-Reason"), Some("endpoint-rate"));
            limited += 1;
        }
    }
    assert!(limited > 0);
    rig.stop().await;
}

#[tokio::test]
async fn webhooks_are_lost_doubled_and_spoiled() {
    let receiver = Receiver::start().await;
    let rig = Rig::sending_to(&receiver).await;
    arm(&rig, json!({"webhooks": {"drop": 1.0}})).await;
    rig.post("/v1/payment_intents", FORM).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(receiver.received().is_empty());
    assert_eq!(
        rig.get("/v1/events?delivery_success=false").await.ok().body["data"].as_array().unwrap().len(),
        1
    );
    rig.send(rig.request(reqwest::Method::DELETE, "/_sandbox/faults")).await.ok();

    arm(&rig, json!({"webhooks": {"duplicate": 2}})).await;
    rig.post("/v1/payment_intents", FORM).await.ok();
    let doubled = receiver.wait_for(3).await;
    assert!(doubled.iter().all(|one| one.body == doubled[0].body));
    rig.send(rig.request(reqwest::Method::DELETE, "/_sandbox/faults")).await.ok();

    arm(
        &rig,
        json!([{"fault": "corrupt", "times": 1}, {"fault": "delay", "target": "webhooks", "delay": "100ms"}]),
    )
    .await;
    rig.post("/v1/payment_intents", FORM).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(receiver.received().len(), 4);
    rig.stop().await;
}

#[tokio::test]
async fn nonsense_is_refused_and_rules_can_be_listed_and_removed() {
    let rig = Rig::start().await;
    assert_eq!(rig.control("/_sandbox/faults", &json!({"webhooks": {"melt": 1}})).await.status, 400);
    let added = rig.control("/_sandbox/faults", &json!({"fault": "reset", "path": "/v1/none"})).await.ok();
    let id = added.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(rig.get("/_sandbox/faults").await.ok().body["data"].as_array().unwrap().len(), 1);
    let path = format!("/_sandbox/faults/{id}");
    assert_eq!(rig.delete(&path).await.ok().body["data"], json!([]));
    assert_eq!(rig.delete(&path).await.status, 404);
    rig.stop().await;
}
