//! The stand-in for Stripe.js: served, and what it calls.

use crate::harness::Rig;

#[tokio::test]
async fn the_script_is_served_and_its_calls_need_the_client_secret() {
    let rig = Rig::start().await;
    let script = rig.get("/v3/").await;
    assert!(script.header("Content-Type").unwrap().starts_with("text/javascript"));
    assert!(
        script.text.contains("confirmPayment") && script.header("Access-Control-Allow-Origin") == Some("*")
    );
    let intent = rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok();
    let (id, secret) = (intent.id(), intent.body["client_secret"].as_str().unwrap().to_owned());
    let path = format!("/v3/payment_intents/{id}/confirm");
    let call = |form: String| {
        let (rig, path) = (&rig, &path);
        async move { rig.send(rig.form(path, &form)).await }
    };
    let wrong = call("key=pk_test_1&client_secret=x&card=4242424242424242".to_owned()).await;
    assert_eq!((wrong.status, wrong.error("param")), (400, "client_secret"));
    let other_world = call(format!("key=pk_live_1&client_secret={secret}&card=4242424242424242")).await;
    assert_eq!(other_world.status, 404);
    let declined = call(format!("key=pk_test_1&client_secret={secret}&card=4000000000000002")).await;
    assert_eq!((declined.status, declined.error("code")), (402, "card_declined"));
    let waits = call(format!("key=pk_test_1&client_secret={secret}&card=4000002760003184")).await.ok();
    assert_eq!(waits.body["status"], "requires_action");
    let path = format!("/v3/payment_intents/{id}/authenticate");
    let answer = format!("key=pk_test_1&client_secret={secret}&outcome=complete");
    assert_eq!(rig.send(rig.form(&path, &answer)).await.ok().body["status"], "succeeded");
    let read = rig.request(
        reqwest::Method::GET,
        &format!("/v1/payment_intents/{id}?key=pk_test_1&client_secret={secret}"),
    );
    assert_eq!(rig.send(read).await.ok().body["status"], "succeeded");
    let list = rig.request(reqwest::Method::GET, "/v1/payment_intents?key=pk_test_1");
    assert_eq!(rig.send(list).await.error("code"), "secret_key_required");
    rig.stop().await;
}
