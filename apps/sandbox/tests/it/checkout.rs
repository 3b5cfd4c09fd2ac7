//! Checkout Sessions: by the control API and on the hosted page.

use serde_json::json;

use crate::harness::{Answer, Rig};

const LINES: &str = "mode=payment&success_url=https://shop.example/ok?s={CHECKOUT_SESSION_ID}&cancel_url=https://shop.example/back\
&line_items[0][price_data][currency]=eur&line_items[0][price_data][unit_amount]=1500\
&line_items[0][price_data][product_data][name]=Tea+%3Cb%3E&line_items[0][quantity]=2\
&payment_intent_data[metadata][order]=ord_1&metadata[own]=1&client_reference_id=ref&customer_email=a@example.com";

async fn session(rig: &Rig) -> Answer {
    rig.post("/v1/checkout/sessions", LINES).await.ok()
}

async fn pay(rig: &Rig, session: &str, body: serde_json::Value) -> Answer {
    rig.control(&format!("/_sandbox/checkout/sessions/{session}/pay"), &body).await
}

#[tokio::test]
async fn a_session_is_paid_once_and_its_metadata_reaches_the_intent() {
    let rig = Rig::start().await;
    let open = session(&rig).await;
    assert_eq!(open.body["payment_intent"], json!(null));
    assert_eq!(open.body["amount_total"], 3000);
    assert!(open.body["url"].as_str().unwrap().starts_with(rig.url()));
    let paid =
        pay(&rig, &open.id(), json!({"card": "4242424242424242", "email": "b@example.com"})).await.ok();
    assert_eq!((&paid.body["status"], &paid.body["payment_status"]), (&json!("complete"), &json!("paid")));
    assert_eq!(paid.body["customer_details"]["email"], "b@example.com");
    assert_eq!(paid.body["url"], json!(null));
    let intent = paid.body["payment_intent"].as_str().unwrap();
    let intent = rig.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(intent.body["metadata"], json!({"order": "ord_1"}));
    assert_eq!(
        rig.event_types().await,
        [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "checkout.session.completed"
        ]
    );
    let again = pay(&rig, &open.id(), json!({"card": "4242424242424242"})).await;
    assert_eq!(again.status, 400);
    assert_eq!(rig.get("/v1/charges").await.ok().body["data"].as_array().unwrap().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_decline_keeps_the_session_open_and_the_same_intent_is_tried_again() {
    let rig = Rig::start().await;
    let open = session(&rig).await;
    let wrong = pay(&rig, &open.id(), json!({"card": "4242424242424241"})).await;
    assert_eq!((wrong.status, wrong.error("code")), (402, "incorrect_number"));
    assert!(rig.event_types().await.is_empty());
    let declined = pay(&rig, &open.id(), json!({"card": "4000000000000002"})).await;
    assert_eq!((declined.status, declined.error("decline_code")), (402, "generic_decline"));
    let still = rig.get(&format!("/v1/checkout/sessions/{}", open.id())).await.ok();
    assert_eq!(still.body["status"], "open");
    let intent = still.body["payment_intent"].clone();
    let cancel = rig.post(&format!("/v1/payment_intents/{}/cancel", intent.as_str().unwrap()), "").await;
    assert_eq!(cancel.error("code"), "payment_intent_unexpected_state");
    let paid = pay(&rig, &open.id(), json!({"card": "5555555555554444"})).await.ok();
    assert_eq!(paid.body["payment_intent"], intent);
    rig.stop().await;
}

#[tokio::test]
async fn three_d_secure_completes_the_session_in_one_call_or_in_two() {
    let rig = Rig::start().await;
    let at_once = session(&rig).await.id();
    let paid =
        pay(&rig, &at_once, json!({"card": "4000002760003184", "authenticate": "complete"})).await.ok();
    assert_eq!(paid.body["status"], "complete");
    let in_two = session(&rig).await.id();
    let waits = pay(&rig, &in_two, json!({"card": "4000002760003184"})).await.ok();
    assert_eq!(waits.body["status"], "requires_action");
    let intent = waits.body["payment_intent"].as_str().unwrap();
    let path = format!("/_sandbox/payment_intents/{intent}/authenticate");
    assert_eq!(rig.control(&path, &json!({"outcome": "complete"})).await.ok().body["status"], "succeeded");
    let done = rig.get(&format!("/v1/checkout/sessions/{in_two}")).await.ok();
    assert_eq!(done.body["status"], "complete");
    assert_eq!(rig.control(&path, &json!({"outcome": "complete"})).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn an_expired_session_cannot_be_paid_and_its_intent_is_cancelled() {
    let rig = Rig::start().await;
    let by_api = session(&rig).await.id();
    pay(&rig, &by_api, json!({"card": "4000000000000002"})).await;
    let expired = rig.post(&format!("/v1/checkout/sessions/{by_api}/expire"), "").await.ok();
    assert_eq!((&expired.body["status"], &expired.body["url"]), (&json!("expired"), &json!(null)));
    let intent = expired.body["payment_intent"].as_str().unwrap();
    assert_eq!(rig.get(&format!("/v1/payment_intents/{intent}")).await.ok().body["status"], "canceled");
    assert_eq!(pay(&rig, &by_api, json!({"card": "4242424242424242"})).await.status, 400);
    assert_eq!(rig.post(&format!("/v1/checkout/sessions/{by_api}/expire"), "").await.status, 400);
    let by_time = session(&rig).await.id();
    rig.advance("24h").await;
    assert_eq!(rig.get(&format!("/v1/checkout/sessions/{by_time}")).await.ok().body["status"], "expired");
    assert_eq!(pay(&rig, &by_time, json!({"card": "4242424242424242"})).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn manual_capture_completes_a_session_unpaid() {
    let rig = Rig::start().await;
    let form = format!("{LINES}&payment_intent_data[capture_method]=manual");
    let open = rig.post("/v1/checkout/sessions", &form).await.ok();
    let done = pay(&rig, &open.id(), json!({"card": "4242424242424242"})).await.ok();
    assert_eq!((&done.body["status"], &done.body["payment_status"]), (&json!("complete"), &json!("unpaid")));
    let intent = done.body["payment_intent"].as_str().unwrap();
    let intent = rig.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(intent.body["status"], "requires_capture");
    rig.stop().await;
}

#[tokio::test]
async fn line_items_are_listed_and_bad_sessions_are_refused() {
    let rig = Rig::start().await;
    let open = session(&rig).await;
    let lines = rig.get(&format!("/v1/checkout/sessions/{}/line_items", open.id())).await.ok();
    assert_eq!(lines.body["data"][0]["amount_total"], 3000);
    assert_eq!(lines.body["data"][0]["description"], "Tea <b>");
    let refused = |form: String| {
        let rig = &rig;
        async move { rig.post("/v1/checkout/sessions", &form).await }
    };
    assert_eq!(refused(LINES.replace("success_url", "cancel_url")).await.error("param"), "success_url");
    assert_eq!(refused("success_url=https://a.example".to_owned()).await.error("param"), "line_items");
    assert_eq!(refused(format!("{LINES}&expires_at=5")).await.error("param"), "expires_at");
    let zero = LINES.replace("[quantity]=2", "[quantity]=0");
    assert_eq!(refused(zero).await.error("param"), "line_items[0][quantity]");
    let small = LINES.replace("=1500", "=10");
    assert_eq!(refused(small).await.error("code"), "amount_too_small");
    rig.stop().await;
}

#[tokio::test]
async fn the_hosted_page_shows_declines_asks_for_three_d_secure_and_sends_back() {
    let rig = Rig::start().await;
    let open = session(&rig).await;
    let path = format!("/c/pay/{}", open.id());
    let page = rig.send(rig.request(reqwest::Method::GET, &path)).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("€30.00") && page.text.contains("Tea &#60;b&#62;"), "{}", page.text);
    assert!(!page.text.contains("<script"));
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("https://shop.example"), "{policy}");

    let pay = |form: &'static str| rig.send(rig.form(&path, form));
    let declined = pay("email=a%40example.com&number=4000+0000+0000+9995").await;
    assert_eq!(declined.status, 402);
    assert!(declined.text.contains("Your card has insufficient funds."));
    let no_email = pay("email=&number=4242424242424242").await;
    assert!(no_email.text.contains("e-mail"));
    let challenge = pay("email=a%40example.com&number=&card=4000002760003184").await;
    assert_eq!(challenge.status, 303);
    let location = challenge.header("Location").unwrap().to_owned();
    assert!(rig.send(rig.request(reqwest::Method::GET, &location)).await.text.contains("3-D Secure"));
    let failed = rig.send(rig.form(&location, "outcome=fail")).await;
    assert!(failed.text.contains("failed authentication"), "{}", failed.text);
    pay("email=a%40example.com&card=4000002760003184").await;
    let done = rig.send(rig.form(&location, "outcome=complete")).await;
    assert_eq!(done.status, 303);
    let expected = format!("https://shop.example/ok?s={}", open.id());
    assert_eq!(done.header("Location"), Some(expected.as_str()));
    assert!(pay("email=a%40example.com&card=4242424242424242").await.text.contains("has been paid"));
    rig.stop().await;
}

#[tokio::test]
async fn a_delayed_method_completes_the_session_first_and_pays_or_fails_later() {
    let rig = Rig::start().await;
    for (iban, outcome, status) in [
        ("AT321904300235473204", "succeeded", "succeeded"),
        ("AT861904300235473202", "failed", "requires_payment_method"),
    ] {
        let open = session(&rig).await.id();
        let done = pay(&rig, &open, json!({"card": iban})).await.ok();
        assert_eq!(
            (&done.body["status"], &done.body["payment_status"]),
            (&json!("complete"), &json!("unpaid"))
        );
        let path = format!("/v1/payment_intents/{}", done.body["payment_intent"].as_str().unwrap());
        assert_eq!(rig.get(&path).await.ok().body["status"], "processing");
        assert_eq!(rig.post(&format!("{path}/cancel"), "").await.status, 400);
        rig.advance("6s").await;
        assert_eq!(rig.get(&path).await.ok().body["status"], status);
        let last = rig.event_types().await.pop().unwrap();
        assert_eq!(last, format!("checkout.session.async_payment_{outcome}"));
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_hosted_page_saves_cards_and_subscribes_also_with_three_d_secure() {
    let rig = Rig::start().await;
    let price = "currency=usd&unit_amount=900&recurring[interval]=month&product_data[name]=Club";
    let price = rig.post("/v1/prices", price).await.ok().id();
    let customer = rig.post("/v1/customers", "email=a@example.com").await.ok().id();
    let forms = [
        (
            format!("mode=setup&currency=usd&customer={customer}&success_url=https://shop.example/ok"),
            "Save card",
        ),
        (
            format!(
                "mode=subscription&line_items[0][price]={price}&line_items[0][quantity]=1&success_url=https://shop.example/ok"
            ),
            "Subscribe",
        ),
    ];
    for (form, action) in forms {
        let open = rig.post("/v1/checkout/sessions", &form).await.ok().id();
        let path = format!("/c/pay/{open}");
        assert!(rig.get(&path).await.text.contains(action));
        let challenge = rig.send(rig.form(&path, "email=a%40example.com&card=4000002500003155")).await;
        let location =
            challenge.header("Location").unwrap_or_else(|| panic!("{}", challenge.text)).to_owned();
        assert!(rig.get(&location).await.text.contains("3-D Secure"));
        let done = rig.send(rig.form(&location, "outcome=complete")).await;
        assert_eq!(done.header("Location"), Some("https://shop.example/ok"), "{action}: {}", done.text);
        assert_eq!(rig.get(&format!("/v1/checkout/sessions/{open}")).await.ok().body["status"], "complete");
    }
    rig.stop().await;
}

#[tokio::test]
async fn an_expired_session_is_recovered_by_its_link() {
    let rig = Rig::start().await;
    let open = rig
        .post("/v1/checkout/sessions", &format!("{LINES}&after_expiration[recovery][enabled]=true"))
        .await
        .ok()
        .id();
    assert_eq!(rig.get(&format!("/c/recover/{open}")).await.status, 410);
    let expired = rig.post(&format!("/v1/checkout/sessions/{open}/expire"), "").await.ok();
    let link = expired.body["after_expiration"]["recovery"]["url"].as_str().unwrap();
    let path = link.strip_prefix(rig.url()).unwrap();
    let fresh = rig.get(path).await;
    let fresh = fresh.header("Location").unwrap().rsplit('/').next().unwrap().to_owned();
    let session = rig.get(&format!("/v1/checkout/sessions/{fresh}")).await.ok();
    assert_eq!(
        (&session.body["recovered_from"], &session.body["amount_total"]),
        (&json!(open), &json!(3000))
    );
    pay(&rig, &fresh, json!({"card": "4242424242424242"})).await.ok();
    rig.stop().await;
}
