//! The control API.

use serde_json::json;

use paywright_sandbox::Options;

use crate::harness::{Rig, local};

#[tokio::test]
async fn bad_json_is_a_clear_400() {
    let rig = Rig::start().await;
    let intent = rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok().id();
    let path = format!("/_sandbox/payment_intents/{intent}/pay");
    for body in
        [json!({}), json!({"card": 4242}), json!({"card": "4242424242424242", "colour": 1}), json!([])]
    {
        let answer = rig.control(&path, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.error("message").starts_with("Invalid JSON"), "{}", answer.text);
    }
    assert_eq!(
        rig.control("/_sandbox/payment_intents/pi_none/pay", &json!({"card": "4242424242424242"}))
            .await
            .status,
        404
    );
    assert_eq!(rig.control("/_sandbox/clock", &json!({"advance": "soon"})).await.status, 400);
    assert_eq!(rig.get("/_sandbox/nothing").await.status, 404);
    assert_eq!(rig.get("/_sandbox/health").await.ok().body["status"], "ok");
    rig.stop().await;
}

/// Memory has an end: nothing is forgotten silently, so a full sandbox says so.
#[tokio::test]
async fn a_full_sandbox_refuses_more_and_still_answers_until_it_is_emptied() {
    let options = Options { bind: local(), objects_max: 4, ..Options::default() };
    let rig = Rig::with(options).await;
    let form = "amount=100&currency=usd";
    let first = rig.post("/v1/payment_intents", form).await.ok().id();
    for _ in 0..3 {
        rig.post("/v1/payment_intents", form).await.ok();
    }
    let refused = rig.post("/v1/payment_intents", form).await;
    assert_eq!(refused.status, 400);
    assert!(refused.error("message").contains("/_sandbox/reset"), "{}", refused.text);
    let card = json!({"card": "4242424242424242"});
    assert_eq!(rig.control(&format!("/_sandbox/payment_intents/{first}/pay"), &card).await.status, 400);
    rig.get(&format!("/v1/payment_intents/{first}")).await.ok();
    rig.control("/_sandbox/reset", &json!({})).await.ok();
    rig.post("/v1/payment_intents", form).await.ok();
    rig.stop().await;
}

#[tokio::test]
async fn an_intent_is_paid_as_by_the_browser() {
    let rig = Rig::start().await;
    let intent = rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok().id();
    let path = format!("/_sandbox/payment_intents/{intent}/pay");
    let declined = rig.control(&path, &json!({"card": "4000000000000002"})).await;
    assert_eq!((declined.status, declined.error("code")), (402, "card_declined"));
    let waits = rig.control(&path, &json!({"card": "4000000000003220"})).await.ok();
    assert_eq!(waits.body["status"], "requires_action");
    let failed = rig.control(&path, &json!({"card": "4000000000003220", "authenticate": "fail"})).await;
    assert_eq!((failed.status, failed.error("code")), (402, "payment_intent_authentication_failure"));
    let paid =
        rig.control(&path, &json!({"card": "4000000000003220", "authenticate": "complete"})).await.ok();
    assert_eq!(paid.body["status"], "succeeded");
    assert_eq!(rig.control(&path, &json!({"card": "4242424242424242"})).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn a_state_is_carried_to_another_sandbox() {
    let (one, other) = (Rig::start().await, Rig::start().await);
    let intent = one.paid("").await.id();
    let state = one.get("/_sandbox/state").await.ok().body;
    assert_eq!(other.control("/_sandbox/state", &json!({"no": "state"})).await.status, 400);
    other.control("/_sandbox/state", &state).await.ok();
    let carried = other.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(carried.body["status"], "succeeded");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let rig = Rig::start().await;
    rig.paid("").await;
    rig.control("/_sandbox/reset", &json!({})).await.ok();
    assert_eq!(rig.get("/v1/payment_intents").await.ok().body["data"], json!([]));
    assert_eq!(rig.event_types().await, [""; 0]);
    rig.stop().await;
}
