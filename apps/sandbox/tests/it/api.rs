//! Intents, lists, keys and bad input.

use serde_json::json;

use crate::harness::{KEY, Rig};

#[tokio::test]
async fn a_confirmed_intent_is_paid_and_its_events_come_in_order() {
    let rig = Rig::start().await;
    let intent = rig.paid("metadata[order]=7").await;
    assert_eq!(intent.body["status"], "succeeded");
    assert_eq!(intent.body["amount_received"], 1000);
    assert_eq!(
        rig.event_types().await,
        ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    );
    let charge =
        rig.get(&format!("/v1/charges/{}", intent.body["latest_charge"].as_str().unwrap())).await.ok();
    assert_eq!(charge.body["metadata"], json!({"order": "7"}));
    assert_eq!(charge.body["balance_transaction"], json!(null));
    rig.advance("2s").await;
    let charge = rig.get(&format!("/v1/charges/{}?expand[]=balance_transaction", charge.id())).await.ok();
    assert_eq!(charge.body["balance_transaction"]["fee"], 59);
    assert_eq!(rig.event_types().await.last().unwrap(), "charge.updated");
    rig.stop().await;
}

#[tokio::test]
async fn a_decline_is_a_402_that_leaves_the_intent_waiting_for_another_card() {
    let rig = Rig::start().await;
    let intent = rig.post("/v1/payment_intents", "amount=1000&currency=eur").await.ok();
    let path = format!("/v1/payment_intents/{}", intent.id());
    let declined = rig
        .post(&format!("{path}/confirm"), "payment_method=pm_card_visa_chargeDeclinedInsufficientFunds")
        .await;
    assert_eq!(declined.status, 402);
    assert_eq!(declined.error("code"), "card_declined");
    assert_eq!(declined.error("decline_code"), "insufficient_funds");
    assert_eq!(declined.body["error"]["payment_intent"]["status"], "requires_payment_method");
    let intent = rig.get(&path).await.ok();
    assert_eq!(intent.body["payment_method"], json!(null));
    assert_eq!(intent.body["last_payment_error"]["payment_method"]["object"], "payment_method");
    let paid = rig.post(&format!("{path}/confirm"), "payment_method=pm_card_visa").await.ok();
    assert_eq!(paid.body["status"], "succeeded");
    assert_eq!(paid.body["last_payment_error"], json!(null));
    rig.stop().await;
}

#[tokio::test]
async fn a_hold_is_captured_in_part_and_never_twice() {
    let rig = Rig::start().await;
    let held = rig.paid("capture_method=manual").await;
    assert_eq!(held.body["status"], "requires_capture");
    assert_eq!(held.body["amount_capturable"], 1000);
    let path = format!("/v1/payment_intents/{}", held.id());
    let too_much = rig.post(&format!("{path}/capture"), "amount_to_capture=1001").await;
    assert_eq!((too_much.status, too_much.error("code")), (400, "amount_too_large"));
    let captured = rig.post(&format!("{path}/capture"), "amount_to_capture=400").await.ok();
    assert_eq!(captured.body["amount_received"], 400);
    assert_eq!(captured.body["amount_capturable"], 0);
    let again = rig.post(&format!("{path}/capture"), "").await;
    assert_eq!(again.error("code"), "payment_intent_unexpected_state");
    let canceled = rig.post(&format!("{path}/cancel"), "").await;
    assert_eq!(canceled.error("code"), "payment_intent_unexpected_state");
    assert_eq!(rig.event_types().await[3..], ["charge.captured", "payment_intent.succeeded"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_hold_that_is_not_captured_runs_out_after_seven_days() {
    let rig = Rig::start().await;
    let held = rig.paid("capture_method=manual").await;
    rig.advance("169h").await;
    let intent = rig.get(&format!("/v1/payment_intents/{}", held.id())).await.ok();
    assert_eq!(intent.body["status"], "canceled");
    assert_eq!(rig.event_types().await[3..], ["charge.expired", "payment_intent.canceled"]);
    rig.stop().await;
}

#[tokio::test]
async fn three_d_secure_is_asked_for_and_answered() {
    let rig = Rig::start().await;
    for (outcome, status) in [("complete", "succeeded"), ("fail", "requires_payment_method")] {
        let form = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_authenticationRequired&return_url=https://shop.example/back";
        let intent = rig.post("/v1/payment_intents", form).await.ok();
        assert_eq!(intent.body["status"], "requires_action");
        assert_eq!(intent.body["next_action"]["type"], "redirect_to_url");
        let path = format!("/_sandbox/payment_intents/{}/authenticate", intent.id());
        let answered = rig.control(&path, &json!({"outcome": outcome})).await;
        assert_eq!(answered.status, if outcome == "complete" { 200 } else { 402 }, "{}", answered.text);
        let intent = rig.get(&format!("/v1/payment_intents/{}", intent.id())).await.ok();
        assert_eq!(intent.body["status"], status);
    }
    let off_session = "amount=1000&currency=usd&confirm=true&off_session=true&payment_method=pm_card_authenticationRequired";
    let refused = rig.post("/v1/payment_intents", off_session).await;
    assert_eq!((refused.status, refused.error("decline_code")), (402, "authentication_required"));
    rig.stop().await;
}

#[tokio::test]
async fn keys_separate_worlds_and_wrong_ones_are_refused() {
    let rig = Rig::start().await;
    let intent = rig.paid("").await;
    let path = format!("/v1/payment_intents/{}", intent.id());
    let live = rig.send(rig.request(reqwest::Method::GET, &path).bearer_auth("sk_live_1")).await;
    assert_eq!((live.status, live.error("code")), (404, "resource_missing"));
    assert!(live.error("message").contains("a similar object exists in test mode"));
    let basic = rig.send(rig.request(reqwest::Method::GET, &path).basic_auth(KEY, Some(""))).await;
    assert_eq!(basic.status, 200);
    let none = rig.send(rig.request(reqwest::Method::GET, &path)).await;
    assert_eq!(none.status, 401);
    assert!(none.error("message").starts_with("You did not provide an API key."));
    let wrong = rig.send(rig.request(reqwest::Method::GET, &path).bearer_auth("hello")).await;
    assert_eq!((wrong.status, wrong.error("message")), (401, "Invalid API Key provided: *****"));
    rig.stop().await;
}

#[tokio::test]
async fn lists_page_in_both_directions() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for amount in 100..105 {
        ids.insert(
            0,
            rig.post("/v1/payment_intents", &format!("amount={amount}&currency=usd")).await.ok().id(),
        );
    }
    let page = |query: String| {
        let rig = &rig;
        async move {
            let page = rig.get(&format!("/v1/payment_intents?{query}")).await.ok();
            let data = page.body["data"].as_array().unwrap();
            let ids: Vec<String> = data.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
            (ids, page.body["has_more"].as_bool().unwrap())
        }
    };
    assert_eq!(page("limit=2".to_owned()).await, (ids[..2].to_vec(), true));
    assert_eq!(page(format!("limit=2&starting_after={}", ids[1])).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(format!("limit=2&starting_after={}", ids[3])).await, (ids[4..].to_vec(), false));
    assert_eq!(page(format!("limit=2&ending_before={}", ids[4])).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(format!("ending_before={}", ids[0])).await, (Vec::new(), false));
    assert_eq!(rig.get("/v1/payment_intents?limit=101").await.error("param"), "limit");
    let both = format!("/v1/payment_intents?starting_after={}&ending_before={}", ids[0], ids[1]);
    assert_eq!(rig.get(&both).await.status, 400);
    assert_eq!(rig.get("/v1/payment_intents?starting_after=pi_none").await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn events_are_filtered_by_type_and_time() {
    let rig = Rig::start().await;
    rig.paid("").await;
    let count = |query: &'static str| {
        let rig = &rig;
        async move { rig.get(&format!("/v1/events?{query}")).await.ok().body["data"].as_array().unwrap().len() }
    };
    assert_eq!(count("type=charge.*").await, 1);
    assert_eq!(count("types[]=charge.succeeded&types[]=payment_intent.succeeded").await, 2);
    assert_eq!(count("created[gt]=32503680000").await, 0);
    assert_eq!(count("created[gte]=1&created[lt]=32503680000").await, 3);
    let event = &rig.get("/v1/events?limit=1").await.ok().body["data"][0];
    let same = rig.get(&format!("/v1/events/{}", event["id"].as_str().unwrap())).await.ok();
    assert_eq!(&same.body, event);
    assert_eq!(same.body["data"]["object"]["status"], "succeeded");
    assert!(same.body["request"]["id"].as_str().unwrap().starts_with("req_"));
    rig.stop().await;
}

#[tokio::test]
async fn expansion_replaces_ids_by_objects_and_refuses_what_is_none() {
    let rig = Rig::start().await;
    let intent = rig.paid("expand[]=latest_charge&expand[]=payment_method").await;
    assert_eq!(intent.body["latest_charge"]["object"], "charge");
    assert_eq!(intent.body["payment_method"]["card"]["last4"], "4242");
    let list = rig.get("/v1/payment_intents?expand[]=data.latest_charge.refunds").await.ok();
    assert_eq!(list.body["data"][0]["latest_charge"]["refunds"]["object"], "list");
    let path = format!("/v1/payment_intents/{}", intent.id());
    let unknown = rig.get(&format!("{path}?expand[]=colour")).await;
    assert_eq!(
        unknown.error("message"),
        "This property cannot be expanded because it doesn't exist: colour."
    );
    assert_eq!(rig.get(&format!("{path}?expand[]=a.b.c.d.e")).await.status, 400);
    assert_eq!(rig.get(&format!("{path}?expand[]=status")).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn metadata_merges_and_unsets() {
    let rig = Rig::start().await;
    let intent =
        rig.post("/v1/payment_intents", "amount=100&currency=usd&metadata[a]=1&metadata[b]=2").await.ok();
    let path = format!("/v1/payment_intents/{}", intent.id());
    let merged = rig.post(&path, "metadata[a]=&metadata[c]=3").await.ok();
    assert_eq!(merged.body["metadata"], json!({"b": "2", "c": "3"}));
    let cleared = rig.post(&path, "metadata=").await.ok();
    assert_eq!(cleared.body["metadata"], json!({}));
    let long = format!("metadata[a]={}", "x".repeat(501));
    assert_eq!(rig.post(&path, &long).await.status, 400);
    rig.stop().await;
}

#[tokio::test]
async fn bad_input_is_a_4xx_in_stripes_shape_and_never_more() {
    let rig = Rig::start().await;
    let cases: &[(&str, &str, u16, &str)] = &[
        ("/v1/payment_intents", "currency=usd", 400, "parameter_missing"),
        ("/v1/payment_intents", "amount=100&currency=usd&colour=red", 400, "parameter_unknown"),
        ("/v1/payment_intents", "amount=abc&currency=usd", 400, "parameter_invalid_integer"),
        ("/v1/payment_intents", "amount=0&currency=usd", 400, "parameter_invalid_integer"),
        ("/v1/payment_intents", "amount=49&currency=usd", 400, "amount_too_small"),
        ("/v1/payment_intents", "amount=9999999999999&currency=usd", 400, "amount_too_large"),
        ("/v1/payment_intents", "amount=100&currency=zzz", 400, ""),
        ("/v1/payment_intents", "amount=100&currency=usd&customer=cus_none", 400, "resource_missing"),
        ("/v1/payment_intents", "amount[a]=100&currency=usd", 400, ""),
        ("/v1/payment_intents", "[amount]=100", 400, ""),
        ("/v1/payment_intents", "amount=%ff", 400, ""),
        ("/v1/payment_intents/pi_none/confirm", "", 404, "resource_missing"),
        ("/v1/foo", "", 404, ""),
    ];
    for (path, form, status, code) in cases {
        let answer = rig.post(path, form).await;
        assert_eq!((answer.status, answer.error("code")), (*status, *code), "{path} {form}: {}", answer.text);
        assert!(!answer.error("message").is_empty() && !answer.error("type").is_empty(), "{}", answer.text);
    }
    let unknown = rig.get("/v1/foo").await;
    assert!(
        unknown.error("message").starts_with("Unrecognized request URL (GET: /v1/foo)."),
        "{}",
        unknown.text
    );
    let json = rig.request(reqwest::Method::POST, "/v1/payment_intents").bearer_auth(KEY);
    let json = rig.send(json.header("Content-Type", "application/json").body("{}")).await;
    assert_eq!(json.status, 400);
    let huge = rig.post("/v1/payment_intents", &"a".repeat(1024 * 1024 + 1)).await;
    assert_eq!(huge.status, 413);
    let put = rig.send(rig.request(reqwest::Method::PUT, "/v1/payment_intents").bearer_auth(KEY)).await;
    assert_eq!(put.status, 404);
    rig.stop().await;
}

#[tokio::test]
async fn versions_are_echoed_and_garbage_is_refused() {
    let rig = Rig::start().await;
    let with = |version: &'static str| {
        rig.send(
            rig.request(reqwest::Method::GET, "/v1/balance")
                .bearer_auth(KEY)
                .header("Stripe-Version", version),
        )
    };
    assert_eq!(with("2026-07-29.dahlia").await.header("Stripe-Version"), Some("2026-07-29.dahlia"));
    assert_eq!(with("yesterday").await.status, 400);
    assert!(with("2026-07-29.dahlia").await.header("Request-Id").unwrap().starts_with("req_"));
    rig.stop().await;
}

#[tokio::test]
async fn refunds_never_exceed_what_was_captured() {
    let rig = Rig::start().await;
    let intent = rig.paid("").await.id();
    let refund = |amount: u32| {
        let form = format!("payment_intent={intent}&amount={amount}");
        let rig = &rig;
        async move { rig.post("/v1/refunds", &form).await }
    };
    let first = refund(400).await.ok();
    assert_eq!(
        (first.body["status"].as_str(), first.body["amount"].as_i64()),
        (Some("succeeded"), Some(400))
    );
    let over = refund(601).await;
    assert_eq!(
        over.error("message"),
        "Refund amount ($6.01) is greater than unrefunded amount on charge ($6.00)"
    );
    refund(600).await.ok();
    assert_eq!(refund(1).await.error("code"), "charge_already_refunded");
    let intent = rig.get(&format!("/v1/payment_intents/{intent}?expand[]=latest_charge")).await.ok();
    assert_eq!(intent.body["latest_charge"]["refunded"], true);
    assert_eq!(rig.post("/v1/refunds", "").await.status, 400);
    rig.stop().await;
}
