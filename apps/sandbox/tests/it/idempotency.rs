//! Idempotency keys over HTTP.

use crate::harness::{Answer, KEY, Rig};

async fn keyed(rig: &Rig, key: &str, path: &str, form: &str) -> Answer {
    rig.send(rig.form(path, form).bearer_auth(KEY).header("Idempotency-Key", key)).await
}

const INTENTS: &str = "/v1/payment_intents";

#[tokio::test]
async fn the_same_request_is_answered_from_memory() {
    let rig = Rig::start().await;
    let first = keyed(&rig, "k1", INTENTS, "amount=100&currency=usd&metadata[a]=1").await.ok();
    assert_eq!(first.header("Idempotent-Replayed"), None);
    assert_eq!(first.header("Idempotency-Key"), Some("k1"));
    let again = keyed(&rig, "k1", INTENTS, "metadata%5Ba%5D=1&currency=usd&amount=100").await.ok();
    assert_eq!(again.text, first.text);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(again.header("Original-Request"), first.header("Request-Id"));
    assert_ne!(again.header("Request-Id"), first.header("Request-Id"));
    assert_eq!(rig.get(INTENTS).await.ok().body["data"].as_array().unwrap().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    let rig = Rig::start().await;
    keyed(&rig, "k1", INTENTS, "amount=100&currency=usd").await.ok();
    let other = keyed(&rig, "k1", INTENTS, "amount=200&currency=usd").await;
    assert_eq!((other.status, other.error("type")), (400, "idempotency_error"));
    assert!(
        other
            .error("message")
            .starts_with("Keys for idempotent requests can only be used with the same parameters")
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_decline_is_replayed_and_a_validation_error_is_not() {
    let rig = Rig::start().await;
    let intent = rig.post(INTENTS, "amount=100&currency=usd").await.ok().id();
    let path = format!("{INTENTS}/{intent}/confirm");
    let first = keyed(&rig, "k1", &path, "payment_method=pm_card_visa_chargeDeclined").await;
    assert_eq!(first.status, 402);
    let again = keyed(&rig, "k1", &path, "payment_method=pm_card_visa_chargeDeclined").await;
    assert_eq!((again.status, again.text.as_str()), (402, first.text.as_str()));
    assert_eq!(rig.get("/v1/charges").await.ok().body["data"].as_array().unwrap().len(), 1);
    assert_eq!(keyed(&rig, "k2", INTENTS, "amount=x&currency=usd").await.status, 400);
    keyed(&rig, "k2", INTENTS, "amount=100&currency=usd").await.ok();
    rig.stop().await;
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day_and_belong_to_one_world() {
    let rig = Rig::start().await;
    let first = keyed(&rig, "k1", INTENTS, "amount=100&currency=usd").await.ok().id();
    let live =
        rig.form(INTENTS, "amount=200&currency=usd").bearer_auth("sk_live_1").header("Idempotency-Key", "k1");
    assert_eq!(rig.send(live).await.ok().body["livemode"], true);
    rig.advance("23h").await;
    assert_eq!(keyed(&rig, "k1", INTENTS, "amount=100&currency=usd").await.ok().id(), first);
    rig.advance("1h").await;
    assert_ne!(keyed(&rig, "k1", INTENTS, "amount=100&currency=usd").await.ok().id(), first);
    rig.stop().await;
}

/// Covers: fault 14.
#[tokio::test]
async fn keys_are_forgotten_on_command() {
    let rig = Rig::start().await;
    let form = "amount=100&currency=usd";
    let (one, two) =
        (keyed(&rig, "k1", INTENTS, form).await.ok().id(), keyed(&rig, "k2", INTENTS, form).await.ok().id());
    let forget = async |body: serde_json::Value| {
        let answer = rig.control("/_sandbox/idempotency_keys/forget", &body).await.ok();
        answer.body["forgotten"].as_i64().unwrap()
    };
    assert_eq!(forget(serde_json::json!({"key": "k1"})).await, 1);
    assert_ne!(keyed(&rig, "k1", INTENTS, form).await.ok().id(), one);
    assert_eq!(keyed(&rig, "k2", INTENTS, form).await.ok().id(), two);
    assert_eq!(forget(serde_json::json!({})).await, 2);
    assert_ne!(keyed(&rig, "k2", INTENTS, form).await.ok().id(), two);
    rig.stop().await;
}

/// Source: <https://docs.stripe.com/expand>: a path is checked before anything is done.
/// Covers: I2.
#[tokio::test]
async fn a_bad_expansion_does_nothing_and_keeps_no_key() {
    let rig = Rig::start().await;
    for path in ["latest_charge.colour", "status", "id", "payment_method.card.brand"] {
        let form = format!("amount=100&currency=usd&expand[]={path}");
        let refused = keyed(&rig, "k", INTENTS, &form).await;
        assert_eq!((refused.status, refused.error("param")), (400, "expand"), "{path}");
    }
    assert_eq!(rig.get(INTENTS).await.ok().body["data"], serde_json::json!([]));
    assert_eq!(rig.event_types().await, [""; 0]);
    keyed(&rig, "k", INTENTS, "amount=100&currency=usd&expand[]=latest_charge").await.ok();
    rig.stop().await;
}
