//! The main job through HTTP only.

use serde_json::{Value, json};

use crate::support::{DECLINED, INSUFFICIENT_FUNDS, Reply, THREE_D_SECURE, TestApp, VISA, text};

/// Moves a paid order to its end.
async fn fulfil(app: &TestApp, order: &str) {
    for (command, body, state) in [
        ("fulfillment", json!({}), "fulfillment_started"),
        ("ship", json!({"carrier": "DHL", "tracking": "JD0001"}), "shipped"),
        ("complete", json!({}), "completed"),
    ] {
        assert_eq!(app.command(order, command, body).await.ok()["state"], state);
    }
}

fn events(timeline: &[Value], subject: &str) -> Vec<String> {
    timeline.iter().filter(|entry| entry["subject"] == subject).map(|entry| text(&entry["event"])).collect()
}

/// Covers: I6, I14, W-9.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_on_the_hosted_page_and_the_timeline_explains_each_step() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let placed = app.show(&order).await;
    assert_eq!((&placed["state"], &placed["amount_total"]), (&json!("pending"), &json!(3998)));

    let session = app.session(&order).await;
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    app.pay_session(&session, VISA).await.ok();
    let paid = app.until(&order, "paid").await;
    assert_eq!(paid["amount_captured"], 3998);
    assert_eq!(paid["refundable"], 3998);
    assert_eq!(paid["payments"][0]["state"], "captured");
    assert_eq!(paid["payments"][0]["stripe_checkout_session"], session.as_str());
    fulfil(&app, &order).await;
    assert_eq!(app.show(&order).await["shipment"]["tracking"], "JD0001");

    let timeline = app.timeline(&order).await;
    assert_eq!(
        events(&timeline, "order"),
        ["placed", "payment_started", "captured", "fulfillment_started", "shipped", "completed"]
    );
    assert_eq!(events(&timeline, "call"), ["create_session_recorded", "create_session_done"]);
    let captured =
        timeline.iter().find(|entry| entry["event"] == "captured" && entry["subject"] == "order").unwrap();
    assert_eq!(
        (&captured["from"], &captured["to"], &captured["actor"]),
        (&json!("payment_processing"), &json!("paid"), &json!("stripe"))
    );
    assert!(text(&captured["stripe_event"]).starts_with("evt_"), "{captured}");
    let placed = &timeline[0];
    assert!(text(&placed["actor"]).starts_with("api_key:key_"), "{placed}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_by_a_payment_intent() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let answer = app.command(&order, "payment-intent", json!({})).await.ok();
    assert_eq!(answer["publishable_key"], "pk_test_integration");
    let again = app.command(&order, "payment-intent", json!({})).await.ok();
    assert_eq!(again, answer, "a live one is reused");
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, VISA).await.ok();
    let paid = app.until(&order, "paid").await;
    assert_eq!(paid["payments"][0]["stripe_payment_intent"], intent.as_str());
    assert_eq!(paid["payments"].as_array().unwrap().len(), 1);
    fulfil(&app, &order).await;
    app.stop().await;
}

/// Covers: fault 19, O-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_leaves_the_order_open_and_another_card_pays_it() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let session = app.session(&order).await;
    assert_eq!(app.pay_session(&session, DECLINED).await.status, 402);
    let declined = app
        .until_that(&order, |shown| !shown["payments"][0]["declines"].as_array().unwrap().is_empty())
        .await;
    assert_eq!(declined["state"], "payment_processing");
    assert_eq!(declined["payments"][0]["declines"][0]["code"], "card_declined");
    assert_eq!(app.pay_session(&session, INSUFFICIENT_FUNDS).await.status, 402);
    app.pay_session(&session, VISA).await.ok();
    app.until(&order, "paid").await;
    let paid =
        app.until_that(&order, |shown| shown["payments"][0]["declines"].as_array().unwrap().len() == 2).await;
    // Both fall into one second of Stripe's, and events come in any order.
    let declines = paid["payments"][0]["declines"].as_array().unwrap().iter();
    let mut codes: Vec<_> = declines.map(|decline| text(&decline["decline_code"])).collect();
    codes.sort();
    assert_eq!(codes, ["generic_decline", "insufficient_funds"]);
    assert_eq!((&paid["state"], &paid["amount_captured"]), (&json!("paid"), &json!(3998)));
    app.stop().await;
}

/// Covers: fault 20 (the part where it is completed).
#[tokio::test(flavor = "multi_thread")]
async fn three_d_secure_is_asked_for_and_then_the_order_is_paid() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    let asked = app.pay_intent(&intent, THREE_D_SECURE).await.ok();
    assert_eq!(asked["status"], "requires_action");
    app.until_that(&order, |shown| shown["payments"][0]["state"] == "requires_action").await;
    app.at_stripe(&format!("payment_intents/{intent}/authenticate"), json!({"outcome": "complete"}))
        .await
        .ok();
    app.until(&order, "paid").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_authentication_is_a_decline_and_the_customer_tries_again() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let intent = app.intent(&order).await;
    app.pay_intent(&intent, THREE_D_SECURE).await.ok();
    let failed =
        app.at_stripe(&format!("payment_intents/{intent}/authenticate"), json!({"outcome": "fail"})).await;
    assert!(failed.status < 500, "{failed:?}");
    app.until_that(&order, |shown| shown["payments"][0]["state"] == "pending").await;
    app.pay_intent(&intent, VISA).await.ok();
    app.until(&order, "paid").await;
    app.stop().await;
}

fn is_refused(reply: &Reply) -> bool {
    (400..500).contains(&reply.status)
}

/// Covers: fault 101, fault 102, I2, D-10.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_share_one_page_and_one_payment_is_kept() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let (first, second) = (app.session(&order).await, app.session(&order).await);
    assert_eq!(first, second);
    app.pay_session(&first, VISA).await.ok();
    assert!(is_refused(&app.pay_session(&second, VISA).await));
    let paid = app.until(&order, "paid").await;
    assert_eq!((&paid["amount_captured"], paid["payments"].as_array().unwrap().len()), (&json!(3998), 1));
    assert_eq!(app.command(&order, "checkout-session", json!({})).await.problem().1, "illegal_transition");
    app.stop().await;
}

/// Covers: fault 101, I2, D-10.
#[tokio::test(flavor = "multi_thread")]
async fn another_way_to_pay_ends_the_first_at_stripe() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let session = app.session(&order).await;
    let intent = app.intent(&order).await;
    assert!(is_refused(&app.pay_session(&session, VISA).await), "its page was closed");
    app.pay_intent(&intent, VISA).await.ok();
    let paid = app.until(&order, "paid").await;
    let states: Vec<_> = paid["payments"].as_array().unwrap().iter().map(|one| text(&one["state"])).collect();
    assert_eq!(states, ["cancelled", "captured"]);
    assert_eq!(paid["amount_captured"], 3998);
    app.stop().await;
}

/// Covers: fault 101, D-2. The money came while no webhook did.
#[tokio::test(flavor = "multi_thread")]
async fn another_way_to_pay_an_order_that_was_just_paid_finds_it_paid() {
    let app = TestApp::with(|_| {}, false).await;
    let order = app.order().await;
    let session = app.session(&order).await;
    app.pay_session(&session, VISA).await.ok();
    let refused = app.command(&order, "payment-intent", json!({})).await;
    assert_eq!(refused.problem(), (409, "illegal_transition".to_owned()));
    assert_eq!(refused.json()["from"], "paid");
    let paid = app.show(&order).await;
    assert_eq!((&paid["state"], &paid["amount_captured"]), (&json!("paid"), &json!(3998)));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_is_cancelled_and_its_page_closed() {
    let app = TestApp::start().await;
    let untouched = app.order().await;
    assert_eq!(app.command(&untouched, "cancel", json!({})).await.ok()["state"], "cancelled");
    for by_session in [true, false] {
        let order = app.order().await;
        let id = if by_session { app.session(&order).await } else { app.intent(&order).await };
        let cancelled = app.command(&order, "cancel", json!({"reason": "duplicate"})).await.ok();
        assert_eq!(cancelled["state"], "cancelled");
        assert_eq!(cancelled["cancellation"], json!({"reason": "duplicate", "done": true}));
        assert_eq!(cancelled["payments"][0]["state"], "cancelled");
        let late =
            if by_session { app.pay_session(&id, VISA).await } else { app.pay_intent(&id, VISA).await };
        assert!(is_refused(&late));
        assert_eq!(app.show(&order).await["amount_captured"], 0);
    }
    app.stop().await;
}

/// Covers: C-1, C-2. Stripe took the money, and no webhook told us yet.
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_an_order_that_was_just_paid_keeps_the_money_and_the_order_paid() {
    let app = TestApp::with(|_| {}, false).await;
    for by_session in [true, false] {
        let order = app.order().await;
        if by_session {
            app.pay_session(&app.session(&order).await, VISA).await.ok();
        } else {
            app.pay_intent(&app.intent(&order).await, VISA).await.ok();
        }
        assert_eq!(app.show(&order).await["state"], "payment_processing");
        let refused = app.command(&order, "cancel", json!({})).await;
        assert_eq!(refused.problem(), (409, "illegal_transition".to_owned()), "by session: {by_session}");
        let paid = app.show(&order).await;
        assert_eq!((&paid["state"], &paid["amount_captured"]), (&json!("paid"), &json!(3998)));
    }
    app.stop().await;
}

/// Covers: fault 117.
#[tokio::test(flavor = "multi_thread")]
async fn the_success_page_without_paying_shows_no_payment() {
    let app = TestApp::start().await;
    let order = app.order().await;
    let session = app.session(&order).await;
    let page = text(&app.show(&order).await["checkout_url"]);
    let forged = format!("{page}?session_id={session}&redirect_status=succeeded&paid=true");
    let shown = app.send(app.http.get(&forged)).await;
    assert!(shown.status == 200 && shown.text.contains("Not paid yet"), "{}", shown.text);
    assert_eq!(app.show(&order).await["state"], "payment_processing");
    app.stop().await;
}
