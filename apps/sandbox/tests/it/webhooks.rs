//! Signed webhooks: who gets them, when they come again, what is logged.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::harness::{Received, Receiver, Rig};

/// Verifies as Stripe's clients do: <https://docs.stripe.com/webhooks/signatures>.
fn is_signed(received: &Received, secret: &str) -> bool {
    let header = received.header("Stripe-Signature").unwrap();
    let part = |name: &str| {
        header
            .split(',')
            .filter_map(|part| part.split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    let t = part("t").remove(0);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{t}.{}", received.body).as_bytes());
    let expected = hex::encode(mac.finalize().into_bytes());
    part("v1").contains(&expected)
}

#[tokio::test]
async fn events_are_delivered_signed_and_logged() {
    let receiver = Receiver::start().await;
    let rig = Rig::sending_to(&receiver).await;
    rig.paid("").await;
    let received = receiver.wait_for(3).await;
    for one in &received {
        assert!(is_signed(one, "whsec_test") && !is_signed(one, "whsec_other"));
        assert_eq!(one.header("Content-Type"), Some("application/json; charset=utf-8"));
        assert!(one.header("User-Agent").unwrap().starts_with("Stripe/1.0"));
        assert_eq!(one.event()["api_version"], "2026-07-29.dahlia");
    }
    for _ in 0..100 {
        let log = rig.get("/_sandbox/deliveries").await.ok();
        if log.body["data"].as_array().unwrap().len() == 3 {
            assert_eq!(log.body["data"][0]["status"], 200);
            assert_eq!(log.body["open"], 0);
            rig.stop().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the log never showed the deliveries");
}

#[tokio::test]
async fn a_failed_delivery_comes_again_with_the_same_body_and_a_redirect_is_a_failure() {
    let receiver = Receiver::start().await;
    receiver.answer(&[500, 302, 200]);
    let rig = Rig::sending_to(&receiver).await;
    rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok();
    let received = receiver.wait_for(3).await;
    assert!(received.iter().all(|one| one.body == received[0].body));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(receiver.received().len(), 3);
    let event = received[0].event()["id"].as_str().unwrap().to_owned();
    let resent = rig.control(&format!("/_sandbox/events/{event}/resend"), &json!({})).await.ok();
    assert_eq!(resent.body["endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(receiver.wait_for(4).await[3].body, received[0].body);
    assert_eq!(rig.control("/_sandbox/events/evt_none/resend", &json!({})).await.status, 404);
    rig.stop().await;
}

#[tokio::test]
async fn endpoints_get_only_what_they_asked_for_and_tell_their_secret_once() {
    let (narrow, off) = (Receiver::start().await, Receiver::start().await);
    let rig = Rig::start().await;
    let create = |url: &str, events: &str| {
        let form = format!("url={url}&{events}");
        let rig = &rig;
        async move { rig.post("/v1/webhook_endpoints", &form).await.ok() }
    };
    let endpoint = create(&narrow.url, "enabled_events[]=charge.succeeded").await;
    let secret = endpoint.body["secret"].as_str().unwrap().to_owned();
    let again = rig.get(&format!("/v1/webhook_endpoints/{}", endpoint.id())).await.ok();
    assert_eq!(again.body.get("secret"), None);
    let disabled = create(&off.url, "enabled_events[]=*").await;
    rig.post(&format!("/v1/webhook_endpoints/{}", disabled.id()), "disabled=true").await.ok();
    rig.paid("").await;
    let received = narrow.wait_for(1).await;
    assert_eq!(received[0].event()["type"], "charge.succeeded");
    assert!(is_signed(&received[0], &secret));
    rig.delete(&format!("/v1/webhook_endpoints/{}", endpoint.id())).await.ok();
    rig.paid("").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!((narrow.received().len(), off.received().len()), (1, 0));
    rig.stop().await;
}

#[tokio::test]
async fn while_a_secret_is_rolled_both_sign_and_later_only_the_new_one() {
    let receiver = Receiver::start().await;
    let rig = Rig::start().await;
    let form = format!("url={}&enabled_events[]=payment_intent.created", receiver.url);
    let endpoint = rig.post("/v1/webhook_endpoints", &form).await.ok();
    let old = endpoint.body["secret"].as_str().unwrap().to_owned();
    let path = format!("/_sandbox/webhook_endpoints/{}/roll", endpoint.id());
    let rolled = rig.control(&path, &json!({"keep_old": "2h"})).await.ok();
    let new = rolled.body["secret"].as_str().unwrap().to_owned();
    rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok();
    let both = receiver.wait_for(1).await.remove(0);
    assert!(is_signed(&both, &old) && is_signed(&both, &new));
    rig.advance("3h").await;
    rig.post("/v1/payment_intents", "amount=100&currency=usd").await.ok();
    let later = receiver.wait_for(2).await.remove(1);
    assert!(!is_signed(&later, &old) && is_signed(&later, &new));
    assert_eq!(rig.control(&path, &json!({"keep_old": "long"})).await.status, 400);
    assert_eq!(rig.control("/_sandbox/webhook_endpoints/we_none/roll", &json!({})).await.status, 404);
    rig.stop().await;
}
